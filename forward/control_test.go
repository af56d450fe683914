package forward

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/spool"
)

func (h *house) order(o spool.Order) spool.Outcome {
	h.Helper()
	out, err := h.queue.Change(context.Background(), o, nil)
	if err != nil {
		h.Fatal(err)
	}
	return out
}

// What is rerouted goes to the relay with its next attempt, all recipients together, and to no other hop; its login is not shown.
func TestOperatorReroutes(t *testing.T) {
	inHouse(t, func(h *house) {
		h.hosts["x.example"] = takes(450)
		h.add(nil, "a@x.example", "b@x.example")
		h.run(time.Second)
		h.calls, h.moved = nil, map[string]string{"b@x.example": "elsewhere"}
		h.order(spool.Order{Verb: spool.Reroute, Relay: "smtps://user:secret@relay.example"})
		h.run(2 * time.Minute)
		same(h, "attempts", []string{"relay.example: a@x.example b@x.example"}, h.calls)
		same(h, "left", nil, h.left())
		if strings.Contains(h.log.String(), "secret") {
			h.Errorf("the password is in the log:\n%s", h.log.String())
		}
		h.calls = nil
		h.add(nil, "a@x.example")
		h.order(spool.Order{Verb: spool.Reroute, Relay: "not a relay"})
		h.run(time.Second)
		same(h, "attempts at a relay that cannot be read", nil, h.calls)
		same(h, "left", []string{"waiting x.example: a@x.example"}, h.left())
	})
}

// Mail that an operator returns is not tried again, and its sender is told; mail that is removed while it is being tried is forgotten
// when that attempt has failed, and nobody is told.
func TestOperatorEndsMail(t *testing.T) {
	inHouse(t, func(h *house) {
		h.hosts["x.example"] = takes(450)
		h.add(nil, "a@x.example")
		h.run(time.Second)
		h.calls = nil
		h.order(spool.Order{Verb: spool.Return})
		h.run(time.Second)
		same(h, "attempts", []string{"from.example: alice@from.example"}, h.calls)
		if reports := h.reports(); len(reports) != 1 || !strings.Contains(reports[0].content, "returned by the operator") {
			h.Errorf("reports: %+v", reports)
		}
		h.mails = nil
		h.hosts["x.example"] = func(ctx context.Context, m deliver.Message) ([]deliver.Result, error) {
			if out := h.order(spool.Order{Verb: spool.Remove}); out.Leased != 1 {
				h.Errorf("removed while it is tried: %+v", out)
			}
			return takes(450)(ctx, m)
		}
		h.add(nil, "a@x.example")
		h.run(time.Second)
		same(h, "left", nil, h.left())
		same(h, "reports", 0, len(h.reports()))
	})
}

// The history tells of each hop, and what mail that is given up was told last.
func TestHistoryTellsOfEachHop(t *testing.T) {
	inHouse(t, func(h *house) {
		h.Configure(Settings{Retry: []time.Duration{time.Minute}, GiveUp: time.Hour})
		h.hops["x.example"] = []string{"dead", "busy"}
		h.hosts["dead"] = dead
		h.hosts["busy"] = func(ctx context.Context, m deliver.Message) ([]deliver.Result, error) {
			<-time.After(2 * time.Second) // the bubble's clock
			results, err := takes(450)(ctx, m)
			results[0].TLS = "TLS 1.3"
			return results, err
		}
		id := h.add(nil, "a@x.example")
		begin := time.Now()
		h.run(2 * time.Hour)
		stories, err := h.queue.Trace(h.Context(), id, 1)
		if err != nil || len(stories) != 1 || stories[0].Ended.IsZero() {
			h.Fatalf("%+v, %v", stories, err)
		}
		attempts := stories[0].Attempts
		same(h, "first attempt", []spool.Try{
			{Result: spool.Result{Address: "a@x.example", Reply: reply(451)}, At: begin},
			{Result: spool.Result{Address: "a@x.example", Hop: "a host", Reply: reply(450)}, TLS: "TLS 1.3", At: begin, Took: 2 * time.Second},
		}, attempts[0].Tries)
		last := attempts[len(attempts)-1]
		if n := len(last.Tries); n != 3 || !strings.HasPrefix(last.Tries[2].Reply.Message, "given up after 1h") || len(last.Reports) != 1 || !last.Next.IsZero() {
			h.Errorf("last attempt: %+v", last)
		}
	})
}
