package server

import (
	"cmp"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// Mail begins a transaction (RFC 5321 §4.1.1.2). Who has not logged in learns it here and not at RCPT (RFC 6409 §4.3).
func (s *session) Mail(from string, options *smtp.MailOptions) error {
	if refusal := s.unauthenticated(); refusal != nil {
		s.client.refused = true
		s.logRefusal("MAIL", refusal).Str("from", bounded(from)).Msg("refused")
		s.tell("MAIL", refusal, from)
		return refusal
	}
	if s.transaction.policy != nil {
		return s.fault("MAIL", s.words().nestedMail())
	}
	s.from = from // also in what is told of a refusal
	p, err := s.server.Policy.Mail(s.conn.Context(), s.client.account.Account, from, options)
	if err != nil {
		return s.fault("MAIL", err)
	}
	s.transaction = transaction{policy: p, from: from, options: *options}
	if s.began.IsZero() {
		s.began = time.Now()
	}
	return nil
}

// unauthenticated is the refusal for a client that has not logged in, or whose login is of no use any more; nil for one that may go on.
func (s *session) unauthenticated() *smtp.SMTPError {
	w := s.words()
	mode := s.server.current().Unauthenticated
	var refusal *smtp.SMTPError
	spared := "" // why it is temporary
	switch login := s.client.login; {
	case !s.conn.Secure(): // the guard lets nobody through without TLS; should it ever, nothing is relayed
		refusal = w.mustStartTLS()
	case s.client.account != nil:
		return s.loginLapsed()
	case login.outcome == wrongPassword:
		refusal = w.loginFailed(login.user, login.cause)
		if s.grace(login.user) {
			refusal, spared = temporarily(refusal), graceLogin
		}
	case login.outcome == undecided && mode != Reject:
		refusal, spared = w.unavailable(), graceUnavailable
	default:
		refusal = w.loginRequired()
	}
	if mode == Defer {
		refusal = temporarily(refusal)
		spared = cmp.Or(spared, graceDefer)
	}
	s.server.metrics.spared(spared)
	return refusal
}

// loginLapsed is the refusal for a client whose login is of no use any more; nil if it still is.
func (s *session) loginLapsed() *smtp.SMTPError {
	why := s.lapsed()
	if why == "" {
		return nil
	}
	refusal := s.words().loginLapsed(why)
	if s.server.current().Unauthenticated != Reject { // as for a login that fails where it was right before: the accounts may be wrong for a moment
		s.server.metrics.spared(graceLapsed)
		return temporarily(refusal)
	}
	return refusal
}

// grace tells whether the user has logged in from there lately, so that a login that fails now may fail for a passing reason.
func (s *session) grace(user string) bool {
	return s.server.current().Unauthenticated == Grace && s.server.Memory.usuallyLogsIn(s.conn.Addr(), s.core.Hostname(), user)
}

// Rcpt adds a recipient (RFC 5321 §4.1.1.3).
func (s *session) Rcpt(to string, options *smtp.RcptOptions) error {
	if s.transaction.policy == nil {
		return s.fault("RCPT", s.words().noTransaction())
	}
	if most := s.server.current().MaxRecipients; len(s.recipients) >= most {
		return s.fault("RCPT", s.words().tooManyRecipients(most))
	}
	if err := s.transaction.policy.Rcpt(s.conn.Context(), to, options); err != nil {
		return s.fault("RCPT", err)
	}
	s.recipients = append(s.recipients, spool.Recipient{
		Address:      to,
		Destination:  s.server.Destination(to),
		Notify:       options.Notify,
		OriginalType: options.OriginalRecipientType,
		Original:     options.OriginalRecipient,
	})
	return nil
}
