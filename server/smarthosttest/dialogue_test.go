package smarthosttest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/server"
	"github.com/seed-1397b510/smarthost/server/dialogue"
)

// TestDialogues plays the production server's own dialogues.
func TestDialogues(t *testing.T) {
	dialogue.Play(t, "../testdata", func(t testing.TB, size int64) *dialogue.House {
		_, h := newHouse(t, Config{MaxMessageSize: size})
		return h
	})
}

// newHouse is a server in memory with the accounts of the dialogues, and itself as they see it.
func newHouse(t testing.TB, c Config) (*Server, *dialogue.House) {
	t.Helper()
	log := new(dialogue.Log)
	c.Hostname, c.InMemory, c.Log = dialogue.Hostname, true, zerolog.New(log).With().Timestamp().Logger()
	s, err := build(c, t)
	if err != nil {
		t.Fatal(err)
	}
	accounts, registry := new(dialogue.Accounts), prometheus.NewRegistry()
	s.engine.Auth, s.engine.Metrics = &logins{&auth.Authenticator{Store: accounts}, s}, registry
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(s.transcripts())
		}
	})
	return s, &dialogue.House{
		Dial: func(from string, implicit bool) (net.Conn, error) {
			return s.DialFrom(context.Background(), netip.MustParseAddr(from), implicit)
		},
		TLS: s.ClientTLS(),
		Configure: func(to dialogue.Settings) error {
			return s.Configure(server.Settings{Unauthenticated: server.Mode(to.Unauthenticated), Help: to.Help, MaxRecipients: to.MaxRecipients, DuplicateWindow: to.DuplicateWindow})
		},
		Accounts:    accounts,
		Limits:      s.limits,
		Spool:       func(state string) error { return spoolState(s, state) },
		Certificate: func(is bool) { s.uncertified.Store(!is) },
		Kept:        func() []dialogue.Message { return kept(s) },
		Log:         log,
		Registry:    registry,
	}
}

func spoolState(s *Server, state string) error {
	if state == "ok" {
		s.Mend()
		return nil
	}
	trouble, ok := map[string]Trouble{"full": StorageFull, "filling": StorageFilling, "broken": StorageBroken, "failing": StorageFailing}[state]
	if !ok {
		return fmt.Errorf("no state %q", state)
	}
	return s.Break(trouble)
}

func kept(s *Server) (of []dialogue.Message) {
	for _, m := range s.Messages() {
		one := dialogue.Message{Content: m.Forwarded()}
		for _, r := range m.Envelope.Recipients {
			one.Recipients = append(one.Recipients, r.Address)
		}
		of = append(of, one)
	}
	return of
}
