package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/cmd/smarthost/doctor"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

func TestParseTarget(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"mx.example.org":       "mx.example.org 0",
		"mx.example.org.":      "mx.example.org 0",
		"mx.example.org:2587":  "mx.example.org 2587",
		"bücher.example":       "xn--bcher-kva.example 0",
		"192.0.2.1":            "192.0.2.1 0",
		"192.0.2.1:465":        "192.0.2.1 465",
		"2001:db8::1":          "2001:db8::1 0",
		"[2001:db8::1]":        "2001:db8::1 0",
		"[2001:db8::1]:587":    "2001:db8::1 587",
		"MX.Example.ORG.:587":  "mx.example.org 587",
		"[fe80::1%eth0]:587":   "fe80::1%eth0 587",
		"[mx.example.org]:587": "mx.example.org 587",
		"my_mail:587":          "my_mail 587",
		"bücher.example。:587":  "xn--bcher-kva.example 587",
		"smtp://mx.example":    "error",
		"alice@mx.example.org": "error",
		"a..b":                 "error",
		"[":                    "error",
		"[]":                   "error",
		"b_ücher.example":      "error",
		"mx.example.org:smtp":  "error",
		"mx.example.org:70000": "error",
		"":                     "error",
		"a b":                  "error",
	} {
		host, port, err := parseTarget(target)
		got := fmt.Sprint(host, " ", port)
		var usage usageError
		if err != nil {
			got = "error"
			if !errors.As(err, &usage) {
				t.Errorf("%q: %v is no error of use", target, err)
			}
		}
		if got != want {
			t.Errorf("%q: %s, want %s", target, got, want)
		}
	}
}

func TestPlainAddress(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"alice@example.org": true, "alice": false, "Alice <alice@example.org>": false, "": false, "a@b\r\nRCPT TO:<c@d>": false, "älice@example.org": false,
		`"a b"@example.org`: false, "a@b> SIZE=1": false,
	} {
		if got := plainAddress(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestDoctorIsCalledWrongly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"a.example b.example", "takes one server"},
		{"smtp://mx.example.org", `leave out "smtp://"`},
		{"--user alice", "name the server to log in at"},
		{"mx.example --send bob@example.net", "need --user"},
		{"mx.example --user alice --from nobody", "--from"},
		{"mx.example --user alice --send bob@example.net --password-stdin", "needs a sender"},
		{"mx.example --user alice", "--password-stdin"},
		{"mx.example --user alice --password-stdin", "empty"},
		{"mx.example --ca /nonexistent", "--ca"},
	} {
		var out, errs strings.Builder
		env := &environment{Context: context.Background(), Stdin: strings.NewReader("\n"), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
		if code := run(env, append([]string{"doctor"}, strings.Fields(c.args)...)); code != 2 || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%s: exit code %d, %s", c.args, code, errs.String())
		}
	}
}

// TestSenderIsUser: a user name that can stand in MAIL FROM is the sender, another one is not.
func TestSenderIsUser(t *testing.T) {
	t.Parallel()
	for user, want := range map[string]string{"bob@example.org": "bob@example.org", "bob": "", "bøb@example.org": "", "bob@example.org>\r\nRCPT TO:<x@example.net": ""} {
		env := &environment{Context: t.Context(), Stdin: strings.NewReader("secret\n")}
		e, err := newClientDoctor(env, "mx.example", &doctorFlags{user: user, passwordStdin: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.(doctor.Client).From; got != want {
			t.Errorf("%q sends as %q, want %q", user, got, want)
		}
	}
}

// TestFollow: a mail that has left the queue is told apart from one that stays there, and from one that was never in it.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "queue")
		s, err := sqlitespool.Open(t.Context(), sqlitespool.Config{Dir: dir, MinFree: 1, History: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		queue, err := sqlitespool.OpenReadOnly(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer queue.Close()
		for id, code := range map[string]int{"taken": 250, "bounces": 550} {
			settle(t, s, id, code)
		}
		keep(t, s, mailToBob("stays"))
		if f := follow(t.Context(), queue, "4dGkQz1Xyz"); f.Check != "" {
			t.Errorf("another server's: %+v", f)
		}
		if f := follow(t.Context(), queue, "taken"); f.Level != doctor.Good || !strings.HasSuffix(f.What, "mx.example.com [192.0.2.9] says 250 2.0.0 words") {
			t.Errorf("it was taken: %+v", f)
		}
		if f := follow(t.Context(), queue, "bounces"); f.Level != doctor.Problem || !strings.Contains(f.What, "cannot be delivered") || !strings.HasSuffix(f.What, "says 550 5.0.0 words") {
			t.Errorf("it bounces: %+v", f)
		}
		start := time.Now()
		f := follow(t.Context(), queue, "stays")
		if f.Level != doctor.Warning || !strings.Contains(f.What, "stays is still in the queue after 1m0s: queued") || f.Do != "smarthost queue show stays" {
			t.Errorf("it stays: %+v", f)
		}
		if waited := time.Since(start); waited != followTime {
			t.Errorf("it was waited for %s", waited)
		}
	})
}

// TestFollowWithoutHistory: where no history is kept, a mail that was there and is gone has left.
func TestFollowWithoutHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "queue")
		s, err := sqlitespool.Open(t.Context(), sqlitespool.Config{Dir: dir, MinFree: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		keep(t, s, mailToBob("gone"))
		queue, err := sqlitespool.OpenReadOnly(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer queue.Close()
		time.AfterFunc(followTime/2, func() { settleQueued(t, s, 250) })
		if f := follow(t.Context(), queue, "gone"); f.Level != doctor.Good || !strings.Contains(f.What, "gone has left the queue") {
			t.Errorf("it has left: %+v", f)
		}
	})
}

func mailToBob(id string) *spool.Envelope {
	return &spool.Envelope{ID: id, Account: "alice", From: "alice@example.org", Recipients: []spool.Recipient{{Address: "bob@example.com", Destination: "example.com"}}}
}

// settle queues a mail and ends it with a reply of that code.
func settle(t *testing.T, s *sqlitespool.Spool, id string, code int) {
	t.Helper()
	keep(t, s, mailToBob(id))
	settleQueued(t, s, code)
}

// settleQueued ends the one mail in the queue.
func settleQueued(t *testing.T, s *sqlitespool.Spool, code int) {
	t.Helper()
	all, err := s.Claim(t.Context(), spool.Query{Max: 1, Lease: time.Minute})
	if err != nil || len(all) != 1 {
		t.Errorf("claim: %v, %v", all, err)
		return
	}
	reply := smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "words"}
	result := spool.Result{Address: "bob@example.com", Hop: "mx.example.com [192.0.2.9]", Reply: reply}
	if err := s.Settle(t.Context(), spool.Settlement{Delivery: all[0], Results: []spool.Result{result}}); err != nil {
		t.Errorf("settle: %v", err)
	}
}
