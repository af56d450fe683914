package spooltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

var controls = []struct {
	name string
	test func(*harness)
}{
	{"held_mail_waits_until_it_is_released", testHold},
	{"retry_makes_due", testRetry},
	{"what_reached_nobody_is_chosen", testUnreached},
	{"an_order_for_what_is_leased_holds_afterwards", testLeasedOrders},
	{"rerouted_mail_keeps_its_relay", testReroute},
	{"removed_mail_is_gone", testRemove},
	{"removal_waits_for_the_lease", testRemoveLeased},
	{"mail_that_was_removed_or_returned_may_come_again", testComesAgain},
	{"of_mail_that_comes_again_only_what_was_removed_is_queued", testPartsComeAgain},
	{"returned_mail_is_settled_with_its_fate", testReturn},
	{"damaged_mail_can_only_be_removed", testRemoveDamaged},
	{"a_dry_run_changes_nothing", testDryRun},
	{"filters_choose", testFilters},
	{"orders_take_many_at_a_time", testManyOrders},
	{"rules_hold_on_arrival", testRules},
	{"trace_tells_the_whole_story", testTrace},
	{"trace_tells_what_was_ordered", testTraceOrders},
	{"trace_finds_by_message_id_and_address", testTraceKeys},
	{"history_is_bounded_per_reply", testLongReply},
}

func (h *harness) change(v spool.Verb, f spool.Filter, relay ...spool.Relay) spool.Outcome {
	h.Helper()
	o := spool.Order{Verb: v, Filter: f}
	if len(relay) > 0 {
		o.Relay = relay[0]
	}
	out, err := h.Change(context.Background(), o, nil)
	h.check(err)
	return out
}

// outcome compares the three counts.
func (h *harness) outcome(what string, got spool.Outcome, changed, leased, skipped int) {
	h.Helper()
	h.same(what, []int{got.Changed, got.Leased, got.Skipped}, []int{changed, leased, skipped})
}

func (h *harness) states() map[spool.State]int {
	h.Helper()
	_, _, byState := h.counts()
	listed := map[spool.State]int{}
	for _, e := range h.list(spool.Filter{}) {
		listed[e.State]++
	}
	if diff := cmp.Diff(listed, byState, cmpopts.EquateEmpty()); diff != "" {
		h.Errorf("states counted (-listed +counted):\n%s", diff)
	}
	return listed
}

func testHold(h *harness) {
	id := h.keep(letter("bob@a.example", "bob@b.example"), "x")
	tried := h.keep(letter("bob@c.example"), "x")
	h.settle(h.claimOne("a.example", "b.example"), 450, time.Hour)
	h.outcome("hold", h.change(spool.Hold, spool.Filter{}), 3, 0, 0)
	h.outcome("hold again", h.change(spool.Hold, spool.Filter{}), 0, 0, 3)
	h.idle()
	h.reopen()
	h.idle()
	h.same("states", h.states(), map[spool.State]int{spool.Held: 3})
	h.outcome("retry", h.change(spool.Retry, spool.Filter{}), 0, 0, 3)
	h.outcome("release one", h.change(spool.Unhold, spool.Filter{Destination: "b.example"}), 1, 0, 0)
	d := h.claimOne()
	h.same("released", []string{d.ID, d.Destination}, []string{id, "b.example"})
	h.settle(d, 250, 0)
	h.outcome("release", h.change(spool.Unhold, spool.Filter{}), 2, 0, 0)
	h.same("states", h.states(), map[spool.State]int{spool.Queued: 1, spool.Waiting: 1})
	for _, d := range h.claim(2) {
		if d.ID == tried {
			h.same("attempts", d.Attempts, 1)
		}
		h.settle(d, 250, 0)
	}
	h.empty()
}

func testRetry(h *harness) {
	h.keep(letter("bob@a.example"), "x")
	h.settle(h.claimOne(), 450, time.Hour)
	h.idle()
	h.outcome("retry", h.change(spool.Retry, spool.Filter{}), 1, 0, 0)
	d := h.claimOne()
	h.same("attempts", d.Attempts, 1)
	h.outcome("retry of what is being tried", h.change(spool.Retry, spool.Filter{}), 0, 0, 1)
	h.settle(d, 450, time.Hour)
	h.idle()
}

// Chosen is mail for which nobody was reached for any of the recipients that are left, and that goes by its route.
func testUnreached(h *harness) {
	network, handshake, greeting := smtp.EnhancedCode{4, 4, 1}, smtp.EnhancedCode{4, 7, 5}, smtp.EnhancedCode{4, 3, 2}
	said := func(hop string, code int, enhanced smtp.EnhancedCode) spool.Result {
		return spool.Result{Hop: hop, Reply: smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: "connect: connection refused"}}
	}
	want := map[string]bool{}
	for _, c := range []struct {
		all    []spool.Result // one for each recipient
		chosen bool
	}{
		{[]spool.Result{said("", 451, network)}, true},
		{[]spool.Result{said("", 451, handshake), said("", 451, network)}, true},
		{[]spool.Result{said("mx [192.0.2.1]:25", 451, network)}, false},
		{[]spool.Result{said("", 451, network), said("mx [192.0.2.1]:25", 450, network)}, false},
		{[]spool.Result{said("", 451, network), said("mx [192.0.2.1]:25", 250, network)}, true},
		{[]spool.Result{said("", 451, greeting)}, false},
		{nil, false},
	} {
		var to []string
		for i := range max(1, len(c.all)) {
			to = append(to, fmt.Sprintf("%d@a.example", i))
		}
		id := h.keep(letter(to...), "x")
		if c.chosen {
			want[id] = true
		}
		if c.all == nil {
			continue
		}
		d := h.claimOne()
		for d.ID != id { // those that were never tried are due
			h.check(h.Release(context.Background(), d))
			d = h.claimOne()
		}
		for i := range c.all {
			c.all[i].Address = to[i]
		}
		h.check(h.Settle(context.Background(), spool.Settlement{Delivery: d, Results: c.all, Next: time.Now().Add(time.Hour)}))
	}
	got := map[string]bool{}
	for _, e := range h.list(spool.Filter{Unreached: true}) {
		got[e.ID] = true
	}
	h.same("chosen", got, want)
	out, err := h.Change(context.Background(), spool.Order{Verb: spool.Retry, Filter: spool.Filter{Unreached: true}, DryRun: true}, nil)
	h.check(err)
	h.same("counted", out.Changed, len(want))
	h.change(spool.Reroute, spool.Filter{}, "smtp://relay.example")
	h.same("chosen of what was rerouted", len(h.list(spool.Filter{Unreached: true})), 0)
}

func testLeasedOrders(h *harness) {
	h.keep(letter("bob@a.example"), "x")
	d := h.claimOne()
	out := h.change(spool.Hold, spool.Filter{})
	h.outcome("hold", out, 0, 1, 0)
	h.same("named", out.IDs, []string{d.ID})
	h.same("states", h.states(), map[spool.State]int{spool.Leased: 1})
	h.settle(d, 450, -time.Second)
	h.same("states after a temporary reply", h.states(), map[spool.State]int{spool.Held: 1})
	h.idle()
	h.change(spool.Unhold, spool.Filter{})
	d = h.claimOne()
	h.change(spool.Hold, spool.Filter{})
	h.check(h.Release(context.Background(), d))
	h.same("states after a release", h.states(), map[spool.State]int{spool.Held: 1})
	h.idle()
	h.change(spool.Unhold, spool.Filter{})
	d = h.claimOne()
	h.change(spool.Hold, spool.Filter{})
	h.outcome("release what is held under its lease", h.change(spool.Unhold, spool.Filter{}), 0, 1, 0)
	h.settle(d, 450, -time.Second)
	d = h.claimOne()
	h.change(spool.Hold, spool.Filter{})
	h.settle(d, 250, 0)
	h.empty()
}

func testReroute(h *harness) {
	const relay = spool.Relay("smtps://user:secret@relay.example:465")
	h.keep(letter("bob@a.example"), "x")
	h.outcome("reroute", h.change(spool.Reroute, spool.Filter{}, relay), 1, 0, 0)
	h.reopen()
	d := h.claimOne()
	h.same("relay", string(d.Relay), string(relay))
	h.settle(d, 450, -time.Second)
	h.same("relay after an attempt", string(h.list(spool.Filter{})[0].Relay), string(relay))
	h.outcome("take it back", h.change(spool.Reroute, spool.Filter{}, ""), 1, 0, 0)
	d = h.claimOne()
	h.same("relay", d.Relay, spool.Relay(""))
	h.change(spool.Reroute, spool.Filter{}, relay)
	h.settle(d, 450, -time.Second)
	d = h.claimOne()
	h.same("relay that was set under the lease", string(d.Relay), string(relay))
	if text := fmt.Sprintf("%v %+v %#v %s", d, d, d, d.Relay); !cmp.Equal(string(relay), string(d.Relay)) || contains(text, "secret") {
		h.Errorf("the password shows in %s", text)
	}
	h.settle(d, 250, 0)
	h.empty()
}

func testRemove(h *harness) {
	kept := h.keep(letter("bob@a.example", "bob@b.example"), pattern(100_000))
	small := h.keep(letter("bob@a.example"), "x")
	h.outcome("drop", h.change(spool.Remove, spool.Filter{Destination: "a.example"}), 2, 0, 0)
	if _, err := h.Body(context.Background(), small); !errors.Is(err, spool.ErrNotFound) {
		h.Errorf("body of what was removed: %v", err)
	}
	h.same("the other destination's body", len(h.body(kept)), 100_000)
	h.reopen()
	h.change(spool.Hold, spool.Filter{})
	h.outcome("drop", h.change(spool.Remove, spool.Filter{}), 1, 0, 0)
	h.empty()
	if _, err := h.Body(context.Background(), kept); !errors.Is(err, spool.ErrNotFound) {
		h.Errorf("body of what was removed: %v", err)
	}
	h.idle()
	h.reopen()
	h.empty()
	s := h.story(kept)
	if len(s.Attempts) != 2 || s.Ended.IsZero() || s.Attempts[1].Tries[0].Reply != spool.Removal.Reply() || s.From != "alice@example.org" {
		h.Errorf("story of what was removed: %+v", s)
	}
}

func testRemoveLeased(h *harness) {
	h.keep(letter("bob@a.example"), "x")
	d := h.claimOne()
	h.outcome("drop", h.change(spool.Remove, spool.Filter{}), 0, 1, 0)
	h.settle(d, 450, time.Hour)
	d = h.claimOne() // at once
	h.same("fate", d.Fate, spool.Removal)
	h.outcome("hold", h.change(spool.Hold, spool.Filter{}), 0, 0, 1)
	h.settle(d, 554, 0)
	h.empty()
	delivered := h.keep(letter("bob@a.example"), "x")
	d = h.claimOne()
	h.change(spool.Remove, spool.Filter{IDs: []string{delivered}})
	h.settle(d, 250, 0)
	h.empty()
}

func testReturn(h *harness) {
	id := h.keep(letter("bob@a.example"), "x")
	h.settle(h.claimOne(), 450, time.Hour)
	h.change(spool.Hold, spool.Filter{})
	h.outcome("return", h.change(spool.Return, spool.Filter{}), 1, 0, 0)
	h.reopen()
	d := h.claimOne()
	h.same("fate", d.Fate, spool.Returning)
	h.settle(d, 554, 0, report(id, "alice@example.org"))
	h.settle(h.claimOne(), 250, 0)
	h.empty()
}

func testRemoveDamaged(h *harness) {
	id := h.keep(letter("bob@a.example"), pattern(100_000))
	h.check(h.Damage(context.Background(), id, "on purpose"))
	for _, v := range []spool.Verb{spool.Hold, spool.Unhold, spool.Retry, spool.Reroute, spool.Return} {
		h.outcome(string(v), h.change(v, spool.Filter{}, "smtp://relay.example"), 0, 0, 1)
		out, err := h.Change(context.Background(), spool.Order{Verb: v, DryRun: true}, nil)
		h.check(err)
		h.outcome("dry run of "+string(v), out, 0, 0, 1)
	}
	h.same("states", h.states(), map[spool.State]int{spool.Damaged: 1})
	h.outcome("drop", h.change(spool.Remove, spool.Filter{State: spool.Damaged}), 1, 0, 0)
	h.empty()
}

func testDryRun(h *harness) {
	id := h.keep(letter("bob@a.example"), "x")
	leased := h.keep(letter("bob@b.example"), "x")
	d := h.claimOne("a.example")
	for v, want := range map[spool.Verb][]int{spool.Hold: {1, 1, 0}, spool.Unhold: {0, 0, 2}, spool.Retry: {1, 0, 1}, spool.Reroute: {1, 1, 0}, spool.Remove: {1, 1, 0}, spool.Return: {1, 1, 0}} {
		out, err := h.Change(context.Background(), spool.Order{Verb: v, Relay: "smtp://relay.example", DryRun: true}, nil)
		h.check(err)
		h.outcome("dry run of "+string(v), out, want[0], want[1], want[2])
		h.same("seen", out.Seen, 2)
		if v == spool.Remove {
			h.same("ids", out.IDs, slices.Sorted(slices.Values([]string{id, leased})))
		}
	}
	h.settle(d, 250, 0)
	d = h.claimOne()
	if d.ID != id || d.Relay != "" || d.Fate != "" {
		h.Errorf("changed by a dry run: %+v", d)
	}
	if _, err := h.Change(context.Background(), spool.Order{Verb: "burn"}, nil); err == nil {
		h.Error("an unknown verb is taken")
	}
}

func testFilters(h *harness) {
	now := time.Now().Truncate(time.Second)
	add := func(account, from, to string, age time.Duration) string {
		e := letter(to)
		e.Account, e.From = account, from
		h.check(h.commit(e, "x", spool.Seal{Arrived: now.Add(-age)}))
		return e.ID
	}
	old := add("alice", "alice@example.org", "bob@a.example", 2*time.Hour)
	null := add("", "", "bob@b.example", time.Minute)
	d := h.claimOne("b.example")
	h.check(h.Settle(context.Background(), spool.Settlement{Delivery: d, Results: []spool.Result{{Address: "bob@a.example", Reply: reply(451)}}, Next: now.Add(time.Hour)}))
	young := add("carol", "Carol+x@Example.org", "bob@a.example", 0)
	for what, c := range map[string]struct {
		f    spool.Filter
		want []string
	}{
		"everything":   {spool.Filter{}, []string{old, null, young}},
		"ids":          {spool.Filter{IDs: []string{young, old, "none"}}, []string{old, young}},
		"no ids":       {spool.Filter{IDs: []string{}}, nil},
		"account":      {spool.Filter{Account: "carol"}, []string{young}},
		"sender":       {spool.Filter{Sender: "*@example.ORG"}, []string{old, young}},
		"sender parts": {spool.Filter{Sender: "c*l+*@*"}, []string{young}},
		"whole sender": {spool.Filter{Sender: "alice@example.org"}, []string{old}},
		"wrong end":    {spool.Filter{Sender: "*@example.or"}, nil},
		"no part":      {spool.Filter{Sender: "alice@example"}, nil},
		"any sender":   {spool.Filter{Sender: "*"}, []string{old, young}},
		"null sender":  {spool.Filter{Sender: "<>"}, []string{null}},
		"destination":  {spool.Filter{Destination: "a.example"}, []string{old, young}},
		"state":        {spool.Filter{State: spool.Waiting}, []string{old}},
		"before":       {spool.Filter{Before: now.Add(-time.Hour)}, []string{old}},
		"since":        {spool.Filter{Since: now.Add(-time.Minute)}, []string{null, young}},
		"reply":        {spool.Filter{Reply: "451 4.0.0 REPLY"}, []string{old}},
		"other reply":  {spool.Filter{Reply: "452"}, nil},
		"two of them":  {spool.Filter{Sender: "*@example.org", State: spool.Queued}, []string{young}},
	} {
		slices.Sort(c.want) // ids of one millisecond have no order of time
		var got []string
		for _, e := range h.list(c.f) {
			got = append(got, e.ID)
		}
		h.same("list by "+what, got, c.want)
		out, err := h.Change(context.Background(), spool.Order{Verb: spool.Remove, Filter: c.f, DryRun: true}, nil)
		h.check(err)
		if diff := cmp.Diff(c.want, out.IDs, cmpopts.EquateEmpty()); diff != "" {
			h.Errorf("order by %s (-want +got):\n%s", what, diff)
		}
	}
}

func testManyOrders(h *harness) {
	const n = 1050
	for i := range n {
		h.keep(letter(fmt.Sprintf("bob@%d.example", i%7)), "x")
	}
	var steps []int
	out, err := h.Change(context.Background(), spool.Order{Verb: spool.Hold, Filter: spool.Filter{Sender: "*@example.org"}}, func(o spool.Outcome) { steps = append(steps, o.Changed) })
	h.check(err)
	h.outcome("hold", out, n, 0, 0)
	h.same("named", len(out.IDs), 100)
	for i, step := range steps {
		if before := append([]int{0}, steps...)[i]; step-before > 500 {
			h.Errorf("%d in one piece", step-before)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, err = h.Change(ctx, spool.Order{Verb: spool.Remove}, func(spool.Outcome) { cancel() })
	if !errors.Is(err, context.Canceled) || out.Changed == 0 || out.Changed == n {
		h.Errorf("an order that was broken off: %+v, %v", out, err)
	}
	h.same("held", h.states(), map[spool.State]int{spool.Held: n - out.Changed})
	h.change(spool.Remove, spool.Filter{})
	h.empty()
}

func testRules(h *harness) {
	ctx := context.Background()
	if _, err := h.AddRule(ctx, spool.Rule{Note: "everything"}); err == nil {
		h.Error("a rule for everything is taken")
	}
	h.keep(letter("bob@a.example"), "before")
	h.settle(h.claimOne(), 250, 0)
	rule, err := h.AddRule(ctx, spool.Rule{Account: "alice", Destination: "a.example", Note: "why"})
	h.check(err)
	second, err := h.AddRule(ctx, spool.Rule{Sender: "<>"})
	h.check(err)
	h.reopen()
	rules, err := h.Rules(ctx)
	h.check(err)
	h.same("rules", rules, []spool.Rule{rule, second})
	h.keep(letter("bob@a.example", "bob@b.example"), "x")
	d := h.claimOne()
	h.same("not held", d.Destination, "b.example")
	h.settle(d, 250, 0, report(d.ID, "alice@example.org"))
	h.idle()
	h.same("states", h.states(), map[spool.State]int{spool.Held: 2})
	h.check(h.RemoveRule(ctx, rule.ID))
	if err := h.RemoveRule(ctx, rule.ID); !errors.Is(err, spool.ErrNotFound) {
		h.Errorf("a rule that is not there is removed: %v", err)
	}
	h.idle()
	h.keep(letter("bob@a.example"), "x")
	h.settle(h.claimOne(), 250, 0)
	h.change(spool.Unhold, spool.Filter{})
	for _, d := range h.claim(2) {
		h.settle(d, 250, 0)
	}
	h.empty()
}

// A lease that runs out leaves the order in force.
func testOrdersExpire(h *harness) {
	h.keep(letter("bob@a.example"), "x")
	h.claimOne()
	h.change(spool.Remove, spool.Filter{})
	d, took := h.waits()
	if took != time.Minute || d.Fate != spool.Removal {
		h.Errorf("after %v: %+v", took, d)
	}
	h.settle(d, 554, 0)
	h.empty()
}
