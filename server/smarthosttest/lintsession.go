package smarthosttest

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A turn is a command with the reply that it got.
type turn struct {
	Event
	verb, argument string
	code           string // "" if nobody heard one
	forced         bool   // a rule has acted at it
	secure         bool   // said inside TLS
	offered        bool   // PIPELINING was, when it was said
	ahead          bool   // said before the reply to the one before it
}

// turns takes a session apart. A message's end is a turn too, with the verb ".".
func turns(s *Session) []turn {
	var of []turn
	secure, offered := s.Implicit, false
	for _, e := range s.Events {
		switch e.Kind {
		case KindCommand:
			verb, argument, _ := strings.Cut(e.Line, " ")
			of = append(of, turn{Event: e, verb: strings.ToUpper(verb), argument: argument, secure: secure, offered: offered, ahead: len(of) > 0 && of[len(of)-1].Waiting > 0})
		case KindContent:
			of = append(of, turn{Event: e, verb: ".", secure: secure, offered: offered})
		case KindHandshake:
			if s.TLS != "" && !secure {
				secure, offered = true, false
			}
		case KindFault:
			if len(of) > 0 {
				of[len(of)-1].forced = true
			}
		case KindReply:
			if len(of) == 0 || len(e.Line) < 4 {
				continue
			}
			last := &of[len(of)-1]
			if last.verb == "EHLO" && strings.EqualFold(e.Line[4:], "PIPELINING") {
				offered = true
			}
			if e.Line[3] == ' ' {
				last.code = e.Line[:3]
			}
		}
	}
	return of
}

// lintSession looks at one session by itself.
func lintSession(s *Session) []Finding {
	said := turns(s)
	var found []Finding
	for i, t := range said {
		found = append(found, lintTurn(s, t)...)
		if i > 0 && !said[i-1].secure && t.secure && !s.Implicit && !slices.Contains([]string{"EHLO", "HELO", "QUIT"}, t.verb) {
			found = append(found, noEHLOAfterTLS.in(s, t.Line, "the first command after STARTTLS is %s", t.verb))
		}
	}
	found = append(found, lintHello(s, said)...)
	for _, e := range s.Events {
		if e.Kind == KindViolation && strings.Contains(e.Line, "bare") {
			found = append(found, bareLineEnd.in(s, "", "%s", e.Line))
		}
	}
	if slices.Contains(clientLeft, s.End) && !slices.ContainsFunc(said, func(t turn) bool { return t.verb == "QUIT" || t.forced }) {
		found = append(found, noQuit.in(s, "", "the client closed the connection without QUIT"))
	}
	return found
}

// clientLeft are the guard's reasons for a session that its client has ended without QUIT.
var clientLeft = []string{"the client closed the connection", "the connection was lost"}

// lintTurn looks at one command.
func lintTurn(s *Session, t turn) []Finding {
	var found []Finding
	add := func(is bool, f fault, format string, args ...any) {
		if is {
			found = append(found, f.in(s, t.Line, format, args...))
		}
	}
	add(t.verb == "AUTH" && !t.secure && strings.Contains(t.argument, " "), credentialsInClear, "credentials were sent before TLS")
	add(t.verb == "MAIL" && !t.secure, mailInClear, "a message was begun before TLS")
	add(t.verb == "HELO", helo, "HELO was sent")
	add(strings.HasSuffix(t.Line, "[too long]"), longCommand, "the line is too long")
	add((t.verb == "MAIL" || t.verb == "RCPT") && blankBeforePath(t.argument), blankInPath, "there is a blank beside the colon")
	// At the end of a group it is said before the replies to RCPT are known (RFC 2920 §3.1).
	add(t.verb == "DATA" && t.code == "503" && !t.forced && !t.ahead, withoutRecipients, "DATA was sent though no recipient was taken")
	switch t.verb {
	case "EHLO", "HELO", "AUTH", "DATA", "QUIT":
		add(t.Waiting > 0, sentAhead, "%d octets were sent behind %s before its reply", t.Waiting, t.verb)
	case "MAIL", "RCPT", "RSET":
		add(t.Waiting > 0 && !t.offered, pipelinedUnasked, "%d octets were sent behind %s before its reply", t.Waiting, t.verb)
	}
	return found
}

func blankBeforePath(argument string) bool {
	word, rest, ok := strings.Cut(argument, ":")
	return ok && (strings.HasSuffix(word, " ") || strings.HasPrefix(rest, " "))
}

// lintHello looks at the name that a client gives itself, once in a session.
func lintHello(s *Session, said []turn) []Finding {
	for _, t := range said {
		if t.verb != "EHLO" && t.verb != "HELO" {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimSpace(t.argument), " ")
		bare := strings.TrimSuffix(strings.ToLower(name), ".")
		if _, err := netip.ParseAddr(name); err == nil || bare == "" || bare == "localhost" || bare == "localhost.localdomain" {
			return []Finding{helloName.in(s, t.Line, "the client calls itself %q", name)}
		}
	}
	return nil
}

// shortestWait is how long a client must wait after a 4xx. RFC 5321 §4.5.4.1 asks for 30 min; a minute is what nobody minds, and what
// greylisting takes.
const shortestWait = time.Minute

// An attempt is one message offered to one recipient, a sender that was refused, without to, or a connection, without from too.
type attempt struct {
	who, from, to string
	at            time.Time
	code          string // of a refusal
}

func (a attempt) String() string {
	switch {
	case a.to != "":
		return "mail from <" + a.from + "> to <" + a.to + ">"
	case a.from != "":
		return "mail from <" + a.from + ">"
	}
	return "a connection from " + a.who
}

// lintAttempts looks at what clients do after they were refused, over all sessions.
func lintAttempts(sessions []*Session) []Finding {
	var found []Finding
	last := map[[3]string]attempt{}
	for _, s := range sessions {
		for _, a := range attempts(s) {
			key := [3]string{a.who, a.from, a.to}
			before, ok := last[key]
			last[key] = a
			wait := a.at.Sub(before.at)
			switch {
			case !ok || before.code == "" || wait < 0:
			case before.code[0] == '5':
				found = append(found, repeatedAfterFailure.in(s, "", "%s was refused with %s and came again after %s", a, before.code, wait))
			case before.code[0] == '4' && wait < shortestWait:
				found = append(found, noBackOff.in(s, "", "%s was refused with %s and came again after %s", a, before.code, wait))
			}
		}
	}
	return found
}

// attempts are the messages that a session has offered, a recipient each, in order.
func attempts(s *Session) []attempt {
	var of []attempt
	from, begin := "", 0
	if code, ok := greeting(s); ok {
		of = append(of, attempt{who: s.Remote.Addr().String(), at: s.Began, code: refusal(code)})
	}
	who := folded(s.User)
	if who == "" {
		who = s.Remote.Addr().String()
	}
	for _, t := range turns(s) {
		switch t.verb {
		case "MAIL":
			from, _ = pathIn(t.argument, "FROM:")
			if t.code != "503" { // a command out of order is no attempt
				of = append(of, attempt{who: who, from: from, at: s.Began.Add(t.At), code: refusal(t.code)})
			}
			begin = len(of)
		case "RCPT":
			to, ok := pathIn(t.argument, "TO:")
			if ok && t.code != "503" {
				of = append(of, attempt{who: who, from: from, to: to, at: s.Began.Add(t.At), code: refusal(t.code)})
			}
		case "DATA", ".":
			for i := begin; i < len(of) && refusal(t.code) != ""; i++ {
				if of[i].code == "" {
					of[i].code = t.code
				}
			}
			if t.verb == "." {
				begin = len(of)
			}
		}
	}
	return of
}

// greeting is the code that a session began with.
func greeting(s *Session) (code string, ok bool) {
	for _, e := range s.Events {
		switch {
		case e.Kind == KindCommand:
			return "", false
		case e.Kind == KindReply && len(e.Line) > 3:
			return e.Line[:3], true
		}
	}
	return "", false
}

// refusal is a code of 4xx or 5xx, "" for another.
func refusal(code string) string {
	if code >= "400" {
		return code
	}
	return ""
}
