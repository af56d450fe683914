package sqlitespool

import (
	"database/sql/driver"
	"slices"
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
	kept     []row // of these, what the transaction writes: all, or what may be sent anew
	top, cut []byte
	body     []byte // nil if file
	written  int64
	bodySum  int64
	file     bool
	key      []byte
	window   time.Duration
	due      int64

	messageID []byte
	held      []string // destinations that a rule holds
}

func (e *enqueue) weight() int   { return 1024 + len(e.top) + len(e.body) + rowWeight*len(e.rows) }
func (e *enqueue) durable() bool { return true }

func (e *enqueue) apply(b *batch) (refused, fault error) {
	id := e.envelope.ID
	e.kept = e.rows
	var first remembered
	if e.key != nil {
		if first, fault = b.known(e.key); fault != nil {
			return nil, fault
		}
		if first.id != "" {
			if e.kept, fault = first.anew.missing(e.rows); fault != nil {
				return nil, fault
			}
			if len(e.kept) == 0 {
				return &spool.Duplicate{ID: first.id}, nil
			}
		}
	}
	n, err := b.exec("INSERT OR IGNORE INTO message (id, account, arrived, size, envelope, top, cut, sum, written, body_sum, body, key) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
		id, e.envelope.Account, e.envelope.Arrived.UnixMilli(), e.envelope.Size, e.record, e.top, e.cut, sum([]byte(id), e.record, e.top, e.cut), e.written, e.bodySum, e.body, e.key)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return &spool.Duplicate{ID: id}, nil
	}
	e.due, e.held = b.now, e.held[:0]
	for _, r := range e.kept {
		state, due, orders := spool.Queued, any(b.now), []byte(nil)
		if rule := e.s.holder(e.envelope.Account, e.envelope.From, r.destination); rule != "" {
			state, due, e.held = spool.Held, nil, append(e.held, r.destination)
			if orders, err = addOrder(id, r.destination, nil, pastOrder{At: b.now, Do: spool.Hold, By: octets(rule)}); err != nil {
				return nil, err
			}
		}
		if _, err := b.exec("INSERT INTO delivery (message, destination, due, state, attempts, delayed, recipients, sum, message_id, sender, orders) VALUES (?,?,?,?,0,0,?,?,?,?,?)",
			id, r.destination, due, string(state), r.recipients, sumDelivery(id, r.destination, r.recipients, marks{}), e.messageID, []byte(e.envelope.From), orders); err != nil {
			return nil, err
		}
		*b.totals.of(state)++
	}
	if e.key != nil {
		left, err := b.after(first)
		if err == nil {
			err = b.remember(e.key, remembered{id, max(first.until, b.now+e.window.Milliseconds()), left})
		}
		if err != nil {
			return nil, err
		}
	}
	b.totals.messages++
	b.totals.bytes += e.envelope.Size
	return nil, b.noteQueued(e)
}

func (e *enqueue) applied() {
	e.s.cache.put(&kept{envelope: e.envelope, top: e.top, body: e.body, file: e.file})
	for _, r := range e.kept {
		if !slices.Contains(e.held, r.destination) {
			e.s.agenda.noteOf(e.envelope.Account, r.destination, e.due)
		}
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
