package smarthosttest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-1397b510/smarthost/policy/limit"
	"github.com/seed-1397b510/smarthost/server"
)

// A witness is a test that remembers how it failed.
type witness struct {
	testing.TB
	failed   []string
	logged   []string
	cleanups []func()
}

func (w *witness) Helper()          {}
func (w *witness) Cleanup(f func()) { w.cleanups = append(w.cleanups, f) }
func (w *witness) Failed() bool     { return len(w.failed) > 0 }
func (w *witness) Logf(format string, args ...any) {
	w.logged = append(w.logged, fmt.Sprintf(format, args...))
}
func (w *witness) Errorf(format string, args ...any) {
	w.failed = append(w.failed, fmt.Sprintf(format, args...))
}
func (w *witness) Fatalf(format string, args ...any) {
	w.Errorf(format, args...)
	runtime.Goexit()
}

// watch runs a test to its end, with its cleanups, and tells how it failed.
func watch(test func(tb *witness)) *witness {
	w := new(witness)
	var running sync.WaitGroup
	running.Go(func() { test(w) })
	running.Wait()
	for i := len(w.cleanups) - 1; i >= 0; i-- {
		w.cleanups[i]()
	}
	return w
}

// Whatever is not as a test says fails it, and its log has the transcripts.
func TestFailuresTellAll(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		test func(t testing.TB, s *Server)
		want []string
	}{
		"all well": {func(t testing.TB, s *Server) {
			s.One(To("bob@*"))
			s.None(To("eve@*"))
			s.Clean("ehlo-name", "no-date", "no-message-id", "bcc-field")
		}, nil},
		"none where one":   {func(t testing.TB, s *Server) { s.One(To("eve@*")) }, []string{"<bob@example.net>", "C: RCPT TO:<bob@example.net>"}},
		"one where none":   {func(t testing.TB, s *Server) { s.None() }, []string{"<bob@example.net>", "C: RCPT TO:<bob@example.net>"}},
		"a rule never met": {func(t testing.TB, s *Server) { s.Script(On(RSET).Drop()) }, []string{`acted 0 times of 1: {"on":"rset","do":{"end":"drop"}}`, "C: QUIT"}},
		"a rule that may be": {func(t testing.TB, s *Server) {
			s.Script(On(RSET).Drop().Optional())
			s.Script(On(RSET).Drop())
			s.ClearRules()
		}, nil},
		"a rule that is none": {func(t testing.TB, s *Server) { s.Script(On(RSET)) }, []string{"it does nothing"}},
		"a rule too early":    {func(t testing.TB, s *Server) { s.Inbox("app").Script(On(Banner).Drop()) }, []string{"nobody has logged in there"}},
		"lint":                {func(t testing.TB, s *Server) { s.Clean() }, []string{"bcc-field", "RFC 5322 §3.6.3", "C: QUIT"}},
		"no such user":        {func(t testing.TB, s *Server) { s.Env("eve") }, []string{`no user "eve"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watch(func(w *witness) {
				s := NewServer(w, InMemory())
				if err := send(t, s, "app", "app@example.com", []string{"bob@example.net"}, letter); err != nil {
					t.Error(err)
				}
				c.test(w, s)
			})
			all := strings.Join(w.failed, "\n")
			if (len(c.want) == 0) != (all == "") {
				t.Errorf("failed with %q", all)
			}
			for _, want := range c.want {
				if !strings.Contains(all, want) {
					t.Errorf("%q is not in %q", want, all)
				}
			}
			if log := strings.Join(w.logged, ""); strings.Contains(log, "C: RCPT TO:<bob@example.net>") != (all != "") {
				t.Errorf("logged %q", log)
			}
		})
	}
}

func TestServersThatCannotBe(t *testing.T) {
	t.Parallel()
	taken := NewServer(t)
	for name, c := range map[string]Config{
		"is no address|missing port": {Listen: "nowhere"},
		"already in use":             {Implicit: taken.Addr},
		"two users":                  {Users: []User{{Name: "a", Password: "x"}, {Name: "A", Password: "x"}}},
		"a password has":             {Users: []User{{Name: "a"}}},
		"1 to 255":                   {Users: []User{{Name: "", Password: "x"}}},
		"not be negative":            {MaxMessages: -1},
		"max recipients":             {Settings: settingsOf(5)},
		"needs sockets":              {IPv6Blackhole: true, InMemory: true},
	} {
		s, err := Start(c)
		if err == nil {
			s.Close()
		}
		if err == nil || !containsAny(err.Error(), strings.Split(name, "|")) {
			t.Errorf("%v, want %q", err, name)
		}
	}
	if w := watch(func(w *witness) { NewServer(w, WithUser(User{})) }); !w.Failed() {
		t.Error("a server that cannot be does not fail the test")
	}
}

func containsAny(s string, of []string) bool {
	for _, one := range of {
		if strings.Contains(s, one) {
			return true
		}
	}
	return false
}

// The oldest give way, and Reset leaves nothing of what one test has done.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	s := NewServer(t, WithConfig(Config{MaxMessages: 2, MaxSessions: 3}), InMemory())
	s.Script(On(RSET).Drop().Optional())
	for i := range 5 {
		send(t, s, "app", fmt.Sprintf("n%d@example.com", i), []string{"bob@example.net"}, letter)
	}
	of := s.Messages()
	if len(of) != 2 || of[0].Seq != 4 || of[1].Seq != 5 || len(s.Sessions()) != 3 {
		t.Errorf("%d messages, %d sessions", len(of), len(s.Sessions()))
	}
	if n := s.Delete(From("n3@*")); n != 1 || len(s.Messages()) != 1 {
		t.Errorf("%d messages were deleted", n)
	}
	s.Reset()
	if len(s.Messages()) != 0 || len(s.Rules()) != 0 {
		t.Error("something is left")
	}
}

// Limits are a user's own and count by the clock, which synctest moves.
func TestLimitsByTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := limit.Class{Messages: limit.Rate{Amount: 1, Per: time.Hour}}
		s := NewServer(t, InMemory(), WithUser(User{Name: "slow", Password: "x", Senders: []string{"*"}, Limit: one}), WithUser(User{Name: "fast", Password: "x", Senders: []string{"*"}}))
		try := func(user, want string) {
			t.Helper()
			err := send(t, s, user, "a@example.com", []string{"b@example.net"}, letter)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", user, err, want)
			}
		}
		try("slow", "")
		try("slow", "450 \"4.7.1 messages: 1 of 1 messages this hour; next one in 1 h")
		try("fast", "")
		try("fast", "")
		time.Sleep(time.Hour)
		try("slow", "")
		if err := s.SetUser(User{Name: "slow", Password: "y", Senders: []string{"c@example.com"}}); err != nil {
			t.Error(err)
		}
		try("slow", "550 \"5.7.1 a@example.com is not an address of slow")
	})
}

// What the server stands on can break, and the words are its own.
func TestTroubles(t *testing.T) {
	t.Parallel()
	s := NewServer(t, InMemory())
	for trouble, want := range map[Trouble]string{
		StorageFull: "452", StorageFilling: "452", StorageBroken: "451", StorageFailing: "451", AccountsDown: "454", NoCertificate: "421",
	} {
		if err := s.Break(trouble); err != nil {
			t.Error(err)
		}
		if err := send(t, s, "app", "a@example.com", []string{"b@example.net"}, letter); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", trouble, err, want)
		}
		s.Mend()
		if err := send(t, s, "app", "a@example.com", []string{"b@example.net"}, letter); err != nil {
			t.Errorf("after %s: %v", trouble, err)
		}
	}
	if err := s.Break("a leg"); err == nil {
		t.Error("a leg is broken")
	}
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, InMemory())
		for i := 1; i <= 3; i++ {
			time.AfterFunc(time.Duration(i)*time.Minute, func() {
				send(t, s, "app", fmt.Sprintf("n%d@example.com", i), []string{"bob@example.net"}, letter)
			})
		}
		begin := time.Now()
		elapsed := func(want time.Duration, err error) {
			t.Helper()
			if took := time.Since(begin); took != want || err != nil {
				t.Errorf("took %s, want %s: %v", took, want, err)
			}
		}
		elapsed(30*time.Second, s.Quiet(t.Context(), 30*time.Second))
		_, err := s.WaitFor(t.Context(), From("n2@*"))
		elapsed(2*time.Minute, err)
		of, err := s.WaitN(t.Context(), 3)
		elapsed(3*time.Minute, err)
		if len(of) != 3 || s.Quiet(t.Context(), time.Hour, From("n1@*")) == nil {
			t.Errorf("%d messages came", len(of))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Quiet(ctx, time.Hour, From("n9@*")); err == nil {
			t.Error("it was quiet for an hour in a minute")
		}
		if _, err := s.WaitFor(ctx, From("n9@*")); err == nil || !strings.Contains(err.Error(), "deadline exceeded") || !strings.Contains(err.Error(), "n3@example.com") {
			t.Errorf("waited in vain: %v", err)
		}
		changed := s.Changed()
		s.Delete()
		<-changed
	})
}

func settingsOf(recipients int) server.Settings { return server.Settings{MaxRecipients: recipients} }
