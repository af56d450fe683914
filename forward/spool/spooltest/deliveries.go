package spooltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func testFences(h *harness) {
	h.keep(letter("bob@a.example"), "x")
	old := h.claimOne()
	h.check(h.Release(context.Background(), old))
	now := h.claimOne()
	if now.Fence <= old.Fence {
		h.Errorf("fence %d after %d", now.Fence, old.Fence)
	}
	for what, err := range map[string]error{
		"settle":  h.Settle(context.Background(), spool.Settlement{Delivery: old, Results: results(old, 250)}),
		"extend":  h.Extend(context.Background(), old, time.Minute),
		"release": h.Release(context.Background(), old),
	} {
		if !errors.Is(err, spool.ErrFenced) {
			h.Errorf("%s with an old fence: %v", what, err)
		}
	}
	h.idle()
	h.check(h.Extend(context.Background(), now, time.Hour))
	h.settle(now, 250, 0)
	if err := h.Settle(context.Background(), spool.Settlement{Delivery: now, Results: results(now, 250)}); !errors.Is(err, spool.ErrFenced) {
		h.Errorf("second settle: %v", err)
	}
	h.empty()
}

func testRelease(h *harness) {
	h.keep(letter("bob@a.example"), "x")
	h.check(h.Release(context.Background(), h.claimOne()))
	d := h.claimOne()
	h.same("attempts", d.Attempts, 0)
	h.settle(d, 450, -time.Second)
	d = h.claimOne()
	h.same("attempts", d.Attempts, 1)
}

func testSkip(h *harness) {
	h.keep(letter("1@a.example", "2@b.example", "3@c.example"), "x")
	d := h.claim(10, "a.example", "c.example")
	if len(d) != 1 || d[0].Destination != "b.example" {
		h.Fatalf("claimed %+v", d)
	}
	h.idle("a.example", "c.example")
	h.same("the others", len(h.claim(10)), 2)
}

// Many mails to a dead destination do not keep the one to a live one waiting.
func testSkipMany(h *harness) {
	for range 300 {
		h.keep(letter("bob@dead.example"), "x")
	}
	id := h.keep(letter("bob@live.example"), "x")
	h.same("claimed", h.claimOne("dead.example").ID, id)
	h.same("of the dead one", len(h.claim(50)), 50)
}

func testOrder(h *harness) {
	var ids []string
	for range 5 {
		ids = append(ids, h.keep(letter("bob@a.example"), "x"))
		time.Sleep(time.Second)
	}
	var got []string
	for range 5 {
		got = append(got, h.claimOne().ID)
	}
	h.same("order", got, ids)
}

func testClaimEnds(h *harness) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := h.Claim(ctx, spool.Query{Max: 1, Lease: time.Minute})
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		h.Errorf("claim after cancel: %v", err)
	}
	// A claim that waits is woken by a commit.
	got := make(chan string)
	go func() { got <- h.claimOne().ID }()
	id := h.keep(letter("bob@a.example"), "x")
	h.same("woken with", <-got, id)
}

func report(parent string, to string) spool.Report {
	e := letter(to)
	e.ID, e.Account, e.From, e.Parent, e.Arrived = parent+"-f", "", "", parent, time.Now()
	return spool.Report{Envelope: *e, Content: []byte("Subject: failed\r\n\r\n" + parent + "\r\n")}
}

// checklist 110: the report is kept in the same transaction that forgets the failed mail.
func testReports(h *harness) {
	id := h.keep(letter("bob@a.example"), pattern(100_000))
	h.settle(h.claimOne(), 550, 0, report(id, "alice@example.org"))
	messages, _, _ := h.counts()
	h.same("messages", messages, 1)
	h.reopen()
	d := h.claimOne()
	if d.ID != id+"-f" || d.From != "" || d.Parent != id {
		h.Errorf("report %+v", d)
	}
	h.same("body", h.body(d.ID), "Subject: failed\r\n\r\n"+id+"\r\n")
	h.settle(d, 250, 0)
	h.empty()
}

// checklist 110: a repeated settlement queues no second report, and fails for nothing.
func testReportOnce(h *harness) {
	id := h.keep(letter("1@a.example", "2@b.example"), "x")
	for range 2 {
		h.settle(h.claimOne("example.org"), 550, 0, report(id, "alice@example.org"))
	}
	h.same("left", len(h.list(spool.Filter{})), 1)
	// A settlement that is refused queues nothing.
	old := h.claimOne()
	h.check(h.Release(context.Background(), old))
	err := h.Settle(context.Background(), spool.Settlement{Delivery: old, Results: results(old, 550), Reports: []spool.Report{report(old.ID, "x@example.org")}})
	if !errors.Is(err, spool.ErrFenced) {
		h.Errorf("settle: %v", err)
	}
	h.same("left", len(h.list(spool.Filter{})), 1)
}

// testManyInOne works off one busy destination with several workers: nothing twice, nothing forgotten.
func testManyInOne(h *harness) {
	const n = 400
	for range n {
		h.keep(letter("bob@relay"), "x")
	}
	ids := make(chan string, 2*n)
	done := make(chan bool)
	for range 8 {
		go func() {
			defer func() { done <- true }()
			for {
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
				ds, err := h.Claim(ctx, spool.Query{Max: 7, Lease: time.Minute})
				cancel()
				if err != nil {
					return
				}
				for i, d := range ds {
					if i == 6 && d.Attempts == 0 {
						h.settle(d, 450, -time.Second)
						continue
					}
					h.settle(d, 250, 0)
					ids <- d.ID
				}
			}
		}()
	}
	for range 8 {
		<-done
	}
	close(ids)
	seen := map[string]bool{}
	for id := range ids {
		if seen[id] {
			h.Errorf("%s twice", id)
		}
		seen[id] = true
	}
	h.same("delivered", len(seen), n)
	h.empty()
}

// checklist 117
func testList(h *harness) {
	var all, bobs []string
	for i := range 450 {
		e := letter(fmt.Sprintf("x@%d.example", i%3), "y@common.example")
		if i%5 == 0 {
			e.Account = "bob"
			bobs = append(bobs, e.ID)
		}
		all = append(all, h.keep(e, "x"))
	}
	slices.Sort(all)
	slices.Sort(bobs)
	ids := func(f spool.Filter) (got []string) {
		for _, e := range h.list(f) {
			if len(got) == 0 || got[len(got)-1] != e.ID {
				got = append(got, e.ID)
			}
		}
		return got
	}
	h.same("all", ids(spool.Filter{}), all)
	h.same("entries", len(h.list(spool.Filter{})), 900)
	h.same("limit", len(h.list(spool.Filter{Limit: 7})), 7)
	h.same("after", ids(spool.Filter{After: all[440]}), all[441:])
	h.same("account", ids(spool.Filter{Account: "bob"}), bobs)
	h.same("account, after", ids(spool.Filter{Account: "bob", After: bobs[3]}), bobs[4:])
	h.same("destination", ids(spool.Filter{Destination: "common.example"}), all)
	h.same("destination", len(h.list(spool.Filter{Destination: "1.example"})), 150)
	h.same("account and destination", len(h.list(spool.Filter{Account: "bob", Destination: "common.example"})), 90)
	h.same("id", ids(spool.Filter{IDs: []string{all[7]}}), all[7:8])
	h.same("none", ids(spool.Filter{Account: "nobody"}), []string(nil))
	d := h.claimOne()
	i := slices.IndexFunc(h.list(spool.Filter{}), func(e spool.Entry) bool {
		return e.State == spool.Leased && e.ID == d.ID && e.Destination == d.Destination
	})
	if i < 0 {
		h.Error("the leased delivery is not shown as leased")
	}
}

func testDamage(h *harness) {
	id := h.keep(letter("bob@a.example", "carol@b.example"), pattern(100_000))
	d := h.claimOne("b.example")
	h.check(h.Damage(context.Background(), id, "its checksum is wrong"))
	if err := h.Settle(context.Background(), spool.Settlement{Delivery: d, Results: results(d, 250)}); !errors.Is(err, spool.ErrFenced) {
		h.Errorf("settle of a damaged message: %v", err)
	}
	h.idle()
	for range 2 {
		entries := h.list(spool.Filter{})
		if len(entries) != 2 || entries[0].State != spool.Damaged || entries[1].State != spool.Damaged {
			h.Fatalf("entries %+v", entries)
		}
		h.same("cause", entries[0].Last["bob@a.example"].Reply.Message, "its checksum is wrong")
		_, _, byState := h.counts()
		h.same("states", byState, map[spool.State]int{spool.Damaged: 2})
		h.same("body", h.body(id), pattern(100_000))
		h.reopen()
		h.idle()
	}
	if err := h.Damage(context.Background(), "nosuchmessage", "x"); !errors.Is(err, spool.ErrNotFound) {
		h.Errorf("damage of nothing: %v", err)
	}
}

func testNotFound(h *harness) {
	for _, id := range []string{spool.NewID(), "", "../lock", "..", "a/b"} {
		if _, err := h.Body(context.Background(), id); !errors.Is(err, spool.ErrNotFound) {
			h.Errorf("body of %q: %v", id, err)
		}
	}
	for _, id := range []string{"", "../lock", "..", "a/b", "a\x00b"} {
		e := letter("bob@a.example")
		e.ID = id
		if d, err := h.Create(context.Background(), e); err == nil {
			d.Abort()
			h.Errorf("id %q was taken", id) // it becomes a file's name
		}
	}
}
