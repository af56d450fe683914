package smarthosttest

import (
	"context"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/auth"
)

// logins is the production authenticator, watched.
type logins struct {
	*auth.Authenticator
	server *Server
}

// Begin implements server.Authenticator.
func (l *logins) Begin(ctx context.Context, mechanism string, peer auth.Peer, ok func(auth.Login)) (sasl.Server, error) {
	o := l.server.observer(peer.Session)
	of, err := l.Authenticator.Begin(ctx, mechanism, peer, func(of auth.Login) {
		ok(of)
		o.user = of.Name
		o.note(Event{Dir: Noted, Kind: KindLogin, Line: "logged in as " + of.Name}, func(s *Session) { s.User = of.Name })
	})
	if err != nil {
		return nil, err
	}
	return &exchange{Server: of, observer: o, mechanism: strings.ToUpper(mechanism)}, nil
}

// exchange is one AUTH, in which a rule may speak when the client has sent all of its credentials.
type exchange struct {
	sasl.Server
	observer  *observer
	mechanism string
	asked     bool // for a response
	responses int
	claimed   string // folded
}

// Next implements sasl.Server.
func (e *exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	if response != nil || e.asked {
		e.responses++
		if e.responses == 1 {
			e.claimed = folded(userIn(e.mechanism, response))
		}
		if e.mechanism == sasl.Plain || e.responses == 2 {
			if err := e.observer.refuse(e.claimed); err != nil {
				return nil, false, err
			}
		}
	}
	e.asked = true
	return e.Server.Next(response)
}

// refuse is the refusal that a rule asks for, nil if there is none. The engine hears of it as of one of its own, and goes on from it.
func (o *observer) refuse(claimed string) error {
	rule := o.rule(facts{stage: AUTH, user: claimed})
	if rule == nil {
		return nil
	}
	answer := o.do(&rule.do, AUTH)
	if answer == nil {
		return nil
	}
	o.instead, o.forced = answer, true
	if r := rule.do.reply; r != nil {
		return &smtp.SMTPError{Code: r.code, Message: r.text}
	}
	return &smtp.SMTPError{Code: 454, Message: "The server is in trouble"} // which nobody hears
}

// observer is who stands beside an open connection.
func (s *Server) observer(session string) *observer {
	o, _ := s.observers.Load(session)
	of, _ := o.(*observer)
	return of
}
