package server

import (
	"errors"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/policy"
	"github.com/seed-1397b510/smarthost/server/guard"
)

// session is go-smtp's view of a connection after its first EHLO. What belongs to the connection is in client, what belongs to the
// transaction in transaction, so that RSET is one assignment.
type session struct {
	server *Server
	core   *smtp.Conn
	conn   *guard.Conn
	client *client
	began  time.Time // the message at hand: with the connection, or at MAIL if it is not the first; zero between messages
	transaction
}

// transaction is what MAIL and RCPT have said (RFC 5321 §3.3). The zero transaction is none.
type transaction struct {
	policy     *policy.Transaction // nil: no MAIL was accepted
	from       string
	options    smtp.MailOptions
	recipients []spool.Recipient
}

var errNotGuarded = errors.New("server: a connection did not come through the guard")

// newSession is called at the first EHLO or HELO.
func (s *Server) newSession(core *smtp.Conn) (smtp.Session, error) {
	conn, ok := core.Conn().(*guard.Conn)
	if !ok {
		s.Log.Error().Err(errNotGuarded).Msg("refused")
		return nil, words{host: s.Hostname}.localTrouble()
	}
	cl := conn.User.(*client)
	return &session{server: s, core: core, conn: conn, client: cl, began: cl.since}, nil
}

// Reset forgets the transaction: after a message, at RSET and at a repeated EHLO (RFC 5321 §4.1.1.5, §4.1.4).
// What it took from the account's limits is given back, unless the message was queued.
func (s *session) Reset() {
	if s.transaction.policy != nil {
		s.transaction.policy.Cancel()
	}
	s.transaction = transaction{}
}

// Logout is called once or more when the connection is over.
func (s *session) Logout() error {
	s.Reset()
	return nil
}

// fault turns what a step returned into the reply, and logs it. A refusal is passed on as it is, bare, because go-smtp looks no deeper;
// everything else is our own fault, whose cause is for the log alone.
func (s *session) fault(stage string, err error) *smtp.SMTPError {
	if refusal, ok := errors.AsType[*smtp.SMTPError](err); ok {
		s.logRefusal(stage, refusal).Msg("refused")
		s.tell(stage, refusal, s.from)
		return refusal
	}
	reply := s.words().localTrouble()
	s.logRefusal(stage, reply).AnErr("cause", err).Msg("refused")
	s.tell(stage, reply, s.from)
	return reply
}

func (s *session) logRefusal(stage string, reply *smtp.SMTPError) *zerolog.Event {
	return s.client.log.Info().Str("stage", stage).Int("code", reply.Code).Str("reply", bounded(reply.Message))
}

func (s *session) words() words { return s.server.words(s.conn) }
