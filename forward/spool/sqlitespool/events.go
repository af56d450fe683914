package sqlitespool

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// defaultEventRows is how many events wait at most for all listeners together.
const defaultEventRows = 100_000

// eventTypes are the events of a result by the first digit of its code.
var eventTypes = map[int]spool.EventType{2: spool.EventDelivered, 4: spool.EventDeferred, 5: spool.EventFailed}

// newEvent is an event of a message, without what the transaction sets.
func newEvent(kind spool.EventType, e *spool.Envelope, messageID []byte, recipient, destination string) spool.Event {
	return spool.Event{Version: spool.EventVersion, Type: kind, Message: e.ID, MessageID: string(messageID), Session: e.Session, Account: e.Account,
		Device: e.Device, Sender: e.From, Recipient: recipient, Destination: destination, Parent: e.Parent}
}

// say adds a hop's word to an event.
func say(e *spool.Event, hop string, reply *smtp.SMTPError) {
	e.Hop, e.Code, e.Reply = string(clip(octets(hop))), reply.Code, string(clip(octets(reply.Message)))
	if c := reply.EnhancedCode; c[0] > 0 {
		e.Enhanced = fmt.Sprintf("%d.%d.%d", c[0], c[1], c[2])
	}
}

// settledEvents are what a settlement tells of its recipients.
func (s *Spool) settledEvents(l *lease, t *spool.Settlement) []spool.Event {
	if s.config.Listeners == nil {
		return nil
	}
	var all []spool.Event
	for i := range t.Results {
		r := &t.Results[i]
		kind := eventTypes[r.Reply.Code/100]
		if kind == "" || !slices.ContainsFunc(l.recipients, func(to recipient) bool { return string(to.Address) == r.Address }) {
			continue
		}
		e := newEvent(kind, &t.Delivery.Envelope, l.messageID, r.Address, l.destination)
		e.Attempt = l.attempts + 1
		say(&e, r.Hop, &r.Reply)
		if kind == spool.EventDeferred {
			next := t.Next.UTC()
			e.Next = &next
		}
		all = append(all, e)
	}
	return all
}

// note writes events down for each listener that wants them.
func (b *batch) note(s *Spool, all []spool.Event) error {
	for i := range all {
		e := all[i]
		listeners := s.config.Listeners.Want(&e)
		if len(listeners) == 0 {
			continue
		}
		e.ID, e.At = spool.NewID(), time.UnixMilli(b.now).UTC()
		record, err := json.Marshal(e)
		if err != nil {
			return err
		}
		for _, listener := range listeners {
			if _, err := b.exec("INSERT INTO event (listener, id, message, at, due, attempts, record, sum) VALUES (?,?,?,?,?,0,?,?)",
				listener, e.ID, e.Message, b.now, b.now, record, sumEvent(listener, e.ID, e.Message, record)); err != nil {
				return err
			}
			b.totals.events++
			b.waits(listener, 1)
		}
	}
	return nil
}

func sumEvent(listener, id, message string, record []byte) int64 {
	return sum([]byte(listener), []byte(id), []byte(message), record)
}

// noteQueued tells of new mail.
func (b *batch) noteQueued(e *enqueue) error {
	if e.s.config.Listeners == nil {
		return nil
	}
	for _, r := range e.kept {
		var rs []recipient
		if err := json.Unmarshal(r.recipients, &rs); err != nil {
			return err
		}
		all := make([]spool.Event, len(rs))
		for i := range rs {
			all[i] = newEvent(spool.EventQueued, &e.envelope, e.messageID, string(rs[i].Address), r.destination)
		}
		if err := b.note(e.s, all); err != nil {
			return err
		}
	}
	return nil
}

// noteRemoved tells of recipients that an operator has removed.
func (b *batch) noteRemoved(s *Spool, e *spool.Envelope, destination string, rs []recipient, messageID []byte) error {
	if s.config.Listeners == nil {
		return nil
	}
	all := make([]spool.Event, len(rs))
	reply := spool.Removal.Reply()
	for i := range rs {
		all[i] = newEvent(spool.EventFailed, e, messageID, string(rs[i].Address), destination)
		say(&all[i], "", &reply)
	}
	return b.note(s, all)
}

// bound drops the oldest events if there are too many, and tells how many.
func (b *batch) bound(most int64) (dropped int64, err error) {
	if b.totals.events <= most {
		return 0, nil
	}
	err = b.query("DELETE FROM event WHERE n IN (SELECT n FROM event ORDER BY n LIMIT ?) RETURNING listener", func(v []driver.Value) error {
		dropped++
		b.drops(str(v[0]))
		return nil
	}, b.totals.events-most)
	b.totals.events -= dropped
	return dropped, err
}

// outbox wakes those who wait for events.
type outbox struct {
	mu      sync.Mutex
	changed chan struct{} // closed when there are new ones; replaced then
}

func (o *outbox) waiting() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.changed
}

func (o *outbox) wake() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// Notices reads what is due.
func (s *Spool) Notices(ctx context.Context, listener string, most int) (due []spool.Notice, next time.Time, changed <-chan struct{}, err error) {
	changed = s.outbox.waiting() // before the look, so that nothing falls between
	c, err := s.readers.get(ctx)
	if err != nil {
		return nil, next, changed, err
	}
	defer s.readers.put(c)
	now := time.Now().UnixMilli()
	err = c.query(`SELECT n, id, message, at, attempts, record, sum FROM event e WHERE listener = ? AND due <= ?
		AND NOT EXISTS (SELECT 1 FROM event f WHERE f.listener = e.listener AND f.message = e.message AND f.n < e.n) ORDER BY due, n LIMIT ?`,
		func(v []driver.Value) error {
			n := spool.Notice{Number: integer(v[0]), ID: str(v[1]), Message: str(v[2]), At: time.UnixMilli(integer(v[3])), Attempts: int(integer(v[4])), Body: blob(v[5])}
			if sumEvent(listener, n.ID, n.Message, n.Body) != integer(v[6]) {
				n.Body = nil
			}
			due = append(due, n)
			return nil
		}, listener, now, int64(most))
	if err == nil && len(due) == 0 {
		err = c.query("SELECT due FROM event WHERE listener = ? AND due > ? ORDER BY due LIMIT 1", func(v []driver.Value) error {
			next = time.UnixMilli(integer(v[0]))
			return nil
		}, listener, now)
	}
	if err != nil {
		return nil, next, changed, fmt.Errorf("events of %s: %w", listener, err)
	}
	return due, next, changed, nil
}

// Told is one change.
func (s *Spool) Told(_ context.Context, done []int64, later []spool.Postponement) error {
	return s.submit(&told{done: done, later: later})
}

// told ends notices.
type told struct {
	done  []int64
	later []spool.Postponement
}

func (c *told) weight() int   { return 64 * (len(c.done) + len(c.later)) }
func (c *told) durable() bool { return false } // a power cut tells them again
func (c *told) applied()      {}

func (c *told) apply(b *batch) (refused, fault error) {
	for _, n := range c.done {
		if err := b.query("DELETE FROM event WHERE n = ? RETURNING listener", func(v []driver.Value) error {
			b.totals.events--
			b.waits(str(v[0]), -1)
			return nil
		}, n); err != nil {
			return nil, err
		}
	}
	for _, p := range c.later {
		if _, err := b.exec("UPDATE event SET due = ?, attempts = attempts + 1 WHERE n = ?", p.Until.UnixMilli(), p.Number); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// restoreEvents removes what waits for listeners that there are no more.
func (s *Spool) restoreEvents(c *conn) error {
	s.backlogs = map[string]Backlog{}
	if s.config.Listeners != nil {
		for _, name := range s.config.Listeners.Names() {
			s.backlogs[name] = Backlog{}
		}
	}
	if s.counts.events == 0 {
		return nil
	}
	var gone []string
	if err := c.query("SELECT listener, count(*) FROM event GROUP BY listener", func(v []driver.Value) error {
		name := str(v[0])
		if _, known := s.backlogs[name]; known {
			s.backlogs[name] = Backlog{Waiting: integer(v[1])}
		} else {
			gone = append(gone, name)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, name := range gone {
		n, err := c.exec("DELETE FROM event WHERE listener = ?", name)
		if err != nil {
			return err
		}
		s.config.Log.Warn().Str("webhook", name).Int64("events", n).Msg("this webhook is not in the config any more; events that waited for it are dropped")
	}
	var err error
	if s.counts.events, err = c.number("SELECT count(*) FROM event"); err == nil { // a crash may have fallen between
		_, err = c.exec("UPDATE total SET events = ?", s.counts.events)
	}
	return err
}

var _ spool.Outbox = (*Spool)(nil)
