package sqlitespool

import (
	"database/sql/driver"
	"os"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// row is a delivery's row.
type row struct {
	destination string
	recipients  []byte // JSON
}

// enqueue brings a message: the commit behind a 250.
type enqueue struct {
	s        *Spool
	envelope spool.Envelope // for the cache; without recipients
	record   []byte
	rows     []row
	top, cut []byte
	body     []byte // nil if file
	written  int64
	bodySum  int64
	file     bool
	key      []byte
	window   time.Duration
	due      int64
}

func (e *enqueue) weight() int   { return 1024 + len(e.top) + len(e.body) + 512*len(e.rows) }
func (e *enqueue) durable() bool { return true }

func (e *enqueue) apply(b *batch) (refused, fault error) {
	id := e.envelope.ID
	if e.key != nil {
		var kept string
		err := b.query("SELECT id FROM duplicate WHERE key = ? AND until > ?", func(v []driver.Value) error { kept = str(v[0]); return nil }, e.key, b.now)
		if err != nil {
			return nil, err
		}
		if kept != "" {
			return &spool.Duplicate{ID: kept}, nil
		}
	}
	n, err := b.exec("INSERT OR IGNORE INTO message (id, account, arrived, size, envelope, top, cut, sum, written, body_sum, body) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
		id, e.envelope.Account, e.envelope.Arrived.UnixMilli(), e.envelope.Size, e.record, e.top, e.cut, sum([]byte(id), e.record, e.top, e.cut), e.written, e.bodySum, e.body)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return &spool.Duplicate{ID: id}, nil
	}
	e.due = b.now
	for _, r := range e.rows {
		if _, err := b.exec("INSERT INTO delivery (message, destination, due, state, attempts, delayed, recipients, sum) VALUES (?,?,?,'queued',0,0,?,?)",
			id, r.destination, b.now, r.recipients, sum([]byte(id), []byte(r.destination), r.recipients)); err != nil {
			return nil, err
		}
	}
	if e.key != nil {
		if _, err := b.exec("INSERT OR REPLACE INTO duplicate (key, id, until) VALUES (?,?,?)", e.key, id, b.now+e.window.Milliseconds()); err != nil {
			return nil, err
		}
	}
	b.totals.messages++
	b.totals.bytes += e.envelope.Size
	b.totals.queued += int64(len(e.rows))
	return nil, nil
}

func (e *enqueue) applied() {
	e.s.cache.put(&kept{envelope: e.envelope, top: e.top, body: e.body, file: e.file})
	for _, r := range e.rows {
		e.s.agenda.note(r.destination, e.due)
	}
}

// settle ends a lease.
type settle struct {
	s       *Spool
	lease   *lease
	rest    []recipient // still undone
	record  []byte      // rest as JSON
	next    int64
	delayed bool
	reports []*enqueue
	queued  []*enqueue // those reports that were new
	last    bool       // the message is gone
}

func (c *settle) weight() int {
	n := 256 + len(c.record)
	for _, r := range c.reports {
		n += r.weight()
	}
	return n
}

// The end of a body file is synced, because the file is removed then: a power cut must not bring back the row alone.
func (c *settle) durable() bool {
	return len(c.reports) > 0 || c.lease.file && len(c.rest) == 0
}

func (c *settle) apply(b *batch) (refused, fault error) {
	c.queued, c.last = c.queued[:0], false
	l := c.lease
	var n int64
	if len(c.rest) == 0 {
		n, fault = b.exec("DELETE FROM delivery WHERE message = ? AND destination = ?", l.message, l.destination)
	} else {
		n, fault = b.exec("UPDATE delivery SET due = ?, state = 'waiting', attempts = attempts + 1, delayed = delayed | ?, recipients = ?, sum = ? WHERE message = ? AND destination = ?",
			c.next, boolean(c.delayed), c.record, sum([]byte(l.message), []byte(l.destination), c.record), l.message, l.destination)
	}
	if fault != nil || n == 0 { // n is 0 if somebody has deleted the row by hand
		return spool.ErrFenced, fault
	}
	*b.totals.of(l.state)--
	for _, r := range c.reports {
		refused, fault := r.apply(b)
		if fault != nil {
			return nil, fault
		}
		if refused == nil {
			c.queued = append(c.queued, r)
		}
	}
	if len(c.rest) > 0 {
		b.totals.waiting++
		return nil, nil
	}
	n, fault = b.exec("DELETE FROM message WHERE id = ? AND NOT EXISTS (SELECT 1 FROM delivery WHERE message = ?)", l.message, l.message)
	if n > 0 {
		c.last = true
		b.totals.messages--
		b.totals.bytes -= l.size
	}
	return nil, fault
}

func (c *settle) applied() {
	for _, r := range c.queued {
		r.applied()
	}
	if c.last || len(c.rest) > 0 {
		c.s.cache.drop(c.lease.message)
	}
	if c.last && c.lease.file {
		if err := os.Remove(c.s.bodyFile(c.lease.message)); err != nil {
			c.s.config.Log.Error().Err(err).Str("msg", c.lease.message).Msg("removing the body of a settled message; the next start does it")
		}
	}
	c.s.agenda.end(c.lease)
	if len(c.rest) > 0 {
		c.s.agenda.note(c.lease.destination, c.next)
	}
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// damage sets a message aside.
type damage struct {
	s         *Spool
	id, cause string
}

func (c *damage) weight() int   { return 256 }
func (c *damage) durable() bool { return true }

func (c *damage) apply(b *batch) (refused, fault error) {
	states := map[spool.State]int64{}
	if err := b.query("SELECT state, count(*) FROM delivery WHERE message = ? GROUP BY state", func(v []driver.Value) error {
		states[spool.State(str(v[0]))] = integer(v[1])
		return nil
	}, c.id); err != nil {
		return nil, err
	}
	n, err := b.exec("UPDATE message SET damaged = ? WHERE id = ?", c.cause, c.id)
	if err != nil {
		return nil, err
	}
	if n == 0 && len(states) == 0 {
		return spool.ErrNotFound, nil
	}
	if _, err := b.exec("UPDATE delivery SET state = 'damaged', due = NULL WHERE message = ?", c.id); err != nil {
		return nil, err
	}
	for state, n := range states {
		*b.totals.of(state) -= n
		b.totals.damaged += n
	}
	return nil, nil
}

func (c *damage) applied() {
	c.s.cache.drop(c.id)
	c.s.agenda.endAll(c.id)
}
