package spooltest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// runTimed runs what waits for the clock, in a bubble where waiting takes no time.
func runTimed(t *testing.T, open Opener) {
	for name, test := range map[string]func(*harness){
		"the_oldest_comes_first":       testOrder,
		"a_lease_runs_out":             testExpiry,
		"extend_prolongs":              testExtend,
		"waiting_mail_is_due_in_time":  testWaiting,
		"the_same_mail_within_the_day": testDuplicate,
		"the_same_mail_after_its_time": testOldDuplicate,
		"orders_outlive_a_lease":       testOrdersExpire,
		"skip_accounts_leaves_others":  testSkipAccounts,
		"what_is_skipped_is_not_lost":  testSkipAtRandom,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(newHarness(t, open)) })
		})
	}
}

// waits claims one delivery and says how long that took.
func (h *harness) waits() (spool.Delivery, time.Duration) {
	h.Helper()
	start := time.Now()
	ds, err := h.Claim(context.Background(), spool.Query{Max: 1, Lease: time.Minute})
	h.check(err)
	return ds[0], time.Since(start)
}

func testExpiry(h *harness) {
	h.keep(letter("bob@a.example"), "x")
	old := h.claimOne()
	d, took := h.waits()
	if took != time.Minute || d.ID != old.ID || d.Fence <= old.Fence || d.Attempts != 0 {
		h.Errorf("claimed again after %v: %+v", took, d)
	}
	if err := h.Settle(context.Background(), spool.Settlement{Delivery: old, Results: results(old, 250)}); !errors.Is(err, spool.ErrFenced) {
		h.Errorf("settle after the lease: %v", err)
	}
	h.settle(d, 250, 0)
	h.empty()
}

func testExtend(h *harness) {
	h.keep(letter("bob@a.example"), "x")
	d := h.claimOne()
	time.Sleep(50 * time.Second)
	h.check(h.Extend(context.Background(), d, time.Minute))
	_, took := h.waits()
	h.same("claimed again after", took, time.Minute)
}

func testWaiting(h *harness) {
	h.keep(letter("bob@a.example"), "x")
	h.settle(h.claimOne(), 450, 15*time.Minute)
	h.keep(letter("bob@b.example"), "x")
	h.settle(h.claimOne(), 450, 5*time.Minute)
	h.reopen()
	d, took := h.waits()
	if d.Destination != "b.example" || took != 5*time.Minute {
		h.Errorf("first %s after %v", d.Destination, took)
	}
	h.settle(d, 250, 0)
	d, took = h.waits()
	if d.Destination != "a.example" || took != 10*time.Minute || d.Attempts != 1 {
		h.Errorf("then %s after %v", d.Destination, took)
	}
	h.settle(d, 450, -time.Hour)
	if _, took = h.waits(); took != 0 {
		h.Errorf("what is due already took %v", took)
	}
}

func testDuplicate(h *harness) {
	seal := spool.Seal{Key: []byte("key"), Window: time.Hour}
	for _, size := range []int{10, 100_000} {
		first := letter("bob@a.example")
		h.check(h.commit(first, pattern(size), seal))
		again := func() error { return h.commit(letter("bob@a.example"), pattern(size), seal) }
		is := func(err error, when string) {
			h.Helper()
			var duplicate *spool.Duplicate
			if !errors.As(err, &duplicate) || duplicate.ID != first.ID {
				h.Errorf("the same mail %s: %v", when, err)
			}
		}
		is(again(), "at once")
		h.check(h.commit(letter("bob@b.example"), "x", spool.Seal{Key: []byte("other"), Window: time.Second}))
		h.check(h.commit(letter("bob@b.example"), "x", spool.Seal{}))
		time.Sleep(time.Second)
		for range 3 {
			h.settle(h.claimOne(), 250, 0)
		}
		is(again(), "after its delivery")
		h.reopen()
		is(again(), "after reopening")
		h.empty()
		time.Sleep(time.Hour)
		h.check(again())
		h.settle(h.claimOne(), 250, 0)
		h.empty()
		time.Sleep(2 * time.Hour)
	}
}

// A mail that was sent again after its time is another one: what is taken out of the first is no reason to send the second twice.
func testOldDuplicate(h *harness) {
	seal := spool.Seal{Key: []byte("key"), Window: time.Hour}
	first, second := letter("bob@a.example", "bob@b.example"), letter("bob@a.example", "bob@b.example")
	h.check(h.commit(first, "x", seal))
	time.Sleep(2 * time.Hour)
	h.check(h.commit(second, "x", seal))
	h.change(spool.Remove, spool.Filter{IDs: []string{first.ID}, Destination: "a.example"})
	err := h.commit(letter("bob@a.example", "bob@b.example"), "x", seal)
	if duplicate, is := errors.AsType[*spool.Duplicate](err); !is || duplicate.ID != second.ID {
		h.Errorf("the same mail after the drop of an old one: %v", err)
	}
	h.change(spool.Remove, spool.Filter{IDs: []string{second.ID}, Destination: "b.example"})
	time.Sleep(30 * time.Minute)
	third := letter("bob@a.example", "bob@b.example")
	h.check(h.commit(third, "x", spool.Seal{Key: seal.Key, Window: time.Minute}))
	h.same("queued", len(h.list(spool.Filter{IDs: []string{third.ID}})), 1)
	time.Sleep(29 * time.Minute)
	if err := h.commit(letter("bob@a.example", "bob@b.example"), "x", seal); err == nil {
		h.Error("a mail is forgotten before its window is over, because what came of it last has a shorter one")
	}
}
