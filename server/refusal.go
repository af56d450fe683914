package server

import (
	"net/netip"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/server/guard"
)

// A Refusal is what a client was told instead of yes, for whoever has to find out why its mail does not go. Strings of the client are
// bounded and one line, as in the log.
type Refusal struct {
	At      time.Time
	Session string     // stands in the reply and in the log; "" if the connection was turned away before it had one
	Address netip.Addr // the client's
	Stage   string     // connection, AUTH, MAIL, RCPT or DATA
	Account string     // who has logged in; at AUTH and after a failed one, whom the client claims to be
	Device  string
	Hello   string // what the client calls itself
	From    string // reverse-path, if MAIL has come as far as that
	Code    int
	Reply   string // the words after the code
}

// refusedInClear counts, and tells Refused of, a reply that the guard gives, before there is a session.
func (s *Server) refusedInClear(c *guard.Conn, stage string, reply *smtp.SMTPError) {
	s.metrics.refused(stage, reply)
	if s.Refused != nil {
		s.Refused(Refusal{At: time.Now(), Session: c.Session(), Address: c.Addr(), Stage: stage, Code: reply.Code, Reply: bounded(reply.Message)})
	}
}

// tell counts a refusal, and tells Refused of it.
func (s *session) tell(stage string, reply *smtp.SMTPError, from string) {
	s.server.metrics.refused(stage, reply)
	if s.server.Refused == nil {
		return
	}
	r := Refusal{
		At:      time.Now(),
		Session: s.conn.Session(),
		Address: s.conn.Addr(),
		Stage:   stage,
		Account: bounded(s.client.login.user),
		Hello:   bounded(s.core.Hostname()),
		From:    bounded(from),
		Code:    reply.Code,
		Reply:   bounded(reply.Message),
	}
	if a := s.client.account; a != nil {
		r.Account, r.Device = bounded(a.Name), bounded(a.Device)
	}
	s.server.Refused(r)
}
