package spooltest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// story is the only one that key is part of.
func (h *harness) story(key string) spool.Story {
	h.Helper()
	all := h.stories(key)
	if len(all) != 1 {
		h.Fatalf("%d stories of %s", len(all), key)
	}
	return all[0]
}

func (h *harness) stories(key string) []spool.Story {
	h.Helper()
	all, err := h.Trace(context.Background(), key, 100)
	h.check(err)
	return all
}

func testTrace(h *harness) {
	now := time.UnixMilli(time.Now().UnixMilli())
	e := letter("bob@a.example", "carol@a.example", "dave@b.example")
	e.Device, e.Session, e.EnvelopeID = "laptop", "s1", "envelope"
	h.check(h.commit(e, "hello", spool.Seal{Arrived: now, MessageID: " <1@example.org> (comment)"}))
	d := h.claimOne("b.example")
	busy := spool.Result{Address: "bob@a.example", Hop: "mx1 [192.0.2.1]:25", Reply: reply(450)}
	taken := spool.Result{Address: "bob@a.example", Hop: "mx2 [192.0.2.2]:25", Reply: reply(250)}
	later := spool.Result{Address: "carol@a.example", Hop: "mx2 [192.0.2.2]:25", Reply: reply(451)}
	tries := []spool.Try{
		{Result: busy, At: now, Took: time.Second}, // in clear
		{Result: taken, TLS: "TLS 1.3", At: now.Add(time.Second), Took: 2 * time.Second},
		{Result: later, TLS: "TLS 1.3", At: now.Add(time.Second), Took: 2 * time.Second},
	}
	next := now.Add(time.Hour)
	h.check(h.Settle(context.Background(), spool.Settlement{Delivery: d, Results: []spool.Result{taken, later}, Tries: tries, Next: next}))
	s := h.story(e.ID)
	h.same("first attempt", s.Attempts, []spool.Attempt{{At: s.Attempts[0].At, Destination: "a.example", Tries: tries, Next: next}})
	if len(s.Entries) != 2 || len(s.Recipients) != 2 || !s.Ended.IsZero() || s.MessageID != "1@example.org" || s.Account != "alice" || s.Device != "laptop" {
		h.Errorf("story while it waits: %+v", s)
	}
	h.settle(h.claimOne("a.example"), 550, 0, report(e.ID, "alice@example.org"))
	h.change(spool.Retry, spool.Filter{})
	h.settle(h.claimOne("example.org"), 250, 0)
	h.reopen()
	s = h.story(e.ID)
	if len(s.Attempts) != 3 || s.Ended.IsZero() || len(s.Entries) != 0 || len(s.Recipients) != 0 {
		h.Errorf("story at its end: %+v", s)
	}
	h.same("reports", s.Attempts[1].Reports, []string{e.ID + "-f"})
	want := *e
	want.Recipients, want.Arrived, want.Size = nil, now, 5
	h.same("envelope at the end", s.Envelope, want)
	h.same("message id at the end", s.MessageID, "1@example.org")
	h.same("report's parent", h.story(e.ID+"-f").Parent, e.ID)
	h.same("story of nothing", len(h.stories("nothing")), 0)
}

// What operators did is told with the rest, from the queue and from the history, and without the relay's login.
func testTraceOrders(h *harness) {
	order := func(v spool.Verb, f spool.Filter, by string, relay spool.Relay) {
		h.Helper()
		_, err := h.Change(context.Background(), spool.Order{Verb: v, Filter: f, Relay: relay, By: by}, nil)
		h.check(err)
	}
	told := func(what, id string, want ...string) {
		h.Helper()
		got, last := []string(nil), time.Time{}
		for _, o := range h.story(id).Orders {
			if got = append(got, strings.TrimSpace(string(o.Verb)+" "+o.Destination+" "+o.By+" "+string(o.Relay))); o.At.Before(last) || time.Since(o.At) > time.Minute {
				h.Errorf("%s: at %v after %v", what, o.At, last)
			}
			last = o.At
		}
		slices.Sort(got) // orders of one millisecond have no order of their own
		h.same(what, got, slices.Sorted(slices.Values(want)))
	}
	id := h.keep(letter("bob@a.example", "bob@b.example"), "x")
	told("nothing", id)
	order(spool.Hold, spool.Filter{}, "ann", "")
	order(spool.Hold, spool.Filter{}, "ben", "") // which changes nothing
	order(spool.Reroute, spool.Filter{Destination: "a.example"}, "ben", "smtp://user:secret@relay.example")
	order(spool.Reroute, spool.Filter{Destination: "b.example"}, "cem", "")
	order(spool.Unhold, spool.Filter{Destination: "a.example"}, "ann", "")
	all := []string{"hold a.example ann", "hold b.example ann", "reroute a.example ben smtp://relay.example", "reroute b.example cem", "release a.example ann"}
	told("in the queue", id, all...)
	h.settle(h.claimOne(), 450, 0)
	h.settle(h.claimOne(), 250, 0)
	h.reopen()
	told("half of it delivered", id, all...)
	order(spool.Remove, spool.Filter{}, "dan", "")
	told("at its end", id, append(all, "drop b.example dan")...)
	h.same("attempts", len(h.story(id).Attempts), 3)
	id = h.keep(letter("bob@a.example"), "x")
	for range 40 {
		order(spool.Retry, spool.Filter{}, "cron", "")
	}
	order(spool.Return, spool.Filter{}, "ann", "")
	h.settle(h.claimOne(), 554, 0)
	h.same("orders of a delivery with many", len(h.story(id).Orders), 32)
	h.same("the last of them", h.story(id).Orders[31].Verb, spool.Return)
	r, err := h.AddRule(context.Background(), spool.Rule{Destination: "c.example"})
	h.check(err)
	id = h.keep(letter("bob@c.example"), "x")
	told("held on arrival", id, fmt.Sprintf("hold c.example rule %d", r.ID))
}

func testTraceKeys(h *harness) {
	add := func(id, to string) string {
		e := letter(to)
		h.check(h.commit(e, "x", spool.Seal{Arrived: time.Now(), MessageID: id}))
		return e.ID
	}
	first := add("One@example.org", "bob@a.example")
	h.settle(h.claimOne(), 250, 0)
	second := add(`"two <x>"@example.org`, "Carol@b.example")
	for key, want := range map[string]string{
		"One@example.org": first, "<One@example.org>": first, "bob@a.example": first, "BOB@A.example": first,
		`"two <x>"@example.org`: second, `<"two <x>"@example.org>`: second, "carol@B.EXAMPLE": second,
	} {
		h.same("traced by "+key, h.story(key).ID, want)
	}
	var got []string
	for _, s := range h.stories("ALICE@example.org") {
		got = append(got, s.ID)
	}
	h.same("traced by the sender", len(got), 2)
	h.same("not part of an address", len(h.stories("ob@a.example")), 0)
	h.settle(h.claimOne(), 250, 0)
	h.same("traced by the message id, when it has ended", h.story(`<"two <x>"@example.org>`).ID, second)
	one, err := h.Trace(context.Background(), "alice@example.org", 1)
	h.check(err)
	h.same("limit", len(one), 1)
}

func testLongReply(h *harness) {
	id := h.keep(letter("bob@a.example"), "x")
	d := h.claimOne()
	r := spool.Result{Address: "bob@a.example", Hop: "mx", Reply: reply(550)}
	r.Reply.Message = strings.Repeat("é", 4000)
	h.check(h.Settle(context.Background(), spool.Settlement{Delivery: d, Results: []spool.Result{r}}))
	h.same("kept of a long reply", h.story(id).Attempts[0].Tries[0].Reply.Message, strings.Repeat("é", 256))
}
