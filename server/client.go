package server

import (
	"net/netip"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/server/guard"
)

// client is what is known of one connection. It outlives EHLO, RSET and messages.
// It is used on the connection's goroutine only.
type client struct {
	log     zerolog.Logger
	since   time.Time
	probe   bool        // it is the server's own, and not counted
	offered bool        // it was sent 220 to STARTTLS
	secure  bool        // a handshake was completed
	account *auth.Login // nil before it has logged in
	login   attempt     // the last AUTH that was decided
	refused bool        // MAIL was refused for want of a login
}

// attempt is how an AUTH ended.
type attempt struct {
	outcome outcome
	user    string // whom the client claimed to be, as it came
	cause   string // what AUTH was told when it failed
}

type outcome int

const (
	neverTried    outcome = iota
	wrongPassword         // or one that is right and of no use
	undecided             // because of us: 454
	loggedIn
)

// The guard's hooks.

func (s *Server) opened(c *guard.Conn) {
	log := s.Log.With().Str("session", c.Session()).Stringer("address", c.Addr()).Logger()
	cl := &client{log: log, since: time.Now(), probe: c.Probe()}
	c.User = cl
	if !cl.probe {
		s.metrics.accepted.Inc()
	}
	log.Debug().Msg("connected")
}

func (s *Server) turnedAway(addr netip.Addr, reply *smtp.SMTPError) {
	event := s.Log.Info().Stringer("address", addr)
	if reply != nil {
		event = event.Int("code", reply.Code).Str("reply", bounded(reply.Message))
	}
	event.Str("stage", "connection").Msg("refused")
	s.metrics.turned(reply)
	if s.Refused != nil && reply != nil {
		s.Refused(Refusal{At: time.Now(), Address: addr, Stage: "connection", Code: reply.Code, Reply: bounded(reply.Message)})
	}
}

func (s *Server) starved(err error) {
	s.metrics.starved.Inc()
	s.Log.Error().Err(err).Msg("clients cannot be let in; it is tried again. If it is for want of file descriptors, raise the limit (LimitNOFILE, ulimit -n)")
}

// clear answers what needs TLS first.
func (s *Server) clear(c *guard.Conn, verb string) *smtp.SMTPError {
	if verb != "MAIL" {
		return nil
	}
	w := s.words(c)
	mode := s.current().Unauthenticated
	reply := w.mustStartTLS()
	ago, reason, failed := s.Memory.tlsFailure(c.Addr())
	switch {
	case mode == Reject:
	case failed:
		reply = w.tlsFailed(ago, reason)
		s.metrics.spared(graceTLS)
	case mode == Defer:
		reply = temporarily(reply)
		s.metrics.spared(graceDefer)
	}
	cl := c.User.(*client)
	event := cl.log.Info().Str("stage", "MAIL").Int("code", reply.Code).Str("reply", reply.Message)
	switch {
	case failed && reason == tlsCertificate:
		event = event.Str("advice", adviceCertificate)
	case failed:
		event = event.Str("advice", "TLS with this client failed a short time ago and it went on without; look for the cause in the connection before this one")
	case s.Memory.knows(c.Addr()):
		event = event.Str("advice", "somebody at this address logs in normally; this program there is set to send without TLS, or gave it up")
	}
	event.Msg("refused")
	s.refusedInClear(c, "MAIL", reply)
	return reply
}

const adviceCertificate = "look whether the certificate has expired or does not carry the name that the client asks for, and whether the client's clock is right"

func (s *Server) startTLS(c *guard.Conn) {
	c.User.(*client).offered = true
	s.Memory.offered(c.Addr())
}

func (s *Server) handshake(c *guard.Conn, err error) {
	cl := c.User.(*client)
	if err == nil {
		cl.secure = true
		if !cl.probe {
			s.metrics.shaken.WithLabelValues(versionLabel(c.TLS().Version)).Inc()
		}
		return
	}
	s.tlsBroke(c, err)
}

// tlsBroke notes and logs why TLS came to nothing.
func (s *Server) tlsBroke(c *guard.Conn, err error) {
	reason := tlsReason(err)
	s.Memory.failed(c.Addr(), reason)
	s.metrics.tlsFailed[reason].Inc()
	event := c.User.(*client).log.Warn().Str("reason", reason).Str("cause", bounded(err.Error()))
	if reason == tlsCertificate {
		event = event.Str("advice", adviceCertificate)
	}
	event.Msg("TLS failed")
}

func (s *Server) violation(c *guard.Conn, what string) {
	s.metrics.violations.WithLabelValues(what).Inc()
	log := s.Log
	if cl, ok := c.User.(*client); ok {
		log = cl.log
	} else { // a proxy that sent no header, and so no client yet
		log = log.With().Str("session", c.Session()).Stringer("address", c.Addr()).Logger()
	}
	log.Warn().Str("what", what).Msg("protocol violation")
}

func (s *Server) closed(c *guard.Conn, err error) {
	cl := c.User.(*client)
	switch {
	case cl.secure && refusedCertificate(err):
		s.tlsBroke(c, err) // under TLS 1.3 the client's refusal comes after our side of the handshake
	case cl.secure && cl.refused && cl.login.outcome == neverTried:
		cl.log.Warn().Bool("starttls", cl.offered).Str("advice",
			"the client began TLS and never tried AUTH: its user name and password are not set, or are filed under another host name than the one that it connects to").Msg("no login")
	}
	event := cl.log.Debug().Dur("after", time.Since(cl.since))
	if err != nil {
		event = event.Str("cause", bounded(err.Error()))
	}
	event.Msg("closed")
}

// words are the replies' common parts for a connection.
func (s *Server) words(c *guard.Conn) words {
	return words{host: s.Hostname, session: c.Session(), help: s.current().Help}
}
