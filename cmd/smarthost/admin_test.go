package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// A page ends with a whole message, so that what follows is neither left out nor shown twice.
func TestQueuePagesAreWhole(t *testing.T) {
	s, err := sqlitespool.Open(t.Context(), sqlitespool.Config{Dir: t.TempDir(), MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, id := range []string{"id1", "id2", "id3"} {
		e := &spool.Envelope{ID: id, Account: "alice", From: "alice@example.org"}
		for n := range 3 {
			domain := fmt.Sprintf("d%d.example", n)
			e.Recipients = append(e.Recipients, spool.Recipient{Address: "x@" + domain, Destination: domain})
		}
		keep(t, s, e)
	}
	q := adminQueue{&service{Spool: s}}
	for limit, want := range map[int]string{1: "3 id1, 3 id2, 3 id3", 3: "3 id1, 3 id2, 3 id3", 4: "6 id2, 3 id3", 9: "9 id3", 100: "9 id3"} {
		var pages []string
		for after := ""; ; {
			page, err := q.List(t.Context(), admin.Filter{}, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			pages = append(pages, fmt.Sprintf("%d %s", len(page.Entries), page.Entries[len(page.Entries)-1].ID))
			if after = page.Next; after == "" {
				break
			}
		}
		if got := strings.Join(pages, ", "); got != want {
			t.Errorf("limit %d: %s, want %s", limit, got, want)
		}
	}
	page, err := q.List(t.Context(), admin.Filter{IDs: []string{"id2"}, Destination: "d1.example", OlderThan: admin.Span(time.Hour)}, "", 10)
	if err != nil || len(page.Entries) != 0 {
		t.Errorf("%v %v", page, err)
	}
	var pieces int
	outcome, err := q.Change(t.Context(), admin.Order{Do: "hold", Filter: admin.Filter{Destination: "d1.example"}}, func(admin.Outcome) { pieces++ })
	if err != nil || outcome.Changed != 3 || pieces == 0 {
		t.Errorf("%+v after %d pieces, %v", outcome, pieces, err)
	}
	if page, err = q.List(t.Context(), admin.Filter{State: "held"}, "", 10); err != nil || len(page.Entries) != 3 || page.Entries[0].Destination != "d1.example" {
		t.Errorf("%+v %v", page, err)
	}
	// Names are as people write them.
	if page, err = q.List(t.Context(), admin.Filter{Account: "Alice", Destination: "D1.Example."}, "", 10); err != nil || len(page.Entries) != 3 {
		t.Errorf("%+v %v", page, err)
	}
	for written, want := range map[admin.Rule]admin.Rule{
		{Account: "ALICE", Destination: "B\u00fccher.Example"}: {Account: "alice", Destination: "xn--bcher-kva.example"},
		{Account: "no body", Sender: "A@*"}:                    {Account: "no body", Sender: "A@*"},
	} {
		if r, err := q.AddRule(t.Context(), written); err != nil || r.Account != want.Account || r.Destination != want.Destination || r.Sender != want.Sender {
			t.Errorf("%+v %v, want %+v", r, err, want)
		}
	}
	_, err = q.Change(t.Context(), admin.Order{Do: "reroute", Relay: "smtp://u:hunter2@"}, nil)
	if f, ok := errors.AsType[*admin.Fault](err); !ok || f.Status != 400 || strings.Contains(f.What+f.Do, "hunter2") {
		t.Errorf("%v", err)
	}
}

// Health turns red when the volume or the certificate breaks, and says so of accounts.
func TestHealthSeesTrouble(t *testing.T) {
	data := t.TempDir()
	c := wired(t, "hostname = \"mx.example.org\"\ndata = \""+data+"\"\n[listen]\nsubmission = [\"127.0.0.1:0\"]\nsubmissions = []\n")
	s := serviceOf(t, c, zerolog.Nop())
	see := func(name string, want admin.State, words string) {
		t.Helper()
		for _, check := range s.healthChecks() {
			if check.Name != name {
				continue
			}
			if state, why := check.Look(t.Context()); state != want || !strings.Contains(why, words) {
				t.Errorf("%s: %s, %q; want %s, %q", name, state, why, want, words)
			}
			return
		}
		t.Errorf("there is no check %s", name)
	}
	see("listeners", admin.Failed, "no door is open")
	see("connections", admin.OK, "0 of 20000")
	see("accounts", admin.Failed, "cannot be read")
	if _, err := addLogin(c, auth.Login{Account: auth.Account{Name: "alice", Senders: []string{"*"}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Users.Reload(); err != nil {
		t.Fatal(err)
	}
	see("accounts", admin.OK, "loaded")
	see("certificate", admin.OK, "valid until")
	s.Certificates = &certificates{}
	see("certificate", admin.Failed, "none yet")
	see("spool", admin.OK, "a durable write took")
	see("space", admin.OK, "MiB are free")
	aside := filepath.Join(data, "gone")
	if err := os.Rename(queueFolder(c), aside); err != nil {
		t.Fatal(err)
	}
	see("spool", admin.Failed, "cannot be written")
	see("space", admin.Failed, "does not tell")
	if err := os.Rename(aside, queueFolder(c)); err != nil {
		t.Fatal(err)
	}
	see("spool", admin.OK, "a durable write took")
	for range routeFails {
		s.Routes.breaks("relay")
	}
	see("route", admin.OK, "nothing has been delivered yet") // nothing waits
}

// Health says no before the doors close, for as long as listen.drain says; a fault does not wait.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			drain, fault, want time.Duration
		}{{0, 0, 0}, {10 * time.Second, 0, 10 * time.Second}, {10 * time.Second, 3 * time.Second, 3 * time.Second}} {
			s := &service{Health: &admin.Health{}}
			config := new(Config)
			config.Listen.Drain = c.drain
			s.inForce.Store(config)
			stop, cancel := context.WithCancel(t.Context())
			whole, fault := context.WithCancel(t.Context())
			ended := make(chan time.Duration, 1)
			began := time.Now()
			go func() {
				s.drain(stop, whole)
				ended <- time.Since(began)
			}()
			synctest.Wait()
			if s.Health.Ready(t.Context()).State != admin.OK {
				t.Error("not ready before the end")
			}
			cancel()
			synctest.Wait()
			if s.Health.Ready(t.Context()).State != admin.Failed {
				t.Error("ready though the server stops")
			}
			if c.fault > 0 {
				time.AfterFunc(c.fault, fault)
			}
			if took := <-ended; took != c.want {
				t.Errorf("%+v: the doors close after %s", c, took)
			}
			fault()
		}
	})
}

// A reload that the API wishes for is told of, faults included.
func TestReloadIsToldOf(t *testing.T) {
	s := &service{reloads: make(chan chan<- error)}
	go func() { (<-s.reloads) <- errors.New("the config is wrong") }()
	if err := s.reloadNow(t.Context()); err == nil || err.Error() != "the config is wrong" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if f, ok := errors.AsType[*admin.Fault](s.reloadNow(ctx)); !ok || f.Status != 503 {
		t.Errorf("%v", f)
	}
}
