package spooltest

import (
	"context"
	"errors"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// A client may send again what an operator took out, and has to be told of it otherwise than by a 250 that stands for nothing.
func testComesAgain(h *harness) {
	seal := spool.Seal{Key: []byte("key"), Window: time.Hour}
	known := func(what string, want bool) {
		h.Helper()
		err := h.commit(letter("bob@a.example"), "x", seal)
		if _, is := errors.AsType[*spool.Duplicate](err); is != want || !is && err != nil {
			h.Errorf("the same mail after %s: %v", what, err)
		}
	}
	h.check(h.commit(letter("bob@a.example"), "x", seal))
	h.change(spool.Hold, spool.Filter{})
	known("hold", true)
	h.change(spool.Remove, spool.Filter{})
	known("drop", false)
	h.reopen()
	d := h.claimOne()
	h.change(spool.Remove, spool.Filter{})
	known("the order to drop what is being tried", true)
	h.settle(d, 450, time.Hour)
	h.settle(h.claimOne(), 554, 0)
	known("its end", false)
	h.reopen()
	known("reopening", true)
	h.change(spool.Return, spool.Filter{})
	h.settle(h.claimOne(), 554, 0)
	known("return", false)
	d = h.claimOne()
	h.change(spool.Remove, spool.Filter{})
	h.settle(d, 250, 0)
	known("its delivery, which no drop could prevent", true)
	h.empty()
}

// A mail is sent again and again, while its recipients are delivered, wait, or are taken out: only those that were taken out get it.
func testPartsComeAgain(h *harness) {
	seal := spool.Seal{Key: []byte("key"), Window: time.Hour}
	addresses := []string{"1@a.example", "2@a.example", "3@b.example", "4@c.example"}
	var last string // id of the message that was taken last
	comes := func(what string, want ...string) (id string) {
		h.Helper()
		e := letter(addresses...)
		err := h.commit(e, "x", seal)
		if duplicate, is := errors.AsType[*spool.Duplicate](err); is {
			if len(want) > 0 || duplicate.ID != last {
				h.Errorf("the same mail after %s: %v; want %v queued", what, err, want)
			}
			return last
		}
		h.check(err)
		var got []string
		for _, e := range h.list(spool.Filter{IDs: []string{e.ID}}) {
			for _, r := range e.Recipients {
				got = append(got, r.Address)
			}
		}
		h.same("queued of the same mail after "+what, got, want)
		last = e.ID
		return e.ID
	}
	drop := func(id, destination string) {
		h.Helper()
		h.outcome("drop", h.change(spool.Remove, spool.Filter{IDs: []string{id}, Destination: destination}), 1, 0, 0)
	}
	first := comes("nothing", addresses...)
	drop(first, "b.example")
	second := comes("the drop of one", "3@b.example")
	comes("that")
	h.reopen()
	comes("reopening")
	drop(first, "c.example")
	third := comes("the drop of another of the first", "4@c.example")
	comes("that")
	drop(second, "b.example")
	drop(third, "c.example")
	h.reopen()
	fourth := comes("drops of two mails", "3@b.example", "4@c.example")
	comes("that")
	d := h.claimOne("b.example", "c.example")
	h.check(h.Settle(context.Background(), spool.Settlement{Delivery: d, Results: results(d, 250)[:1], Next: time.Now().Add(time.Hour)}))
	comes("the delivery to one of two")
	drop(first, "a.example")
	fifth := comes("the drop of the other", "2@a.example")
	h.settle(h.claimOne("a.example", "c.example"), 250, 0) // 3@b.example
	d = h.claimOne("a.example")                            // 4@c.example
	h.change(spool.Return, spool.Filter{IDs: []string{fourth}})
	comes("the order to return what is being tried")
	h.settle(d, 450, time.Hour)
	h.settle(h.claimOne("a.example"), 450, -time.Second)
	comes("an end that failed")
	h.settle(h.claimOne("a.example"), 554, 0)
	comes("its end", "4@c.example")
	h.change(spool.Remove, spool.Filter{})
	comes("the drop of all that waits", "2@a.example", "4@c.example")
	comes("that")
	h.change(spool.Remove, spool.Filter{IDs: []string{fifth}}) // it is gone already
	for _, d := range h.claim(2) {
		h.settle(d, 250, 0)
	}
	comes("delivery of all")
	h.empty()
}
