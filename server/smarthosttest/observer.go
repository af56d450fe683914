package smarthosttest

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server/guard"
)

// An observer stands beside one connection. It writes the transcript, and does what the rules say.
// Its state belongs to the connection's goroutine.
type observer struct {
	server *Server
	conn   *guard.Conn
	socket *socket
	*record

	mechanism string // of the last AUTH command
	responses int    // since

	// What the engine has said yes to.
	verb  string // the command at hand
	path  string // its address
	user  string // who has logged in
	began bool   // a transaction
	from  string
	to    []string

	// What rules have asked for.
	speed     int  // octets per second, 0 is any
	trickling bool // until the reply is out
	hide      []string
	instead   *guard.Answer // of the engine's next reply, if it is yes
	forced    bool          // or whatever it is
}

// observe is asked for an observer by the guard.
func (s *Server) observe(c *guard.Conn) guard.Interceptor {
	o := &observer{server: s, conn: c}
	o.socket, _ = c.Socket().(*socket)
	session := Session{ID: c.Session(), Began: time.Now()}
	if addr, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		session.Remote = netip.AddrPortFrom(addr.AddrPort().Addr().Unmap(), addr.AddrPort().Port())
	}
	if addr := c.LocalAddr(); addr != nil {
		session.Implicit = addr.String() == s.TLSAddr
	}
	o.record = s.sessions.begin(session)
	s.observers.Store(c.Session(), o)
	return o
}

// Ask implements guard.Interceptor.
func (o *observer) Ask(m guard.Moment) *guard.Answer {
	if o.trickling { // the reply before this moment did
		o.trickling = false
		o.conn.Flush()
		o.socket.pace(o.speed, trickle{})
	}
	answer := o.ask(m)
	o.say(answer)
	return answer
}

func (o *observer) ask(m guard.Moment) *guard.Answer {
	switch m.At {
	case guard.AtAccept:
		return o.act(facts{stage: Accept})
	case guard.AtGreeting:
		return o.act(facts{stage: Banner})
	case guard.AtHandshake:
		return o.act(facts{stage: Handshake})
	case guard.AtContent:
		o.note(Event{Dir: Noted, Kind: KindContent, Line: fmt.Sprintf("the message has ended after %d octets", m.Size)}, nil)
		return o.content()
	case guard.AtResponse:
		o.response(m)
		return nil
	}
	o.command(m)
	if m.At == guard.AtChunk || m.Fault != "" {
		return nil
	}
	return o.atCommand(m)
}

// Reply implements guard.Interceptor.
func (o *observer) Reply(code string, texts []string) *guard.Answer {
	if answer := o.instead; answer != nil {
		if o.instead = nil; code[0] == '2' || o.forced {
			o.forced = false
			o.say(answer)
			return answer
		}
	}
	o.transact(code)
	var answer *guard.Answer
	if len(o.hide) > 0 && code == "250" {
		texts = without(texts, o.hide)
		answer = new(guard.Answer)
	}
	o.hide = nil
	for i, text := range texts {
		sep := "-"
		if i == len(texts)-1 {
			sep = " "
		}
		line := code + sep + text
		o.note(Event{Dir: Served, Kind: KindReply, Line: line}, nil)
		if answer != nil {
			answer.Reply = append(answer.Reply, line)
		}
	}
	return answer
}

// without is a reply to EHLO without some keywords (RFC 5321 §4.1.1.1); its first line is none.
func without(texts, keywords []string) []string {
	return slices.DeleteFunc(slices.Clone(texts), func(text string) bool {
		keyword, _, _ := strings.Cut(text, " ")
		return text != texts[0] && slices.ContainsFunc(keywords, func(k string) bool { return strings.EqualFold(k, keyword) })
	})
}

// Handshake implements guard.Interceptor.
func (o *observer) Handshake(err error) {
	if err != nil {
		o.note(Event{Dir: Noted, Kind: KindHandshake, Line: "the TLS handshake failed: " + printable(err.Error())}, nil)
		return
	}
	state := o.conn.TLS()
	text := tls.VersionName(state.Version) + ", " + tls.CipherSuiteName(state.CipherSuite)
	if state.ServerName != "" {
		text += ", server name " + printable(state.ServerName)
	}
	o.note(Event{Dir: Noted, Kind: KindHandshake, Line: text}, func(s *Session) { s.TLS = text })
}

// Violation implements guard.Interceptor.
func (o *observer) Violation(what string) {
	o.note(Event{Dir: Noted, Kind: KindViolation, Line: what}, nil)
}

// Closed implements guard.Interceptor. It may be called from anywhere.
func (o *observer) Closed(err error) {
	o.server.observers.Delete(o.conn.Session())
	line, end := "the session ended with QUIT", ""
	if err != nil {
		end = printable(err.Error())
		line = "the session ended: " + end
	}
	o.note(Event{Dir: Noted, Kind: KindEnd, Line: line}, func(s *Session) { s.Ended, s.End = time.Now(), end })
}

// command writes a command line down.
func (o *observer) command(m guard.Moment) {
	e := Event{Dir: Client, Kind: KindCommand, Line: printable(string(m.Line)), Waiting: m.Waiting}
	var change func(*Session)
	word, argument, _ := strings.Cut(string(m.Line), " ")
	switch m.Verb {
	case "EHLO", "HELO":
		change = func(s *Session) { s.Hello = printable(argument) }
	case "AUTH":
		mechanism, initial, _ := strings.Cut(strings.TrimSpace(argument), " ")
		o.mechanism, o.responses = strings.ToUpper(mechanism), 0
		switch claimed := ""; {
		case !slices.Contains(mechanisms, o.mechanism): // so that it may be a secret itself
			e.Line = word + " " + o.veiled(argument, "")
		case initial != "":
			claimed = o.credentials(initial)
			e.Line = word + " " + mechanism + " " + o.veiled(initial, claimed)
			change = claim(claimed)
		}
	case "":
		// It may be a response to an AUTH that was refused, or an AUTH that is malformed.
		if o.mechanism != "" || len(m.Line) > 3 && strings.EqualFold(string(m.Line[:4]), "AUTH") {
			e.Line = o.veiled(string(m.Line), "")
		}
	}
	if m.Verb != "" && m.Verb != "AUTH" {
		o.mechanism = ""
	}
	if m.Fault != "" {
		e.Line += " [" + m.Fault + "]"
	}
	o.note(e, change)
}

// mechanisms are the names of AUTH that a transcript shows.
var mechanisms = []string{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI", "EXTERNAL", "ANONYMOUS", "XOAUTH2", "OAUTHBEARER",
	"SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}

// response writes a line of AUTH down.
func (o *observer) response(m guard.Moment) {
	claimed := o.credentials(string(m.Line))
	line := o.veiled(string(m.Line), claimed)
	if string(m.Line) == "*" {
		line = "*"
	}
	o.note(Event{Dir: Client, Kind: KindResponse, Line: line, Waiting: m.Waiting}, claim(claimed))
}

func claim(user string) func(*Session) {
	if user == "" {
		return nil
	}
	return func(s *Session) { s.Claimed = user }
}

// credentials takes the next response of AUTH, and returns the user's name if it stands in it.
func (o *observer) credentials(response string) (claimed string) {
	o.responses++
	return claimedIn(o.mechanism, o.responses, response)
}

// claimedIn finds the user's name in the n-th response of AUTH, "" if it is not there.
func claimedIn(mechanism string, n int, response string) string {
	octets, err := base64.StdEncoding.DecodeString(response)
	if err != nil || n != 1 {
		return ""
	}
	return printable(userIn(mechanism, octets))
}

// userIn is the user's name in the first response of PLAIN (RFC 4616 §2) or LOGIN; "" for what may be anything.
func userIn(mechanism string, response []byte) string {
	switch mechanism {
	case "PLAIN":
		if parts := strings.Split(string(response), "\x00"); len(parts) == 3 {
			return parts[1]
		}
	case "LOGIN":
		return string(response)
	}
	return ""
}

// veiled stands for a secret, or shows it if that is wanted.
func (o *observer) veiled(secret, claimed string) string {
	if o.server.config.Secrets {
		return printable(secret)
	}
	if claimed != "" {
		return "*** (" + claimed + ")"
	}
	return "***"
}

// printable is s with "?" for all that could forge a line of a transcript.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == 0x85 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
