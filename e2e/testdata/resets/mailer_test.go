package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-1397b510/smarthost/policy/limit"
	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// TestMain lets the test's own binary be the program, as a child process.
func TestMain(m *testing.M) {
	if os.Getenv("RESETS_IS_THE_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

var app = smarthosttest.User{Name: "app", Password: "secret", Senders: []string{"noreply@example.com"}}

// mailerFor is a mailer that reaches srv and trusts it.
func mailerFor(srv *smarthosttest.Server) *Mailer {
	host, port, _ := net.SplitHostPort(srv.Addr)
	return &Mailer{Host: host, Port: port, User: app.Name, Password: app.Password, TLS: srv.ClientTLS(), Dial: srv.DialContext}
}

func TestReset(t *testing.T) {
	t.Parallel()
	srv := smarthosttest.NewServer(t, smarthosttest.WithUser(app))
	if err := mailerFor(srv).SendReset(t.Context(), "bob@example.net", "5f3a"); err != nil {
		t.Fatal(err)
	}
	m := srv.One(smarthosttest.To("bob@example.net"))
	if link, err := m.Link("/reset/"); err != nil || !strings.HasSuffix(link, "/5f3a") {
		t.Errorf("link %q, %v", link, err)
	}
	if hidden := m.HiddenRecipients(); len(hidden) != 0 {
		t.Errorf("somebody else got it: %q", hidden)
	}
	srv.Clean()
}

// The program's own process finds the server and trusts it by its environment alone.
func TestProgram(t *testing.T) {
	t.Parallel()
	srv := smarthosttest.NewServer(t, smarthosttest.WithUser(app))
	program := exec.CommandContext(t.Context(), os.Args[0], "bob@example.net", "ann@example.net")
	program.Env = append(srv.Env("app"), "RESETS_IS_THE_PROGRAM=yes")
	if out, err := program.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := srv.WaitN(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	srv.Clean()
}

// What a server does when it has had enough passes, in minutes that cost the test nothing.
func TestTriesAgain(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string][]smarthosttest.Rule{
		"greylisting":             smarthosttest.Greylisting("bob@*", 2),
		"overload":                smarthosttest.Overload(1),
		"an outage":               smarthosttest.Outage(10 * time.Minute),
		"a connection that dies":  {smarthosttest.On(smarthosttest.MAIL).Times(1).Drop()},
		"a mail that was kept":    smarthosttest.DiesAfterDATA(),
		"a mail said to be lost":  smarthosttest.DuplicateTrap(),
		"a login that is not now": {smarthosttest.On(smarthosttest.AUTH).Times(1).Reply(454, "4.7.0", "Try again later")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := smarthosttest.NewServer(t, smarthosttest.WithUser(app), smarthosttest.InMemory())
				srv.Script(rules...)
				if err := mailerFor(srv).SendReset(t.Context(), "bob@example.net", "5f3a"); err != nil {
					t.Fatal(err)
				}
				srv.One(smarthosttest.To("bob@example.net")) // and not two
			})
		})
	}
}

// What does not pass is told at once, and nothing is sent to whom it must not be.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string][]smarthosttest.Rule{
		"no such mailbox":        {smarthosttest.On(smarthosttest.RCPT).Reply(550, "5.1.1", "No such mailbox")},
		"STARTTLS is taken away": smarthosttest.StrippedSTARTTLS(),
		"an old certificate":     smarthosttest.BadCertificate(smarthosttest.Expired),
		"somebody else's":        smarthosttest.BadCertificate(smarthosttest.WrongName),
		"anybody's":              smarthosttest.BadCertificate(smarthosttest.SelfSigned),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := smarthosttest.NewServer(t, smarthosttest.WithUser(app))
			srv.Script(rules...)
			if err := mailerFor(srv).SendReset(t.Context(), "bob@example.net", "5f3a"); err == nil {
				t.Error("it was sent")
			}
			srv.None()
			srv.Clean("no-quit")
		})
	}
}

// A limit of the server's is kept by its own clock.
func TestWaitsForTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := app
		slow.Limit = limit.Class{Messages: limit.Rate{Amount: 1, Per: 10 * time.Minute}}
		srv := smarthosttest.NewServer(t, smarthosttest.WithUser(slow), smarthosttest.InMemory())
		begin := time.Now()
		for _, to := range []string{"bob@example.net", "ann@example.net"} {
			if err := mailerFor(srv).SendReset(t.Context(), to, "5f3a"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took < 10*time.Minute {
			t.Errorf("the second mail was taken after %s", took)
		}
	})
}
