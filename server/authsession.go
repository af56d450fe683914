package server

import (
	"bytes"
	"errors"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/auth"
)

// AuthMechanisms are offered inside TLS only (RFC 4954 §4, RFC 8314 §3.3), and there always.
func (s *session) AuthMechanisms() []string {
	if !s.conn.Secure() {
		return nil
	}
	return s.server.Auth.Mechanisms()
}

// Auth begins a login (RFC 4954 §4).
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	if !s.conn.Secure() {
		return nil, s.fault("AUTH", s.words().mustStartTLS())
	}
	if s.transaction.policy != nil {
		return nil, s.fault("AUTH", s.words().authInTransaction())
	}
	a := &exchange{session: s, mechanism: mechanism}
	server, err := s.server.Auth.Begin(s.conn.Context(), mechanism, s.peer(), a.succeeded)
	if err != nil {
		return nil, a.failed(err)
	}
	a.server = server
	return a, nil
}

func (s *session) peer() auth.Peer {
	return auth.Peer{Addr: s.conn.Addr(), Hello: s.core.Hostname(), Session: s.conn.Session()}
}

// exchange watches one AUTH, because how it ended decides what MAIL is told.
type exchange struct {
	session   *session
	server    sasl.Server
	mechanism string
	asked     bool   // a challenge was sent
	named     bool   // the response that holds the user has come
	user      string // whom the client claims to be
}

// Next hands a response on.
func (a *exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	if !a.named && (response != nil || a.asked) {
		a.named, a.user = true, claimed(a.mechanism, response) // the first response only: the next one is the password
	}
	a.asked = true
	challenge, done, err = a.server.Next(response)
	if err != nil {
		return nil, false, a.failed(err)
	}
	return challenge, done, nil
}

// claimed is the user in a response of PLAIN (RFC 4616 §2) or in the first one of LOGIN. It is good for words only.
func claimed(mechanism string, response []byte) string {
	if mechanism == sasl.Plain {
		fields := bytes.SplitN(response, []byte{0}, 3)
		if len(fields) != 3 {
			return "" // whatever it is, it may be a password
		}
		response = fields[1]
	}
	return string(response[:min(len(response), maxName)])
}

func (a *exchange) succeeded(login auth.Login) {
	s := a.session
	s.client.account = &login
	s.client.login = attempt{outcome: loggedIn, user: login.Name}
	s.conn.LoggedIn()
	s.server.Memory.loggedIn(s.conn.Addr(), s.core.Hostname(), login.Name)
	who := s.client.log.With().Str("account", bounded(login.Name))
	if login.Device != "" {
		who = who.Str("device", bounded(login.Device))
	}
	s.client.log = who.Logger()
	s.client.log.Info().Str("mechanism", a.mechanism).Str("hello", bounded(s.core.Hostname())).Msg("logged in")
}

// lapsed asks whether the login is still of use. If not, it says why, in words for the client; else what may be done by it is as it is now.
func (s *session) lapsed() (why string) {
	now, why := s.server.Auth.Still(s.conn.Context(), *s.client.account, s.peer())
	if why == "" {
		s.client.account = &now
	}
	return why
}

// failed notes how the exchange ended and makes the reply. The user in the log is what the client sent as one: never a response as a whole.
func (a *exchange) failed(err error) *smtp.SMTPError {
	s := a.session
	reply, ok := errors.AsType[*smtp.SMTPError](err)
	if !ok {
		reply = s.words().authUnavailable()
	}
	switch {
	case errors.Is(err, auth.ErrNoAccount) && s.grace(a.user):
		s.client.login = attempt{wrongPassword, a.user, "there is no such account at the moment"}
		reply = s.words().accountMissing(a.user)
		s.server.metrics.spared(graceAccount)
	case reply.Code == 535:
		s.client.login = attempt{wrongPassword, a.user, reply.Message}
	case reply.Code/100 == 4:
		s.client.login = attempt{outcome: undecided, user: a.user}
	}
	event := s.logRefusal("AUTH", reply).Str("mechanism", bounded(a.mechanism)).Str("user", bounded(a.user))
	if !ok {
		event = event.AnErr("cause", err)
	}
	event.Msg("refused")
	s.tell("AUTH", reply, "")
	return reply
}
