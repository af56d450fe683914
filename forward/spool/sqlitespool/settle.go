package sqlitespool

import (
	"database/sql/driver"
	"os"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// settle ends a lease.
type settle struct {
	s       *Spool
	lease   *lease
	rest    []recipient // still undone
	ordered []recipient // ended by an operator's order
	record  []byte      // rest as JSON
	next    int64
	delayed bool
	reports []*enqueue
	past    *past      // nil: no history
	queued  []*enqueue // those reports that were new
	last    bool       // the message is gone
	orders  []byte     // as the row has them
	events  []spool.Event
	due     int64       // when the rest is due; never if it is held
	state   spool.State // of the rest
}

func (c *settle) weight() int {
	n := 256 + len(c.record)
	if c.past != nil {
		n += len(c.past.record) + len(c.past.summary)
	}
	for _, r := range c.reports {
		n += r.weight()
	}
	n += 512 * len(c.events)
	return n
}

// The end of a body file is synced, because the file is removed then: a power cut must not bring back the row alone.
func (c *settle) durable() bool {
	return len(c.reports) > 0 || c.lease.file && len(c.rest) == 0
}

func (c *settle) apply(b *batch) (refused, fault error) {
	c.queued, c.last = c.queued[:0], false
	l := c.lease
	was, fault := c.rewrite(b)
	if fault != nil || was == "" { // nothing if somebody has deleted the row by hand
		return spool.ErrFenced, fault
	}
	*b.totals.of(was)--
	if len(c.ordered) > 0 {
		if fault = b.allow(l.message, c.ordered); fault != nil {
			return nil, fault
		}
	}
	if fault = b.note(c.s, c.events); fault != nil {
		return nil, fault
	}
	for _, r := range c.reports {
		refused, fault := r.apply(b)
		if fault != nil {
			return nil, fault
		}
		if refused == nil {
			c.queued = append(c.queued, r)
		}
	}
	if len(c.rest) == 0 {
		if c.last, fault = b.forget(l.message, l.size); fault != nil {
			return nil, fault
		}
	}
	if len(c.rest) == 0 {
		if fault = b.noteOrders(c.s, l.message, l.destination, c.orders); fault != nil {
			return nil, fault
		}
	}
	if c.past != nil {
		fault = c.past.insert(b, c.last)
	}
	return nil, fault
}

// rewrite changes the delivery's row and tells what state it was in: an operator may have ordered something since the lease began.
func (c *settle) rewrite(b *batch) (was spool.State, err error) {
	l := c.lease
	var m marks
	read := func(v []driver.Value) error {
		was, m, c.orders = spool.State(str(v[0])), marks{str(v[1]), str(v[2])}, blob(v[3])
		return nil
	}
	if len(c.rest) == 0 {
		err = b.query("DELETE FROM delivery WHERE message = ? AND destination = ? RETURNING state, relay, fate, orders", read, l.message, l.destination)
		return was, err
	}
	err = b.query("SELECT state, relay, fate, orders FROM delivery WHERE message = ? AND destination = ?", read, l.message, l.destination)
	if err == nil && was != "" {
		err = c.keepRest(b, was, m)
	}
	return was, err
}

// keepRest writes down when the rest is due, and leaves it held or to its fate.
func (c *settle) keepRest(b *batch, was spool.State, m marks) error {
	l, due := c.lease, any(c.next)
	c.state, c.due = spool.Waiting, c.next
	switch {
	case was == spool.Held:
		c.state, c.due, due = spool.Held, never, nil
	case m.fate != "":
		c.due, due = b.now, b.now
	}
	_, err := b.exec("UPDATE delivery SET due = ?, state = ?, attempts = attempts + 1, delayed = delayed | ?, recipients = ?, sum = ? WHERE message = ? AND destination = ?",
		due, string(c.state), boolean(c.delayed), c.record, sumDelivery(l.message, l.destination, c.record, m), l.message, l.destination)
	*b.totals.of(c.state)++
	return err
}

// forget takes a message out if it has no delivery any more.
func (b *batch) forget(id string, size int64) (gone bool, err error) {
	n, err := b.exec("DELETE FROM message WHERE id = ? AND NOT EXISTS (SELECT 1 FROM delivery WHERE message = ?)", id, id)
	if n > 0 {
		b.totals.messages--
		b.totals.bytes -= size
	}
	return n > 0, err
}

func (c *settle) applied() {
	for _, r := range c.queued {
		r.applied()
	}
	if c.last || len(c.rest) > 0 {
		c.s.cache.drop(c.lease.message)
	}
	if c.last && c.lease.file {
		c.s.removeBody(c.lease.message)
	}
	c.s.agenda.end(c.lease)
	if len(c.rest) > 0 {
		c.s.agenda.note(c.lease.destination, c.due)
	}
}

// removeBody removes the file of a message that is gone.
func (s *Spool) removeBody(id string) {
	if err := os.Remove(s.bodyFile(id)); err != nil {
		s.config.Log.Error().Err(err).Str("msg", id).Msg("removing the body of a settled message; the next start does it")
	}
}
