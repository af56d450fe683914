package smarthosttest

import (
	"fmt"
	"slices"
	"strings"
)

// A Finding is something that a provider would hold against a client, although this server has let it pass or has refused it.
type Finding struct {
	Name    string // of what is wrong, a word for Lint to leave out
	RFC     string // the section that asks for something else
	Text    string // what was seen
	Advice  string // what to do
	Session string // id
	Message string // id, "" if it is about none
	Line    string // of the transcript, "" if it is about none
}

// String is the finding for people, on one line.
func (f Finding) String() string {
	where := "session " + f.Session
	if f.Message != "" {
		where = "message " + f.Message
	}
	if f.Line != "" {
		where += ", at " + f.Line
	}
	return fmt.Sprintf("%s: %s (%s): %s; %s", f.Name, f.Text, where, f.RFC, f.Advice)
}

// fault is a kind of Finding.
type fault struct{ name, rfc, advice string }

// The kinds. Those at the end concern what is read by people or other servers and not this one.
var (
	credentialsInClear   = fault{"credentials-in-clear", "RFC 4954 §4", "begin TLS before AUTH, and give up if that is not possible"}
	mailInClear          = fault{"mail-in-clear", "RFC 8314 §3.3", "begin TLS before MAIL, and give up if that is not possible"}
	noEHLOAfterTLS       = fault{"no-ehlo-after-starttls", "RFC 3207 §4.2", "forget what was offered before TLS, and send EHLO again"}
	helo                 = fault{"helo", "RFC 5321 §3.2", "send EHLO; AUTH and STARTTLS are not to be had with HELO"}
	helloName            = fault{"ehlo-name", "RFC 5321 §4.1.4", "send the client's own full name, or its address in brackets"}
	bareLineEnd          = fault{"bare-line-end", "RFC 5321 §2.3.8", "end each line with CR LF, and send neither of them alone"}
	longCommand          = fault{"long-command", "RFC 5321 §4.5.3.1.4", "keep command lines within 512 octets"}
	blankInPath          = fault{"blank-before-path", "RFC 5321 §3.3", "write MAIL FROM:<…> and RCPT TO:<…> without blanks around the colon"}
	sentAhead            = fault{"sent-ahead", "RFC 2920 §3.1", "wait for the reply to EHLO, AUTH, STARTTLS, DATA and QUIT before sending more"}
	pipelinedUnasked     = fault{"pipelining-not-offered", "RFC 2920 §3.1", "send commands in groups only where EHLO offers PIPELINING"}
	noQuit               = fault{"no-quit", "RFC 5321 §4.1.1.10", "end the session with QUIT, and wait for its reply"}
	withoutRecipients    = fault{"data-without-recipients", "RFC 5321 §3.3", "give the message up when all recipients were refused"}
	repeatedAfterFailure = fault{"repeated-after-5xx", "RFC 5321 §4.2.1", "a 5xx is for good: tell the author, and do not send the same again"}
	noBackOff            = fault{"no-back-off", "RFC 5321 §4.5.4.1", "after a 4xx wait before the next attempt, longer each time"}
	bccField             = fault{"bcc-field", "RFC 5322 §3.6.3", "leave the Bcc field out of what is sent: all recipients can read it"}
	noDate               = fault{"no-date", "RFC 5322 §3.6.1", "write a Date field when the message is made"}
	noMessageID          = fault{"no-message-id", "RFC 5322 §3.6.4", "write a Message-ID field, the same each time the message is tried: it tells copies apart from new mail"}
	noFrom               = fault{"no-from", "RFC 5322 §3.6.2", "write a From field"}
	fieldTwice           = fault{"field-twice", "RFC 5322 §3.6", "write the field once"}
	returnPathField      = fault{"return-path-field", "RFC 5321 §4.4", "leave Return-Path to the last server"}
	longLine             = fault{"long-line", "RFC 5322 §2.1.1", "fold fields and encode text, so that no line has more than 998 octets"}
	undeclared8bit       = fault{"undeclared-8bit", "RFC 6152 §3", "say BODY=8BITMIME at MAIL, or encode the text"}
	undeclaredUTF8       = fault{"undeclared-utf8-header", "RFC 6531 §3.4", "say SMTPUTF8 at MAIL, or encode the fields (RFC 2047)"}
)

// Lint tells what a provider would hold against the clients of this server, from the transcripts and the messages: what is in the way of delivery
// and of privacy, whether the server has refused it or not. Findings of these names are left out. What rules have brought about is not held
// against anybody, but what clients make of it is.
func (v view) Lint(except ...string) []Finding {
	var found []Finding
	sessions := v.Sessions()
	for _, s := range sessions {
		found = append(found, lintSession(s)...)
	}
	found = append(found, lintAttempts(sessions)...)
	for _, m := range v.Messages() {
		found = append(found, lintMessage(m)...)
	}
	return slices.DeleteFunc(found, func(f Finding) bool { return slices.Contains(except, f.Name) })
}

// Clean fails the test if Lint finds something that is not of these names.
func (v view) Clean(except ...string) {
	v.tb.Helper()
	found := v.Lint(except...)
	if len(found) == 0 {
		return
	}
	lines := make([]string, len(found))
	for i, f := range found {
		lines[i] = f.String()
	}
	v.tb.Errorf("%d findings:\n%s\n%s", len(found), strings.Join(lines, "\n"), v.transcripts())
}

// in is a finding in a session.
func (f fault) in(s *Session, line, format string, args ...any) Finding {
	return Finding{Name: f.name, RFC: f.rfc, Advice: f.advice, Session: s.ID, Line: line, Text: fmt.Sprintf(format, args...)}
}

// of is a finding in a message.
func (f fault) of(m *Message, format string, args ...any) Finding {
	return Finding{Name: f.name, RFC: f.rfc, Advice: f.advice, Session: m.Session, Message: m.ID, Text: fmt.Sprintf(format, args...)}
}
