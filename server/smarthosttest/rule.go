package smarthosttest

import (
	"time"
)

// A Stage is a place in a session at which a rule acts.
type Stage string

// The stages.
const (
	Accept    Stage = "accept"    // the connection has been accepted, nothing was said
	Banner    Stage = "banner"    // the greeting
	EHLO      Stage = "ehlo"      // EHLO or HELO, before TLS and after
	STARTTLS  Stage = "starttls"  // the command
	Handshake Stage = "handshake" // the TLS handshake, at both doors; what ends it waits for the client's hello
	AUTH      Stage = "auth"      // the client has sent all of its credentials
	MAIL      Stage = "mail"
	RCPT      Stage = "rcpt"
	DATA      Stage = "data"    // DATA or the first BDAT
	Content   Stage = "content" // the final dot, or the end of the last BDAT
	RSET      Stage = "rset"
	QUIT      Stage = "quit"
)

// A Certificate is one that a client must not take, or a protocol that it must not speak.
type Certificate string

// The certificates.
const (
	Expired             Certificate = "expired"
	NotYetValid         Certificate = "not-yet-valid"
	WrongName           Certificate = "wrong-name"           // of another host
	UnknownCA           Certificate = "unknown-ca"           // signed by a root that the client does not have
	SelfSigned          Certificate = "self-signed"          // signed by nobody else
	MissingIntermediate Certificate = "missing-intermediate" // signed by an authority between, whose certificate is not sent along
	OldTLS              Certificate = "old-tls"              // a good one, and nothing newer than TLS 1.0 (RFC 8996)
)

// A Rule is a fault at one stage of a session: whom it is for, how often, and what happens there. It is built up from On:
//
//	smarthosttest.On(smarthosttest.RCPT).To("bob@*").Times(2).Reply(451, "4.7.1", "greylisted")
//
// A rule without Times acts each time, and is met when it has acted once. In JSON, where the name of a key is the name of the method:
//
//	{"on":"rcpt","to":"bob@*","times":2,"do":{"reply":[451,"4.7.1","greylisted"],"delay":"200ms"}}
type Rule struct {
	on             Stage
	user, from, to string // patterns, "" is any
	skip, times    int
	probability    float64       // 0: always
	within         time.Duration // of being put in force; 0: always
	optional       bool
	do             action
}

// action is what a rule does: it waits first, then speaks, then ends the connection.
type action struct {
	delay       time.Duration
	reply       *reply
	garbage     []byte
	stored      bool
	hide        []string
	certificate Certificate
	alert       int // -1: none
	trickle     trickle
	throttle    int // octets per second
	end         end
}

type reply struct {
	code     int
	enhanced string
	text     string
}

type trickle struct {
	octets int
	every  time.Duration
}

// end is how a connection is ended.
type end string

const (
	drop      end = "drop"
	reset     end = "reset"
	halfClose end = "half-close"
	stall     end = "stall"
)

// On begins a rule that does nothing yet.
func On(s Stage) Rule { return Rule{on: s, do: action{alert: -1}} }

// User restricts the rule to sessions of a user, by its name or a pattern with *; at AUTH, of who claims to be that user.
func (r Rule) User(pattern string) Rule { r.user = pattern; return r }

// From restricts the rule to a reverse-path, "a@example.com" or a pattern with *. At MAIL and after it.
func (r Rule) From(pattern string) Rule { r.from = pattern; return r }

// To restricts the rule to a recipient, "b@example.net" or a pattern with *. At RCPT, and after it to messages with such a recipient.
func (r Rule) To(pattern string) Rule { r.to = pattern; return r }

// Skip lets the first n that the rule is for pass.
func (r Rule) Skip(n int) Rule { r.skip = n; return r }

// Times makes the rule act n times, and no more. It is unmet until it has.
func (r Rule) Times(n int) Rule { r.times = n; return r }

// For makes the rule act for so long after it was put in force, and not after.
func (r Rule) For(d time.Duration) Rule { r.within = d; return r }

// Probability makes the rule act with a probability above 0 and up to 1, by the server's seed. Nobody minds if it never does.
func (r Rule) Probability(p float64) Rule { r.probability = p; r.optional = true; return r }

// Optional makes a rule of which nobody minds if it is never met.
func (r Rule) Optional() Rule { r.optional = true; return r }

// Reply says this in place of the server: a code of 4xx or 5xx, an enhanced code such as "4.7.1" or "", and a text. After 421 the connection ends.
func (r Rule) Reply(code int, enhanced, text string) Rule {
	r.do.reply = &reply{code, enhanced, text}
	return r
}

// Delay waits before anything else is done. Without more the server goes on after it.
func (r Rule) Delay(d time.Duration) Rule { r.do.delay = d; return r }

// Drop closes the connection, in TLS without close_notify.
func (r Rule) Drop() Rule { r.do.end = drop; return r }

// Reset closes the connection with a TCP RST.
func (r Rule) Reset() Rule { r.do.end = reset; return r }

// HalfClose says nothing any more, which the client sees as the end, and goes on to take what the client sends.
func (r Rule) HalfClose() Rule { r.do.end = halfClose; return r }

// Stall says nothing any more and keeps the connection open, until the client or the server ends it.
func (r Rule) Stall() Rule { r.do.end = stall; return r }

// Trickle sends the reply, the rule's or the server's, in pieces of so many octets, and waits after each.
func (r Rule) Trickle(octets int, every time.Duration) Rule {
	r.do.trickle = trickle{octets, every}
	return r
}

// Throttle slows the connection down to so many octets in a second, in both directions, from here on.
func (r Rule) Throttle(octetsPerSecond int) Rule { r.do.throttle = octetsPerSecond; return r }

// Garbage says these octets, whatever they are, in place of the server's reply, or behind the rule's. In JSON they are base64.
func (r Rule) Garbage(octets []byte) Rule { r.do.garbage = octets; return r }

// Hide leaves keywords out of the reply to EHLO.
func (r Rule) Hide(keywords ...string) Rule { r.do.hide = keywords; return r }

// Certificate shakes hands with a certificate that a client must not take. At Handshake.
func (r Rule) Certificate(c Certificate) Rule { r.do.certificate = c; return r }

// Alert answers the client's hello with a fatal alert of this number (RFC 8446 §6). At Handshake.
func (r Rule) Alert(number int) Rule { r.do.alert = number; return r }

// Stored stores the message before anything else is done: the client is told a failure, or nothing, and it was none. At Content.
func (r Rule) Stored() Rule { r.do.stored = true; return r }

// AcceptThenReply stores the message and then says that it was not: does the client send it a second time?
func (r Rule) AcceptThenReply(code int, enhanced, text string) Rule {
	return r.Stored().Reply(code, enhanced, text)
}
