package forward

import (
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// checklist 103: waits follow the settings, the last one repeats, and each is spread by a tenth.
func TestWait(t *testing.T) {
	s := (&Forwarder{}).current()
	for attempts, want := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, time.Hour, time.Hour} {
		least, most := time.Duration(1<<62), time.Duration(0)
		for range 1000 {
			got := s.wait(attempts)
			least, most = min(least, got), max(most, got)
		}
		if least < want*9/10 || most > want*11/10 || most-least < want/10 {
			t.Errorf("after %d attempts between %v and %v, want %v and a tenth either way", attempts, least, most, want)
		}
	}
}

// checklist 103: giving up needs age and attempts: a clock that jumps returns nothing at once.
func TestGivesUp(t *testing.T) {
	now := time.Now()
	s := (&Forwarder{}).current()
	for _, test := range []struct {
		age      time.Duration
		attempts int
		want     bool
	}{
		{5 * 24 * time.Hour, 4, true},
		{5*24*time.Hour - time.Second, 100, false},
		{10 * 365 * 24 * time.Hour, 0, false},
		{10 * 365 * 24 * time.Hour, 3, false},
		{-time.Hour, 100, false}, // the clock went back
	} {
		d := spool.Delivery{Envelope: spool.Envelope{Arrived: now.Add(-test.age)}, Attempts: test.attempts}
		if got := s.givesUp(d, now); got != test.want {
			t.Errorf("age %v, %d attempts: %v", test.age, test.attempts, got)
		}
	}
}

// checklist 103, 105: temporary trouble becomes a refusal when the time is over, and the report says what the last reply was.
func TestGivingUp(t *testing.T) {
	inHouse(t, func(h *house) {
		h.Configure(Settings{GiveUp: 72 * time.Hour})
		h.hosts["x.example"] = takes(450)
		start := time.Now()
		h.add(nil, "bob@x.example")
		h.run(71 * time.Hour)
		same(h, "left before the time", []string{"waiting x.example: bob@x.example"}, h.left())
		if n := len(h.calls); n < 60 || n > 85 {
			h.Errorf("%d attempts in %v", n, time.Since(start))
		}
		h.run(3 * time.Hour)
		same(h, "left", nil, h.left())
		report := h.reports()[0].content
		for _, want := range []string{"Action: failed", "Status: 5.4.7", "given up after 3 days", "450 said 450"} {
			if !strings.Contains(report, want) {
				h.Errorf("the report lacks %q:\n%s", want, report)
			}
		}
	})
}

// Settings that change while mail waits hold for its next attempt.
func TestConfigure(t *testing.T) {
	inHouse(t, func(h *house) {
		h.hosts["x.example"] = takes(450)
		h.Configure(Settings{Retry: []time.Duration{time.Hour}})
		h.add(nil, "bob@x.example")
		h.run(30 * time.Minute)
		h.Configure(Settings{Retry: []time.Duration{time.Second}, GiveUp: 2 * time.Hour})
		h.run(time.Hour)
		if n := len(h.calls); n < 1000 {
			h.Errorf("%d attempts, want about one a second", n)
		}
	})
}

func TestRunNeedsItsFields(t *testing.T) {
	if err := (&Forwarder{}).Run(t.Context()); err == nil {
		t.Error("a Forwarder without anything ran")
	}
}
