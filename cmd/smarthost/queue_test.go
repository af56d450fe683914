package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

// queueIn runs the command against the queue of data.
func queueIn(t *testing.T, data string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	env := &environment{Context: context.Background(), Stdout: &out, Stderr: io.Discard, Getenv: func(name string) string {
		if name == "SMARTHOST_DATA" {
			return data
		}
		return ""
	}}
	err := queueCommand(env, args)
	return out.String(), err
}

func keep(t *testing.T, s *sqlitespool.Spool, e *spool.Envelope) {
	t.Helper()
	d, err := s.Create(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(bytes.Repeat([]byte("x"), 2048)); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(context.Background(), spool.Seal{Arrived: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

// checklist 117: the queue is listed while the server has it open.
func TestQueueListsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := t.TempDir()
		s, err := sqlitespool.Open(t.Context(), sqlitespool.Config{Dir: filepath.Join(data, "queue"), MinFree: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		keep(t, s, &spool.Envelope{ID: "id1", Account: "alice", From: "alice@example.org", Recipients: []spool.Recipient{
			{Address: "bob@example.com", Destination: "example.com"}, {Address: "carol@example.com", Destination: "example.com"}}})
		ds, err := s.Claim(t.Context(), spool.Query{Max: 1, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Settle(t.Context(), spool.Settlement{Delivery: ds[0], Next: time.Now().Add(4 * time.Minute), Results: []spool.Result{{Address: "bob@example.com", Hop: "mx.example.com [192.0.2.1]",
			Reply: smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "later\r\n\x1b[31mplease"}}}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		keep(t, s, &spool.Envelope{ID: "id2", From: "", Recipients: []spool.Recipient{{Address: "alice@example.org", Destination: "example.org"}}})
		const first = "id1  30 s old  2 KiB  alice@example.org -> example.com  waiting, 1 attempt, next try in 3 min\n" +
			"    bob@example.com: 451 4.7.1 later  ?[31mplease (mx.example.com [192.0.2.1])\n" +
			"    carol@example.com\n"
		const second = "id2  0 s old  2 KiB  <> (report) -> example.org  queued, next try now\n    alice@example.org\n"
		for _, c := range []struct{ args, want string }{
			{"", first + second},
			{"list", first + second},
			{"list --limit 1", first},
			{"--account alice", first},
			{"--destination example.org", second},
			{"show id2", second},
			{"--account nobody", "No mail in the queue matches.\n"},
		} {
			if got, err := queueIn(t, data, strings.Fields(c.args)...); err != nil || got != c.want {
				t.Errorf("queue %s: %v\n%s\nwant\n%s", c.args, err, got, c.want)
			}
		}
		text, err := queueIn(t, data, "show", "id1", "--json")
		var got queueEntry
		if err := errors.Join(err, json.Unmarshal([]byte(text), &got)); err != nil {
			t.Fatal(err)
		}
		if got.ID != "id1" || got.Next == nil || got.Attempts != 1 || len(got.Recipients) != 2 || got.Recipients[0].Hop != "mx.example.com [192.0.2.1]" {
			t.Errorf("JSON %s", text)
		}
		if _, err := queueIn(t, data, "show", "nothing"); err == nil || !strings.Contains(err.Error(), `no message "nothing"`) {
			t.Errorf("show of nothing: %v", err)
		}
	})
}

func TestEmptyQueueSaysSo(t *testing.T) {
	data := t.TempDir()
	if _, err := queueIn(t, data); err == nil || !strings.Contains(err.Error(), "there is no queue in "+data) {
		t.Errorf("no queue at all: %v", err)
	}
	s, err := sqlitespool.Open(t.Context(), sqlitespool.Config{Dir: filepath.Join(data, "queue"), MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if got, err := queueIn(t, data); err != nil || got != "The queue is empty.\n" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := queueIn(t, data, "--json"); err != nil || got != "" {
		t.Errorf("JSON: %q, %v", got, err)
	}
}

func TestQueueUsage(t *testing.T) {
	for _, args := range []string{"show", "show a b", "list a", "delete x", "--limit -1", "--nope"} {
		_, err := queueIn(t, t.TempDir(), strings.Fields(args)...)
		var usage usageError
		if !errors.As(err, &usage) {
			t.Errorf("queue %s: %v", args, err)
		}
	}
	if out, err := queueIn(t, t.TempDir(), "--help"); !errors.Is(err, errHelp) || !strings.Contains(out, "Example") {
		t.Errorf("help: %v\n%s", err, out)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain ü": "plain ü", "a\r\nb\tc": "a  b c", "\x1b]0;x\a": "?]0;x?", "\xff": "?", "\u202eabc": "?abc",
		strings.Repeat("ü", 400): strings.Repeat("ü", 300) + "…",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}
