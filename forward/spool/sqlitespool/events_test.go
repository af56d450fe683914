package sqlitespool

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// ears want everything but what goes to quiet.example.
type ears []string

func (e ears) Names() []string { return e }

func (e ears) Want(event *spool.Event) []string {
	if event.Destination == "quiet.example" {
		return nil
	}
	return e
}

func openEars(t *testing.T, dir string, log *bytes.Buffer, rows int64, names ...string) *Spool {
	t.Helper()
	config := Config{Dir: dir, Log: zerolog.New(log), EventRows: rows}
	if names != nil {
		config.Listeners = ears(names)
	}
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func commitTo(t *testing.T, s *Spool, key string, to ...string) error {
	t.Helper()
	e := &spool.Envelope{ID: spool.NewID(), Account: "alice", From: "alice@from.example"}
	for _, address := range to {
		e.Recipients = append(e.Recipients, spool.Recipient{Address: address, Destination: address[strings.IndexByte(address, '@')+1:]})
	}
	d, err := s.Create(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return d.Commit(t.Context(), spool.Seal{Arrived: time.Now(), Key: []byte(key), Window: time.Hour})
}

// heard takes all events of a listener out, as "type recipient code".
func heard(t *testing.T, s *Spool, listener string) (words []string) {
	t.Helper()
	for {
		due, _, _, err := s.Notices(t.Context(), listener, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(due) == 0 {
			return words
		}
		var done []int64
		for _, n := range due {
			var e spool.Event
			if err := json.Unmarshal(n.Body, &e); err != nil || e.ID != n.ID || e.Message != n.Message {
				t.Errorf("%s: %v", n.Body, err)
			}
			words, done = append(words, strings.TrimSpace(string(e.Type)+" "+e.Recipient+" "+e.Enhanced)), append(done, n.Number)
		}
		if err := s.Told(t.Context(), done, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// Events are those of transactions that were made, and of no other.
func TestEventsAreTrue(t *testing.T) {
	var log bytes.Buffer
	s := openEars(t, t.TempDir(), &log, 0, "a", "b")
	defer s.Close()
	if err := commitTo(t, s, "1", "x@a.example", "y@a.example", "z@quiet.example"); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*spool.Duplicate](commitTo(t, s, "1", "x@a.example")); !ok {
		t.Fatal("the duplicate is queued")
	}
	want := []string{"queued x@a.example", "queued y@a.example"}
	if diff := cmp.Diff(want, heard(t, s, "a")); diff != "" {
		t.Errorf("queued (-want +got):\n%s", diff)
	}
	if _, err := s.Change(t.Context(), spool.Order{Verb: spool.Remove, Filter: spool.Filter{Destination: "quiet.example"}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := commitTo(t, s, "1", "x@a.example", "y@a.example", "z@quiet.example"); err != nil {
		t.Fatal("the part that was dropped is not queued:", err)
	}
	if words := heard(t, s, "a"); words != nil {
		t.Errorf("of the part that came again, of which nobody wants to hear: %q", words)
	}
	all, err := s.Claim(t.Context(), spool.Query{Max: 10, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		reply := func(code int) smtp.SMTPError {
			return smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}}
		}
		settlement := spool.Settlement{Delivery: d, Next: time.Now().Add(time.Hour), Results: []spool.Result{
			{Address: "x@a.example", Reply: reply(250)}, {Address: "y@a.example", Reply: reply(450)}, {Address: "z@quiet.example", Reply: reply(550)}},
			Reports: []spool.Report{{Envelope: spool.Envelope{ID: "report" + d.Destination, Parent: d.ID, Recipients: []spool.Recipient{{Address: "alice@from.example", Destination: "from.example"}}}}}}
		if err := s.Settle(t.Context(), settlement); err != nil {
			t.Fatal(err)
		}
		if err := s.Settle(t.Context(), settlement); !errors.Is(err, spool.ErrFenced) {
			t.Fatalf("settled twice: %v", err)
		}
	}
	if _, err := s.Change(t.Context(), spool.Order{Verb: spool.Remove, Filter: spool.Filter{Destination: "a.example"}}, nil); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, e := range heard(t, s, "a") {
		got[e]++
	}
	if diff := cmp.Diff(map[string]int{"delivered x@a.example 2.1.1": 1, "deferred y@a.example 4.1.1": 1, "queued alice@from.example": 2, "failed y@a.example 5.3.0": 1}, got); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
	if n := len(heard(t, s, "b")); n != 7 {
		t.Errorf("the other listener hears %d events, want 7", n)
	}
	if s.counted().events != 0 {
		t.Errorf("%d events are counted when all are told", s.counted().events)
	}
}

// A postponed event holds back those of its message, and none of others.
func TestEventsKeepTheirOrder(t *testing.T) {
	var log bytes.Buffer
	s := openEars(t, t.TempDir(), &log, 0, "a")
	defer s.Close()
	if err := errors.Join(commitTo(t, s, "1", "x@a.example", "y@a.example"), commitTo(t, s, "2", "z@b.example")); err != nil {
		t.Fatal(err)
	}
	due, _, _, err := s.Notices(t.Context(), "a", 10)
	if err != nil || len(due) != 2 {
		t.Fatalf("%d are due, %v; want the first of each message", len(due), err)
	}
	until := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	if err := s.Told(t.Context(), nil, []spool.Postponement{{Number: due[0].Number, Until: until}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"queued z@b.example"}, heard(t, s, "a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, next, changed, err := s.Notices(t.Context(), "a", 10)
	if err != nil || !next.Equal(until) {
		t.Errorf("the next is due at %v, %v; want %v", next, err, until)
	}
	if err := commitTo(t, s, "3", "w@c.example"); err != nil {
		t.Fatal(err)
	}
	<-changed
}

// Without listeners nothing is written; the bound drops the oldest and says so; what waits for listeners that are gone goes at a start.
func TestEventsAreBounded(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	s := openEars(t, dir, &log, 2)
	if err := commitTo(t, s, "1", "x@a.example"); err != nil || s.counted().events != 0 {
		t.Errorf("%v, and %d events for nobody", err, s.counted().events)
	}
	s.Close()
	s = openEars(t, dir, &log, 2, "a", "b")
	if err := errors.Join(commitTo(t, s, "2", "y@a.example"), commitTo(t, s, "3", "z@a.example")); err != nil {
		t.Fatal(err)
	}
	if n := s.counted().events; n != 2 || !strings.Contains(log.String(), "the oldest are dropped") {
		t.Errorf("%d events, want 2; log %s", n, log.String())
	}
	s.Close()
	s = openEars(t, dir, &log, 2, "b")
	defer s.Close()
	if n := s.counted().events; n != 1 || !strings.Contains(log.String(), `"webhook":"a"`) {
		t.Errorf("%d events, want 1; log %s", n, log.String())
	}
	if diff := cmp.Diff([]string{"queued z@a.example"}, heard(t, s, "b")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What waits for each listener, and what it never hears of, is counted: while mail comes and goes, over a failed transaction and a restart.
func TestBacklogs(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	s := openEars(t, dir, &log, 6, "a", "b")
	has := func(when string, a, b Backlog) {
		t.Helper()
		got := s.Backlogs()
		for name, of := range got {
			if (of.Dropped > 0) == of.LastDropped.IsZero() {
				t.Errorf("%s: %s: %+v", when, name, of)
			}
			of.LastDropped = time.Time{}
			got[name] = of
		}
		if diff := cmp.Diff(map[string]Backlog{"a": a, "b": b}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	has("at first", Backlog{}, Backlog{})
	if err := errors.Join(commitTo(t, s, "1", "x@a.example"), commitTo(t, s, "2", "y@a.example", "z@quiet.example")); err != nil {
		t.Fatal(err)
	}
	has("with two mails", Backlog{Waiting: 2}, Backlog{Waiting: 2})
	spoil(t, s, "ALTER TABLE total RENAME TO away")
	if err := commitTo(t, s, "3", "x@a.example"); err == nil {
		t.Fatal("taken without the table of totals")
	}
	has("after a failed transaction", Backlog{Waiting: 2}, Backlog{Waiting: 2})
	spoil(t, s, "ALTER TABLE away RENAME TO total")
	s.Close()
	s = openEars(t, dir, &log, 6, "a", "b")
	defer func() { s.Close() }()
	has("after a restart", Backlog{Waiting: 2}, Backlog{Waiting: 2})
	heard(t, s, "a")
	has("when one was told", Backlog{}, Backlog{Waiting: 2})
	if err := commitTo(t, s, "4", "x@a.example", "y@a.example", "z@a.example"); err != nil {
		t.Fatal(err)
	}
	has("when there are too many", Backlog{Waiting: 3}, Backlog{Waiting: 3, Dropped: 2})
}

// A queue of format 2 becomes one of format 3 with all that is in it.
func TestUpgradeFromFormat2(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	s := openEars(t, dir, &log, 0)
	if err := commitTo(t, s, "1", "x@a.example"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	c, err := connect(t.Context(), s.file(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.script("ALTER TABLE delivery DROP COLUMN orders; DROP TABLE recent; ALTER TABLE message DROP COLUMN key; ALTER TABLE duplicate DROP COLUMN anew; DROP TABLE event; ALTER TABLE total DROP COLUMN events; PRAGMA user_version = 2"), c.close()); err != nil {
		t.Fatal(err)
	}
	s = openEars(t, dir, &log, 0, "a")
	defer s.Close()
	if err := commitTo(t, s, "2", "y@a.example"); err != nil {
		t.Fatal(err)
	}
	if stats, err := s.Stats(t.Context()); err != nil || stats.Messages != 2 {
		t.Errorf("%+v, %v", stats, err)
	}
	if diff := cmp.Diff([]string{"queued y@a.example"}, heard(t, s, "a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
