package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// desk is a digest whose mails are kept in a list.
type desk struct {
	*digest
	messages prometheus.Counter
	refused  *prometheus.CounterVec
	config   *Config
	sent     []digestMail
	keys     []string
	fault    error
}

func newDesk(t *testing.T, text string) *desk {
	t.Helper()
	k := &desk{config: wired(t, text)}
	r := prometheus.NewRegistry()
	k.messages = prometheus.NewCounter(prometheus.CounterOpts{Name: "smarthost_messages_total"})
	k.refused = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "smarthost_refusals_total"}, []string{"stage", "code", "status"})
	r.MustRegister(k.messages, k.refused)
	k.digest = &digest{
		Config: func() *Config { return k.config },
		Counts: r,
		Status: func(context.Context) (admin.Status, error) { return admin.Status{}, nil },
		Recent: func() []admin.Refusal { return nil },
		Queue: func(_ context.Context, _, key string, m digestMail) error {
			if k.fault != nil {
				return k.fault
			}
			k.sent, k.keys = append(k.sent, m), append(k.keys, key)
			return nil
		},
		Log: zerolog.Nop(),
	}
	return k
}

const digestOn = "hostname = \"mx.example.org\"\n[digest]\nto = \"ops@example.org\"\nat = \"07:00\"\n"

func day(day, hour, minute int) time.Time {
	return time.Date(2026, 3, day, hour, minute, 0, 0, time.Local)
}

// lookAt looks, and says how many digests have gone out.
func (k *desk) lookAt(t *testing.T, at time.Time, want int) {
	t.Helper()
	if err := k.look(t.Context(), at); err != nil {
		t.Fatalf("at %s: %v", at, err)
	}
	if len(k.sent) != want {
		t.Fatalf("at %s: %d digests, want %d", at, len(k.sent), want)
	}
}

func TestDigestGoesOnceADay(t *testing.T) {
	k := newDesk(t, digestOn)
	k.messages.Add(5) // before the digest was wanted
	k.lookAt(t, day(1, 12, 0), 0)
	k.messages.Add(3)
	k.refused.WithLabelValues("MAIL", "530", "5.7.0").Add(2)
	k.lookAt(t, day(2, 6, 59), 0)
	k.lookAt(t, day(2, 7, 0), 1)
	k.lookAt(t, day(2, 7, 1), 1)
	k.lookAt(t, day(2, 23, 59), 1)
	if got := k.sent[0].Counts; got["messages"] != 3 || got["refused MAIL 530 5.7.0"] != 2 || !k.sent[0].Since.Equal(day(1, 12, 0)) {
		t.Errorf("the first tells %v since %v", got, k.sent[0].Since)
	}
	k.messages.Add(4)
	k.lookAt(t, day(3, 7, 30), 2)
	if got := k.sent[1].Counts["messages"]; got != 4 || !k.sent[1].Since.Equal(day(2, 7, 0)) {
		t.Errorf("the second tells of %v messages since %v", got, k.sent[1].Since)
	}
	if k.keys[0] == k.keys[1] {
		t.Errorf("two days have one key: %q", k.keys[0])
	}
}

// A restart, whose counters begin at 0, loses no count and sends no second digest; one that was down at the time sends it late.
func TestDigestSurvivesRestarts(t *testing.T) {
	k := newDesk(t, digestOn)
	k.lookAt(t, day(1, 12, 0), 0)
	k.messages.Add(3)
	before := k.Changes()
	k.Note()
	if k.Changes() == before {
		t.Error("a count is no change, so that it would not be saved")
	}
	again := newDesk(t, digestOn)
	if err := again.Restore(k.Snapshot()); err != nil {
		t.Fatal(err)
	}
	again.messages.Add(4)
	again.lookAt(t, day(2, 9, 0), 1)
	if got := again.sent[0].Counts["messages"]; got != 7 {
		t.Errorf("%v messages over a restart, want 7", got)
	}
	third := newDesk(t, digestOn)
	if err := third.Restore(again.Snapshot()); err != nil {
		t.Fatal(err)
	}
	third.lookAt(t, day(2, 9, 5), 0)
	if err := third.Restore([]byte(`"no"`)); err == nil {
		t.Error("what is no state of a digest is taken")
	}
}

// A full queue puts it off; a queue that has it already, because the last process ended before it noted that, ends it.
func TestDigestThatIsNotQueued(t *testing.T) {
	k := newDesk(t, digestOn)
	k.lookAt(t, day(1, 12, 0), 0)
	k.messages.Inc()
	k.fault = spool.ErrFull
	if err := k.look(t.Context(), day(2, 7, 0)); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("with a full queue: %v", err)
	}
	k.fault = nil
	k.lookAt(t, day(2, 7, 1), 1)
	if got := k.sent[0].Counts["messages"]; got != 1 {
		t.Errorf("after a full queue: %v messages", got)
	}
	k.fault = &spool.Duplicate{ID: "first"}
	k.lookAt(t, day(3, 7, 0), 1)
	k.fault = nil
	k.lookAt(t, day(3, 7, 1), 1)
}

func TestDigestThatIsNotWanted(t *testing.T) {
	k := newDesk(t, "")
	for d := range 3 {
		k.lookAt(t, day(d+1, 12, 0), 0)
	}
	if k.Changes() != 0 {
		t.Error("something is noted for nobody")
	}
	k.config = wired(t, digestOn) // a reload
	k.lookAt(t, day(4, 12, 0), 0)
	k.lookAt(t, day(5, 7, 0), 1)
	k.config = wired(t, "")
	k.lookAt(t, day(6, 7, 0), 1)
	k.config = wired(t, digestOn)
	k.lookAt(t, day(9, 12, 0), 1)
}

func TestDigestSettings(t *testing.T) {
	for _, text := range []string{"at = \"7\"", "at = \"7:00\"", "at = \"24:00\"", "at = 7", "to = \"nobody\"", "to = \"a <b@example.org>\"", "to = \"a@b.example\\r\\nBcc: c@d.example\""} {
		if _, err := loadConfig(testEnvironment(t, nil), writeConfig(t, "[digest]\n"+text+"\n")); err == nil || !strings.Contains(err.Error(), "digest.") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDigestMail(t *testing.T) {
	oldest := day(1, 7, 0)
	m := digestMail{ID: "id1", Hostname: "mx.example.org", To: "ops@example.org", Now: day(2, 7, 0), Since: day(1, 7, 0),
		Counts: map[string]float64{"messages": 120, "recipients": 130, "duplicates": 1, "result delivered": 118, "result deferred": 7, "result failed": 2,
			"refused MAIL 530 5.7.0": 3, "refused AUTH 535 5.7.8": 40},
		Recent: []admin.Refusal{{Stage: "MAIL", Code: 530, Reply: "log in first\r\n.\r\nRCPT TO:<x>\u202e\u00e4"}, {Stage: "MAIL", Code: 530, Reply: "older"}},
	}
	m.Status.Queue = admin.QueueSize{Messages: 4, ByState: map[string]int{"waiting": 3, "held": 1}, Oldest: &oldest}
	m.Status.Certificate.Expires = day(12, 8, 0)
	text := string(m.Bytes())
	for line := range strings.SplitSeq(text, "\r\n") {
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) || len(line) > 998 {
			t.Errorf("the line %q is not one (RFC 5322 §2.1.1)", line)
		}
	}
	parsed, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if at, err := parsed.Header.Date(); err != nil || !at.Equal(m.Now) {
		t.Errorf("Date is %v, %v", at, err)
	}
	for field, want := range map[string]string{"From": "smarthost <postmaster@mx.example.org>", "To": "<ops@example.org>", "Message-Id": "<id1@mx.example.org>",
		"Auto-Submitted": "auto-generated", "Subject": "smarthost on mx.example.org: 120 accepted, 118 delivered, 2 failed"} {
		if got := parsed.Header.Get(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	at := 0
	for _, want := range []string{"from 2026-03-01 07:00 to 2026-03-02 07:00", "120 messages for 130 recipients; 1 more", "118 recipients", "7 times", "2 recipients, for good",
		"Refused     43 times", "40  AUTH 535 5.7.8", "3  MAIL 530 5.7.0", "such as: log in first??.??RCPT TO:<x>??", "4 messages: 0 new, 0 being tried, 3 waiting, 1 held", "came 24h0m0s ago", "for 10 more days"} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("%q is not there, or not in its place, in:\n%s", want, text)
		}
		at += i
	}
	m.Status.Certificate.Expires = day(1, 8, 0)
	if text := string(m.Bytes()); !strings.Contains(text, "EXPIRED") {
		t.Errorf("a certificate that has ended is not told of:\n%s", text)
	}
}

// The digest is in the server's own queue: from nobody, for its recipient's destination, and only once.
func TestDigestIsQueued(t *testing.T) {
	c := wired(t, "data = \""+t.TempDir()+"\"\n"+digestOn)
	var log bytes.Buffer
	s := serviceOf(t, c, zerolog.New(&log))
	if err := s.Digest.look(t.Context(), day(1, 12, 0)); err != nil {
		t.Fatal(err)
	}
	saved := s.Digest.Snapshot()
	for range 2 { // the second time as after a kill before it was saved
		if err := s.Digest.look(t.Context(), day(2, 7, 0)); err != nil {
			t.Fatal(err)
		}
		if err := s.Digest.Restore(saved); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for e, err := range s.Spool.List(t.Context(), spool.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if e.From != "" || e.Destination != "example.org" || len(e.Recipients) != 1 || e.Recipients[0].Address != "ops@example.org" {
			t.Errorf("queued is %+v", e)
		}
		body, err := s.Spool.Body(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || !strings.Contains(string(text), "<"+e.ID+"@mx.example.org>") {
			t.Errorf("%v, content:\n%s", err, text)
		}
		if !strings.Contains(log.String(), `"msg":"`+e.ID+`"`) {
			t.Errorf("the log does not tell of %s: %s", e.ID, log.String())
		}
	}
	if n != 1 {
		t.Errorf("%d digests are queued, want 1", n)
	}
}
