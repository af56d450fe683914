package server

import (
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// The words of every reply that this package gives. They are made for people who see one line of a bounce and nothing else:
// what happened, what to do, and the id that the log has too. What matters stands in the last line, and there is only one line,
// since some clients show no other.

const (
	maxReply = 512 // octets of a reply line with its CRLF, RFC 5321 §4.5.3.1.5
	maxUser  = 64  // octets of a user name that a reply repeats
)

var (
	statusAuthNeeded   = smtp.EnhancedCode{5, 7, 0}
	statusAuthLater    = smtp.EnhancedCode{4, 7, 0}
	statusBadSequence  = smtp.EnhancedCode{5, 5, 1}
	statusManyRcpts    = smtp.EnhancedCode{4, 5, 3}
	statusNoSpace      = smtp.EnhancedCode{4, 3, 1}
	statusLocalTrouble = smtp.EnhancedCode{4, 3, 0}
	statusDone         = smtp.EnhancedCode{2, 0, 0}
)

// words is what the replies of one session have in common.
type words struct {
	host, session, help string
}

// mustStartTLS answers a command in clear (RFC 3207 §4). In defer mode it is temporary like every refusal.
func (w words) mustStartTLS() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 530, EnhancedCode: statusAuthNeeded, Message: "Must issue a STARTTLS command first"}
}

// tlsFailed answers MAIL in clear from an address whose TLS has just failed: most clients go on in clear by themselves and would return the mail on 530.
func (w words) tlsFailed(ago time.Duration, reason string) *smtp.SMTPError {
	if reason != "" {
		reason = " (" + reason + ")"
	}
	return &smtp.SMTPError{Code: 451, EnhancedCode: statusAuthLater,
		Message: fmt.Sprintf("TLS failed %d s ago%s; keep the message and try again with STARTTLS", max(0, int64(ago.Seconds())), reason)}
}

// loginRequired answers MAIL in TLS from a client that never tried AUTH (RFC 4954 §6, RFC 6409 §4.3).
func (w words) loginRequired() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 530, EnhancedCode: statusAuthNeeded,
		Message: w.signed("Authentication required: log in with AUTH PLAIN to relay mail through " + w.host)}
}

// loginFailed answers MAIL after a wrong password. It repeats the cause, because the bounce that the author gets shows only this line.
func (w words) loginFailed(user, cause string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 530, EnhancedCode: statusAuthNeeded,
		Message: w.signed("Authentication required: the login as " + printable(user) + " failed: " + strings.ToLower(cause[:min(len(cause), 1)]) + cause[min(len(cause), 1):])}
}

// loginLapsed answers MAIL when what the client has logged in with was revoked since, or is of no use any more.
func (w words) loginLapsed(why string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 530, EnhancedCode: statusAuthNeeded, Message: w.signed("Authentication required: " + why + "; log in again")}
}

// unavailable answers MAIL after an AUTH that we could not decide.
func (w words) unavailable() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 451, EnhancedCode: statusAuthLater,
		Message: "Authentication is temporarily unavailable; keep the message and try again"}
}

// authUnavailable answers an AUTH that we could not decide. It is never 535: clients throw passwords away on that (RFC 4954 §6).
func (w words) authUnavailable() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 454, EnhancedCode: statusAuthLater,
		Message: fmt.Sprintf("Authentication is temporarily unavailable; try again [%s]", w.session)}
}

// accountMissing answers AUTH of a user who logged in from there lately and whose account is not there any more. The accounts may be
// wrong for a moment, and dma returns its mail on a 535. A wrong password stays 535: people are asked for another one only on that.
func (w words) accountMissing(user string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 454, EnhancedCode: statusAuthLater,
		Message: w.signed("There is no account " + printable(user) + " at the moment; keep the message and try again")}
}

// temporarily is the same refusal as a 451, for a client whose trouble is likely to pass.
func temporarily(r *smtp.SMTPError) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 451, EnhancedCode: statusAuthLater, Message: r.Message}
}

// nestedMail answers MAIL inside a transaction (RFC 5321 §4.1.4).
func (w words) nestedMail() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 503, EnhancedCode: statusBadSequence, Message: "A transaction is open already; end it with DATA or RSET"}
}

// noTransaction answers RCPT or DATA without MAIL.
func (w words) noTransaction() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 503, EnhancedCode: statusBadSequence, Message: "Send MAIL first"}
}

// noRecipients answers DATA without a recipient (RFC 5321 §3.3).
func (w words) noRecipients() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 503, EnhancedCode: statusBadSequence, Message: "Send RCPT first; no recipient was accepted"}
}

// authInTransaction answers AUTH between MAIL and the end of the message (RFC 4954 §4).
func (w words) authInTransaction() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 503, EnhancedCode: statusBadSequence, Message: "AUTH is not possible inside a transaction; send RSET first"}
}

// tooManyRecipients answers the RCPT that is one too many; those before it stand (RFC 5321 §4.5.3.1.10).
func (w words) tooManyRecipients(most int) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 452, EnhancedCode: statusManyRcpts,
		Message: fmt.Sprintf("One message goes to at most %d recipients; send it again to the others", most)}
}

// queued is the reply to a message that survives a power cut.
func (w words) queued(id string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 250, EnhancedCode: statusDone, Message: "queued as " + id}
}

// alreadyQueued is the reply to a message that was sent before.
func (w words) alreadyQueued(id string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 250, EnhancedCode: statusDone, Message: "already queued as " + id}
}

// full says that there is no space for the message.
func (w words) full() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 452, EnhancedCode: statusNoSpace,
		Message: fmt.Sprintf("No space for more mail at the moment; keep the message and try again [%s]", w.session)}
}

// notStored says that the message could not be kept; nothing of it was.
func (w words) notStored() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 451, EnhancedCode: statusLocalTrouble,
		Message: fmt.Sprintf("The message could not be stored; keep it and try again [%s]", w.session)}
}

// localTrouble is the reply to every fault of ours that has no better words.
func (w words) localTrouble() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 451, EnhancedCode: statusLocalTrouble,
		Message: fmt.Sprintf("Trouble on this server; keep the message and try again [%s]", w.session)}
}

// signed puts the session's id, and the help if the line has room for it, behind a text.
func (w words) signed(text string) string {
	text += " [" + w.session + "]"
	if w.help != "" && len("530 5.7.0 ")+len(text)+1+len(w.help)+len("\r\n") <= maxReply {
		text += " " + w.help
	}
	return text
}

// printable makes what a client called a user fit for a reply: printable ASCII, at most 64 octets.
func printable(user string) string {
	if user == "" {
		return "nobody"
	}
	cut := len(user) > maxUser
	user = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, user[:min(len(user), maxUser)])
	if cut {
		user = user[:min(len(user), maxUser-3)] + "..."
	}
	return user
}
