package sqlitespool

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// How many rows an order changes in one transaction, which others have to wait for: about 10 ms.
const (
	orderPiece  = listPage
	removePiece = 50 // with the message, its body and a row of history
)

// Change carries an order out, a page of the listing at a time.
func (s *Spool) Change(ctx context.Context, o spool.Order, progress func(spool.Outcome)) (spool.Outcome, error) {
	out := spool.Outcome{IDs: []string{}}
	if !o.Verb.Known() {
		return out, fmt.Errorf("change the queue: %q is no order", o.Verb)
	}
	f := o.Filter
	f.After = ""
	piece := orderPiece
	if o.Verb == spool.Remove {
		piece = removePiece
	}
	for page, err := range s.readers.pages(ctx, f, newSieve(&f, o.DryRun)) {
		if err != nil {
			return out, err
		}
		for part := range slices.Chunk(page, piece) {
			if err := s.changeSome(&o, part, &out); err != nil {
				return out, fmt.Errorf("change the queue: %w", err)
			}
		}
		if progress != nil {
			progress(out)
		}
	}
	return out, nil
}

// changeSome changes those of a page that the filter chooses. No claim is made meanwhile, so that what is not leased now is not
// leased until the change is committed.
func (s *Spool) changeSome(o *spool.Order, page []spool.Entry, out *spool.Outcome) error {
	s.claiming <- struct{}{}
	defer func() { <-s.claiming }()
	c := &control{s: s, order: o}
	for i := range page {
		e := &page[i]
		kept := e.State
		s.showLease(e)
		if !o.Filter.Matches(e) {
			continue
		}
		if !applies(o.Verb, kept, e.State == spool.Leased) {
			out.Skipped++
			continue
		}
		c.targets = append(c.targets, &target{entry: e, leased: e.State == spool.Leased})
	}
	out.Seen += len(page)
	if len(c.targets) > 0 && !o.DryRun {
		if err := s.submit(c); err != nil {
			out.Seen -= len(page)
			return err
		}
	}
	for _, t := range c.targets {
		switch {
		case t.lost && !o.DryRun:
			out.Skipped++
			continue
		case t.leased:
			out.Leased++
		default:
			out.Changed++
		}
		out.Name(t.entry.ID)
	}
	return nil
}

// applies tells whether a verb does something to a delivery whose row says this state.
func applies(v spool.Verb, kept spool.State, leased bool) bool {
	switch {
	case v == spool.Remove:
		return true
	case kept == spool.Damaged:
		return false
	case v == spool.Hold:
		return kept != spool.Held
	case v == spool.Unhold:
		return kept == spool.Held
	case v == spool.Retry:
		return kept != spool.Held && !leased
	}
	return true
}

// A target is a delivery that an order is for.
type target struct {
	entry  *spool.Entry
	leased bool
	lost   bool // it is gone, or the order does not fit what became of it
	state  spool.State
	due    int64 // never if it is not due
	gone   bool  // the message too
	file   bool
}

// control is an order for some deliveries, in one transaction.
type control struct {
	s       *Spool
	order   *spool.Order
	targets []*target
}

func (c *control) weight() int   { return rowWeight * len(c.targets) }
func (c *control) durable() bool { return true }

func (c *control) apply(b *batch) (refused, fault error) {
	for _, t := range c.targets {
		t.lost, t.gone, t.due = false, false, never
		if err := c.changeOne(b, t); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// now is a delivery's row as it is in the transaction.
type now struct {
	state      spool.State
	due        any
	attempts   int64
	marks      marks
	recipients []byte
	messageID  []byte
	orders     []byte
	damaged    error
}

func (c *control) changeOne(b *batch, t *target) error {
	id, destination := t.entry.ID, t.entry.Destination
	var r now
	err := b.query("SELECT state, due, attempts, relay, fate, recipients, sum, message_id, orders FROM delivery WHERE message = ? AND destination = ?", func(v []driver.Value) error {
		r = now{state: spool.State(str(v[0])), attempts: integer(v[2]), marks: marks{str(v[3]), str(v[4])}, recipients: blob(v[5]), messageID: blob(v[7]), orders: blob(v[8])}
		if v[1] != nil {
			r.due = integer(v[1])
		}
		_, r.damaged = decodeRecipients(id, destination, r.recipients, r.marks, integer(v[6]))
		return nil
	}, id, destination)
	if err != nil {
		return err
	}
	damaged := r.state == spool.Damaged || r.damaged != nil
	if r.state == "" || damaged && c.order.Verb != spool.Remove {
		t.lost = true
		return nil
	}
	o := pastOrder{At: b.now, Do: c.order.Verb, Relay: c.order.Relay.String(), By: octets(c.order.By)}
	if r.orders, err = addOrder(id, destination, r.orders, o); err != nil {
		return err
	}
	if c.order.Verb == spool.Remove && !t.leased {
		return c.remove(b, t, &r)
	}
	was := r.state
	if !c.mark(&r, b.now) {
		t.lost = true
		return nil
	}
	t.state = r.state
	if due, ok := r.due.(int64); ok {
		t.due = due
	}
	*b.totals.of(was)--
	*b.totals.of(r.state)++
	_, err = b.exec("UPDATE delivery SET due = ?, state = ?, relay = ?, fate = ?, sum = ?, orders = ? WHERE message = ? AND destination = ?",
		r.due, string(r.state), text(r.marks.relay), text(r.marks.fate), sumDelivery(id, destination, r.recipients, r.marks), r.orders, id, destination)
	return err
}

// text is NULL for nothing.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// mark changes what the row says; false: the order does not fit it any more.
func (c *control) mark(r *now, at int64) bool {
	free := spool.Queued
	if r.attempts > 0 {
		free = spool.Waiting
	}
	switch c.order.Verb {
	case spool.Hold:
		if r.state == spool.Held || r.marks.fate != "" {
			return false
		}
		r.state, r.due = spool.Held, nil
	case spool.Unhold:
		if r.state != spool.Held {
			return false
		}
		r.state, r.due = free, at
	case spool.Retry:
		if r.state == spool.Held {
			return false
		}
		r.due = at
	case spool.Reroute:
		r.marks.relay = string(c.order.Relay)
	case spool.Remove:
		r.marks.fate, r.state, r.due = string(spool.Removal), free, at
	case spool.Return:
		r.marks.fate, r.state, r.due = string(spool.Returning), free, at
	}
	return true
}

// remove takes a delivery out that nobody works on, and the message with the last one.
func (c *control) remove(b *batch, t *target, r *now) error {
	id, destination := t.entry.ID, t.entry.Destination
	rs, err := decodeRecipients(id, destination, r.recipients, r.marks, sumDelivery(id, destination, r.recipients, r.marks))
	if err != nil {
		rs = nil // what became of them is not known, but they are gone
	}
	var size int64
	if err := b.query("SELECT size, body IS NULL FROM message WHERE id = ?", func(v []driver.Value) error {
		size, t.file = integer(v[0]), integer(v[1]) != 0
		return nil
	}, id); err != nil {
		return err
	}
	if _, err := b.exec("DELETE FROM delivery WHERE message = ? AND destination = ?", id, destination); err != nil {
		return err
	}
	*b.totals.of(r.state)--
	gone := rs
	if r.damaged != nil {
		gone = nil // their addresses may be wrong
	}
	if err := b.allow(id, gone); err != nil {
		return err
	}
	if t.gone, err = b.forget(id, size); err != nil {
		return err
	}
	if err := b.noteRemoved(c.s, &t.entry.Envelope, destination, rs, r.messageID); err != nil {
		return err
	}
	if c.s.config.History == 0 {
		return nil
	}
	if err := b.noteOrders(c.s, id, destination, r.orders); err != nil {
		return err
	}
	p, err := removedPast(&t.entry.Envelope, destination, rs, r.messageID)
	if err != nil {
		return err
	}
	return p.insert(b, t.gone)
}

func (c *control) applied() {
	for _, t := range c.targets {
		switch {
		case t.lost:
		case t.gone:
			c.s.cache.drop(t.entry.ID)
			if t.file {
				c.s.removeBody(t.entry.ID)
			}
		default:
			if t.leased {
				c.s.agenda.setRow(t.entry.ID, t.entry.Destination, t.state, t.due)
			}
			c.s.agenda.note(t.entry.Destination, t.due)
		}
	}
}
