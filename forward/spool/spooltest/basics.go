package spooltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func testCycle(h *harness) {
	h.empty()
	h.idle()
	id := h.keep(letter("bob@a.example"), "Subject: x\r\n\r\nhello\r\n")
	d := h.claimOne()
	if d.ID != id || d.Destination != "a.example" || d.Attempts != 0 || d.Fence == 0 || !d.Until.After(time.Now()) || d.Size != 21 {
		h.Fatalf("claimed %+v", d)
	}
	h.same("body", h.body(id), "Subject: x\r\n\r\nhello\r\n")
	h.idle() // it is leased
	h.settle(d, 250, 0)
	h.empty()
	if _, err := h.Body(context.Background(), id); !errors.Is(err, spool.ErrNotFound) {
		h.Errorf("body of a settled message: %v", err)
	}
}

func testEnvelope(h *harness) {
	e := &spool.Envelope{
		ID: spool.NewID(), Session: "s1", Account: "alice", Device: "läptop", From: `"a \" b"@example.org`, Return: smtp.DSNReturnHeaders,
		EnvelopeID: "raw \xff\x00\r\n octets", Body: smtp.Body8BitMIME, UTF8: true, RequireTLS: true, Parent: "p1",
		Recipients: []spool.Recipient{
			{Address: `"q\"x"@a.example`, Destination: "a.example", Notify: []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyDelayed}, OriginalType: smtp.DSNAddressTypeRFC822, Original: "o\xfe<&>\u2028@x"},
			{Address: "ü@a.example", Destination: "a.example"},
		},
	}
	want := *e
	want.Size, want.Arrived = 5, time.UnixMilli(1_700_000_000_123)
	h.check(h.commit(e, "hello", spool.Seal{Arrived: want.Arrived}))
	h.same("claimed envelope", h.claimOne().Envelope, want)
	h.reopen()
	h.same("after reopening", h.claimOne().Envelope, want)
	h.same("listed", h.list(spool.Filter{})[0].Envelope, want)
}

func testDestinations(h *harness) {
	id := h.keep(letter("1@a.example", "2@b.example", "3@a.example"), "x")
	seen := map[string][]string{}
	for _, d := range h.claim(10) {
		for _, r := range d.Recipients {
			seen[d.Destination] = append(seen[d.Destination], r.Address)
		}
		h.settle(d, 250, 0)
		if d.Destination == "a.example" {
			continue
		}
	}
	h.same("recipients by destination", seen, map[string][]string{"a.example": {"1@a.example", "3@a.example"}, "b.example": {"2@b.example"}})
	if _, err := h.Body(context.Background(), id); !errors.Is(err, spool.ErrNotFound) {
		h.Errorf("the last delivery must take the body with it: %v", err)
	}
	h.empty()
}

// checklist 98: what is done is never sent again, what is not stays.
func testPartial(h *harness) {
	id := h.keep(letter("ok@a.example", "later@a.example", "never@a.example", "untried@a.example"), "x")
	d := h.claimOne()
	next := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	h.check(h.Settle(context.Background(), spool.Settlement{Delivery: d, Next: next, Delayed: true, Results: []spool.Result{
		{Address: "ok@a.example", Reply: reply(250)},
		{Address: "later@a.example", Hop: "mx1", Reply: reply(451)},
		{Address: "never@a.example", Reply: reply(550)},
	}}))
	entries := h.list(spool.Filter{})
	if len(entries) != 1 {
		h.Fatalf("%d entries", len(entries))
	}
	e := entries[0]
	h.same("undone", addresses(e.Recipients), []string{"later@a.example", "untried@a.example"})
	h.same("last", e.Last, map[string]spool.Result{"later@a.example": {Address: "later@a.example", Hop: "mx1", Reply: reply(451)}})
	if e.ID != id || e.State != spool.Waiting || e.Attempts != 1 || !e.Due.Equal(next) {
		h.Errorf("entry %+v", e)
	}
	_, _, byState := h.counts()
	h.same("states", byState, map[spool.State]int{spool.Waiting: 1})
	h.idle()
}

func addresses(rs []spool.Recipient) (all []string) {
	for _, r := range rs {
		all = append(all, r.Address)
	}
	return all
}

// checklist 80: what was not committed has never been there.
func testAbort(h *harness) {
	for _, size := range []int{0, 10, 100_000, 1 << 20} {
		d, err := h.Create(context.Background(), letter("bob@a.example"))
		h.check(err)
		_, err = io.WriteString(d, pattern(size))
		h.check(err)
		h.check(d.Abort())
		h.check(d.Abort())
	}
	ctx, cancel := context.WithCancel(context.Background())
	d, err := h.Create(ctx, letter("bob@a.example"))
	h.check(err)
	_, err = io.WriteString(d, pattern(100_000))
	h.check(err)
	cancel()
	if err := d.Commit(ctx, spool.Seal{}); !errors.Is(err, context.Canceled) {
		h.Errorf("commit after the connection has ended: %v", err)
	}
	h.empty()
	h.reopen()
	h.empty()
}

func testDraftOver(h *harness) {
	d, err := h.Create(context.Background(), letter("bob@a.example"))
	h.check(err)
	h.check(d.Commit(context.Background(), spool.Seal{}))
	if _, err := d.Write([]byte("x")); err == nil {
		h.Error("write after commit")
	}
	if err := d.Commit(context.Background(), spool.Seal{}); err == nil {
		h.Error("second commit")
	}
	h.check(d.Abort()) // does nothing
	h.settle(h.claimOne(), 250, 0)
	h.empty()
}

func testSeal(h *harness) {
	for _, size := range []int{1000, 200_000} {
		content := pattern(size)
		for _, cut := range [][]spool.Range{nil, spans(0, 10), spans(5, 5, 100, 200, 200, 300), spans(0, 1000), spans(int64(size)-7, int64(size))} {
			e := letter("bob@a.example")
			top := "Received: by us\r\n"
			h.check(h.commit(e, content, spool.Seal{Top: []byte(top), Cut: cut}))
			want, at := top, int64(0)
			for _, r := range cut {
				want, at = want+content[at:r.From], r.To
			}
			want += content[at:]
			d := h.claimOne()
			if d.Size != int64(len(want)) || h.body(e.ID) != want {
				h.Errorf("%d octets cut %v: size %d, want %d", size, cut, d.Size, len(want))
			}
			h.check(h.Release(context.Background(), d))
			h.reopen()
			if h.body(e.ID) != want {
				h.Errorf("%d octets cut %v: another body after reopening", size, cut)
			}
			h.settle(h.claimOne(), 250, 0)
		}
	}
	for _, cut := range [][]spool.Range{spans(5, 4), spans(0, 10, 9, 12), spans(0, 1001), spans(-1, 1)} {
		if h.commit(letter("bob@a.example"), pattern(1000), spool.Seal{Cut: cut}) == nil {
			h.Errorf("cut %v was taken", cut)
		}
	}
	h.empty()
}

// spans makes ranges of pairs.
func spans(ends ...int64) (all []spool.Range) {
	for i := 0; i < len(ends); i += 2 {
		all = append(all, spool.Range{From: ends[i], To: ends[i+1]})
	}
	return all
}

func testSizes(h *harness) {
	sizes := []int{0, 1, 8191, 8192, 8193, 65535, 65536, 65537, 131072, 131073, 3 << 20}
	want := map[string]int{}
	for _, size := range sizes {
		want[h.keep(letter("bob@a.example"), pattern(size))] = size
	}
	messages, octets, _ := h.counts()
	if messages != len(sizes) || octets < 3<<20 {
		h.Errorf("%d messages with %d octets", messages, octets)
	}
	h.reopen()
	for _, d := range h.claim(100) {
		if h.body(d.ID) != pattern(want[d.ID]) || d.Size != int64(want[d.ID]) {
			h.Errorf("body of %d octets", want[d.ID])
		}
		h.settle(d, 550, 0)
	}
	h.empty()
}

func testSameID(h *harness) {
	for _, size := range []int{10, 100_000} {
		e := letter("bob@a.example")
		h.keep(e, pattern(size))
		d, err := h.Create(context.Background(), e)
		if err == nil {
			if _, err = io.WriteString(d, "other"); err == nil {
				err = d.Commit(context.Background(), spool.Seal{})
			}
			d.Abort()
		}
		var duplicate *spool.Duplicate
		if !errors.As(err, &duplicate) || duplicate.ID != e.ID {
			h.Errorf("second commit of an id: %v", err)
		}
		if h.body(e.ID) != pattern(size) {
			h.Error("the first body is gone")
		}
	}
}

func testWriters(h *harness) {
	const writers, each = 64, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				e := letter(fmt.Sprintf("bob@%d.example", w%7))
				d, err := h.Create(context.Background(), e)
				if err == nil {
					_, err = io.WriteString(d, pattern(w*i*100))
				}
				if err == nil {
					err = d.Commit(context.Background(), spool.Seal{Top: []byte(e.ID)})
				}
				if err != nil {
					h.Error(err)
				}
			}
		})
	}
	seen := map[string]bool{}
	for len(seen) < writers*each {
		for _, d := range h.claim(20) {
			if seen[d.ID] {
				h.Fatalf("%s was delivered twice", d.ID)
			}
			seen[d.ID] = true
			if !strings.HasPrefix(h.body(d.ID), d.ID) {
				h.Errorf("%s has the body of another", d.ID)
			}
			h.settle(d, 250, 0)
		}
	}
	wg.Wait()
	h.empty()
}

// What was kept is there again, what was leased is due at once, what waits still waits.
func testReopen(h *harness) {
	leased := h.keep(letter("bob@a.example"), pattern(100_000))
	waiting := h.keep(letter("bob@b.example"), "x")
	d := h.claimOne("b.example")
	w := h.claimOne("a.example")
	h.settle(w, 450, time.Hour)
	queued := h.keep(letter("bob@c.example"), "y")
	h.reopen()
	got := map[string]bool{}
	for _, d := range h.claim(10) {
		got[d.ID] = true
	}
	h.same("due after reopening", got, map[string]bool{leased: true, queued: true})
	if err := h.Settle(context.Background(), spool.Settlement{Delivery: d, Results: results(d, 250)}); !errors.Is(err, spool.ErrFenced) {
		h.Errorf("settle with a lease from before: %v", err)
	}
	h.same("attempts of the waiting one", h.list(spool.Filter{IDs: []string{waiting}})[0].Attempts, 1)
	h.same("body", h.body(leased), pattern(100_000))
	messages, _, byState := h.counts()
	h.same("states", byState, map[spool.State]int{spool.Leased: 2, spool.Waiting: 1})
	h.same("messages", messages, 3)
}
