package forward

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/spool"
)

// inHouse runs a test in a bubble of its own with an open queue.
func inHouse(t *testing.T, test func(h *house)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dir)
		defer h.close()
		test(h)
	})
}

func same[T any](h *house, what string, want, got T) {
	h.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		h.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// checklist 98, 105, 111: of one message a recipient is taken at once, one later, one never; each once, and one report tells of the failure.
func TestPartialSuccess(t *testing.T) {
	inHouse(t, func(h *house) {
		codes := map[string][]int{"ok@x.example": {250}, "later@x.example": {451, 250}, "gone@x.example": {550}, "away@x.example": {553}}
		h.hosts["x.example"] = each(func(address string) int {
			code := codes[address][0]
			codes[address] = codes[address][1:]
			return code
		})
		h.add(nil, "ok@x.example", "later@x.example", "gone@x.example", "away@x.example")
		h.run(time.Hour)
		same(h, "copies", "alice@from.example=1 later@x.example=1 ok@x.example=1", counts(h.got))
		same(h, "attempts", []string{
			"x.example: ok@x.example later@x.example gone@x.example away@x.example",
			"from.example: alice@from.example", "x.example: later@x.example"}, h.calls)
		same(h, "left", nil, h.left())
		for event, want := range map[string]int{"delivered": 3, "deferred": 1, "failed": 1, "reported": 1} { // the report is delivered too
			if n := strings.Count(h.log.String(), `"message":"`+event+`"`); n != want {
				h.Errorf("%d lines %q in the log, want %d", n, event, want)
			}
		}
		report := h.reports()[0]
		if report.From != "" {
			h.Errorf("the report's sender is %q", report.From)
		}
		for _, want := range []string{"Auto-Submitted: auto-replied", "gone@x.example", "away@x.example", "said 550", "said 553", "Action: failed", "Reporting-MTA: dns; relay.example"} {
			if !strings.Contains(report.content, want) {
				h.Errorf("the report lacks %q:\n%s", want, report.content)
			}
		}
		if strings.Contains(report.content, "later@x.example") {
			h.Error("the report speaks of a recipient that did not fail")
		}
	})
}

// A hop that cannot be talked to, or that says 4xx, makes room for the next one, for those recipients only (RFC 5321 §5.1).
func TestNextHop(t *testing.T) {
	inHouse(t, func(h *house) {
		h.hops["x.example"] = []string{"dead", "busy", "good", "never"}
		h.hosts["dead"] = dead
		h.hosts["busy"] = each(func(address string) int {
			return map[string]int{"ok@x.example": 250, "later@x.example": 450, "gone@x.example": 550}[address]
		})
		h.add(func(e *spool.Envelope) { e.From = "" }, "ok@x.example", "later@x.example", "gone@x.example", "unsaid@x.example")
		h.run(time.Second)
		same(h, "attempts", []string{
			"dead: ok@x.example later@x.example gone@x.example unsaid@x.example",
			"busy: ok@x.example later@x.example gone@x.example unsaid@x.example",
			"good: later@x.example unsaid@x.example"}, h.calls)
		same(h, "copies", "later@x.example=1 ok@x.example=1 unsaid@x.example=1", counts(h.got))
		same(h, "left", nil, h.left())
	})
}

// A hop that may have the message is not followed by another one in the same attempt (RFC 1047); what one hop lacks
// another may have, and if none has it, that is the answer (RFC 8689 §4.2.1).
func TestLostAndUnfit(t *testing.T) {
	marked := func(code int, mark func(*deliver.Result)) host {
		return func(ctx context.Context, m deliver.Message) ([]deliver.Result, error) {
			results, err := takes(code)(ctx, m)
			for i := range results {
				mark(&results[i])
			}
			return results, err
		}
	}
	lost := marked(451, func(r *deliver.Result) { r.Lost = true })
	unfit := marked(550, func(r *deliver.Result) { r.Unfit = true })
	inHouse(t, func(h *house) {
		h.hosts["lost"], h.hosts["unfit"], h.hosts["good"] = lost, unfit, takes(250)
		h.hops["x.example"], h.hops["y.example"], h.hops["z.example"] = []string{"lost", "good"}, []string{"unfit", "good"}, []string{"unfit"}
		h.add(func(e *spool.Envelope) { e.From = "" }, "a@x.example", "b@y.example", "c@z.example")
		h.run(time.Second)
		slices.Sort(h.calls)
		same(h, "attempts", []string{"good: b@y.example", "lost: a@x.example", "unfit: b@y.example", "unfit: c@z.example"}, h.calls)
		same(h, "left", []string{"waiting x.example: a@x.example"}, h.left())
	})
}

// When all hops are dead the mail waits.
func TestAllHopsDead(t *testing.T) {
	inHouse(t, func(h *house) {
		h.hops["x.example"] = strings.Fields("a b c d e f g h i j k l")
		for _, name := range h.hops["x.example"] {
			h.hosts[name] = dead
		}
		h.add(nil, "bob@x.example")
		h.run(time.Second)
		if len(h.calls) != maxHops {
			h.Errorf("%d hops were tried, want %d", len(h.calls), maxHops)
		}
		same(h, "left", []string{"waiting x.example: bob@x.example"}, h.left())
	})
}

// A destination that takes no mail is a failure at once (RFC 7505), one that cannot be looked up is not.
func TestRoutingErrors(t *testing.T) {
	inHouse(t, func(h *house) {
		null, trouble := reply(556), reply(451)
		h.fault["null.example"], h.fault["slow.example"], h.fault["odd.example"] = &null, &trouble, errors.New("odd")
		for _, d := range []string{"null.example", "slow.example", "odd.example"} {
			h.hops[d] = nil
		}
		h.add(nil, "a@null.example", "b@slow.example", "c@odd.example")
		h.run(time.Second)
		same(h, "attempts", []string{"from.example: alice@from.example"}, h.calls)
		same(h, "left", []string{"waiting odd.example: c@odd.example", "waiting slow.example: b@slow.example"}, h.left())
		if report := h.reports()[0].content; !strings.Contains(report, "said 556") || strings.Contains(report, "slow.example") {
			h.Errorf("the report is\n%s", report)
		}
	})
}

// Queued mail goes where the router of today says, and each recipient has its own way.
func TestReroute(t *testing.T) {
	inHouse(t, func(h *house) {
		h.hosts["x.example"] = takes(450)
		h.add(nil, "a@x.example", "b@x.example")
		h.run(time.Second)
		h.moved["a@x.example"], h.calls = "relay", nil
		h.run(2 * time.Minute)
		same(h, "attempts", []string{"relay: a@x.example", "x.example: b@x.example"}, h.calls)
		same(h, "left", []string{"waiting x.example: b@x.example"}, h.left())
	})
}

// Content that is damaged is set aside and reported, not sent and not lost; other trouble of ours waits for its turn.
func TestDamagedContent(t *testing.T) {
	for _, test := range []struct {
		err   error
		state string
	}{
		{spool.ErrDamaged, "damaged"},
		{spool.ErrNotFound, "damaged"},
		{errors.New("too many open files"), "waiting"},
	} {
		inHouse(t, func(h *house) {
			h.hosts["x.example"] = func(context.Context, deliver.Message) ([]deliver.Result, error) { return nil, test.err }
			h.add(nil, "a@x.example")
			h.run(30 * time.Second)
			same(h, "left", []string{test.state + " x.example: a@x.example"}, h.left())
			if len(h.calls) != 1 {
				h.Errorf("%v: %d attempts, want one", test.err, len(h.calls))
			}
		})
	}
}

// Hops that say nothing do not hold a place for hours: after ten minutes no further one is tried.
func TestSilentHops(t *testing.T) {
	inHouse(t, func(h *house) {
		h.hops["x.example"] = strings.Fields("a b c d e f")
		for _, name := range h.hops["x.example"] {
			h.hosts[name] = func(ctx context.Context, m deliver.Message) ([]deliver.Result, error) {
				<-time.After(4 * time.Minute) // the bubble's clock
				return dead(ctx, m)
			}
		}
		h.add(nil, "bob@x.example")
		h.run(30 * time.Minute)
		if len(h.calls) < 4 || h.calls[0] != "a: bob@x.example" || h.calls[3] != "a: bob@x.example" {
			h.Errorf("attempts: %q, want three hops in each", h.calls)
		}
	})
}
