package sqlitespool

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// Claim leases what has been due longest. Destinations take turns in the order of what they have waited longest for; one is asked for all it has
// before the next, so that the caller names in q.Skip those that have enough.
func (s *Spool) Claim(ctx context.Context, q spool.Query) ([]spool.Delivery, error) {
	most := max(1, q.Max)
	for {
		all, wait, changed, err := s.claimDue(ctx, q, most)
		if err != nil || len(all) > 0 {
			return all, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-s.stop:
			timer.Stop()
			return nil, errClosed
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// claimDue takes what is due now, or says how long nothing will be.
// One at a time: what is free is what is not leased before the look into the database, and nobody else leases meanwhile.
func (s *Spool) claimDue(ctx context.Context, q spool.Query, most int) (all []spool.Delivery, wait time.Duration, changed <-chan struct{}, err error) {
	select {
	case s.claiming <- struct{}{}:
	case <-ctx.Done(): // an order may take its time
		return nil, 0, nil, ctx.Err()
	}
	defer func() { <-s.claiming }()
	for len(all) < most {
		if ctx.Err() != nil {
			break
		}
		now := time.Now()
		l, w, ch := s.agenda.take(now, &q)
		if l == nil {
			wait, changed = w, ch
			break
		}
		found, next, err := s.search(ctx, l, now, most-len(all))
		if err != nil {
			s.agenda.left(l, l.from)
			if len(all) > 0 {
				break
			}
			return nil, 0, nil, fmt.Errorf("claim: %w", err)
		}
		for _, d := range found {
			d.lease.since, d.lease.until = now, now.Add(q.Lease)
			s.agenda.lease(d.lease)
			d.Fence, d.Until = d.lease.fence, d.lease.until
			all = append(all, d.Delivery)
		}
		s.agenda.left(l, next)
	}
	if len(all) == 0 && ctx.Err() != nil {
		return nil, 0, nil, ctx.Err()
	}
	return all, wait, changed, nil
}

// A find is a free delivery, and the lease that it will have.
type find struct {
	spool.Delivery
	lease *lease
}

// search reads up to most free deliveries that are due where the look says, and when the next one there is.
func (s *Spool) search(ctx context.Context, l *look, now time.Time, most int) (all []find, next int64, err error) {
	c, err := s.readers.get(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer s.readers.put(c)
	r := &reading{look: l, most: most, left: never}
	limit := most + len(l.leased)
	sql, args := l.sql(now, limit)
	err = c.query(sql, r.row, args...)
	enough := errors.Is(err, errEnough) || err == nil && l.busy == nil && r.rows == limit
	if err != nil && !enough {
		return nil, 0, err
	}
	for account, due := range r.passed {
		s.agenda.pass(account, l.destination, due)
	}
	switch next = r.next; {
	case enough:
	case l.passed:
		next = never // what is due later, others look for
	default:
		if next, err = c.number("SELECT coalesce((SELECT due FROM delivery WHERE destination = ? AND due > ? ORDER BY due LIMIT 1), ?)",
			l.destination, now.UnixMilli(), int64(never)); err != nil {
			return nil, 0, err
		}
	}
	next = min(next, r.left) // leases that are due later, or have ended since take named them, had rows read in their stead
	for _, l := range r.leases {
		e, file, err := s.envelope(c, l.message)
		if errors.Is(err, spool.ErrDamaged) {
			r.damaged(l.message, err)
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		l.size, l.file, l.account = e.Size, file, e.Account
		e.Recipients = recipientsOf(l.recipients, l.destination)
		all = append(all, find{spool.Delivery{Envelope: e, Destination: l.destination, Attempts: l.attempts, Delayed: l.delayed, Relay: spool.Relay(l.marks.relay), Fate: spool.Fate(l.marks.fate)}, l})
	}
	for id, cause := range r.bad {
		s.config.Log.Error().Str("msg", id).Err(cause).Msg("a damaged message is set aside")
		if err := s.submit(&damage{s: s, id: id, cause: cause.Error()}); err != nil {
			return nil, 0, err
		}
	}
	return all, next, nil
}

// What a look asks the database for. The columns that change with each attempt are not in the checksum: whatever stands in them must do no harm.
// LIMIT ? alone would have SQLite compile the statement anew each time, to look at the number.
const (
	dueColumns = "SELECT message, due, state, attempts, delayed, recipients, sum, relay, fate, message_id"
	dueRows    = " FROM delivery WHERE destination = ? AND due >= ? AND due <= ?"
	accountOf  = "coalesce((SELECT account FROM message WHERE id = delivery.message), '')"
	dueAll     = dueColumns + dueRows + " ORDER BY due LIMIT ? + 0"
	dueBusy    = dueColumns + ", " + accountOf + dueRows + " ORDER BY due"
	duePassed  = dueColumns + dueRows + " AND " + accountOf + " = ? ORDER BY due LIMIT ? + 0"
)

func (l *look) sql(now time.Time, limit int) (string, []any) {
	args := append(make([]any, 0, 5), l.destination, l.from, now.UnixMilli())
	switch {
	case l.passed:
		return duePassed, append(args, l.account, int64(limit))
	case l.busy != nil:
		return dueBusy, args
	}
	return dueAll, append(args, int64(limit))
}

// errEnough ends a query.
var errEnough = errors.New("there are enough rows")

// A reading is what a look has found so far.
type reading struct {
	*look
	most   int
	rows   int   // that were read, without those that were passed over
	next   int64 // when the last one was due
	left   int64 // when what is free and not taken was due
	leases []*lease
	passed map[string]int64 // by account: when the first one was due that was passed over
	bad    map[string]error // by message
}

func (r *reading) damaged(message string, cause error) {
	if r.bad == nil {
		r.bad = map[string]error{}
	}
	r.bad[message] = cause
}

// row reads the columns of dueColumns, and the account where some are busy.
func (r *reading) row(v []driver.Value) (err error) {
	if r.busy != nil {
		if account := str(v[10]); r.busy[account] {
			if _, known := r.passed[account]; !known {
				if r.passed == nil {
					r.passed = map[string]int64{}
				}
				r.passed[account] = integer(v[1])
			}
			return nil
		}
	}
	l := &lease{message: str(v[0]), destination: r.destination, due: integer(v[1]), state: spool.State(str(v[2])), attempts: int(max(integer(v[3]), 0)), delayed: integer(v[4]) != 0,
		marks: marks{str(v[7]), str(v[8])}, messageID: blob(v[9])}
	r.rows, r.next = r.rows+1, l.due
	switch {
	case r.leased[l.message]:
		return nil
	case len(r.leases) == r.most && r.busy != nil:
		return errEnough
	case len(r.leases) == r.most:
		r.left = min(r.left, l.due)
		return nil
	}
	if l.recipients, err = decodeRecipients(l.message, r.destination, blob(v[5]), l.marks, integer(v[6])); err != nil {
		r.damaged(l.message, err)
		return nil
	}
	r.leases = append(r.leases, l)
	return nil
}

// envelope reads what all deliveries of a message share. A delivery without its message is damaged.
func (s *Spool) envelope(c *conn, id string) (e spool.Envelope, file bool, err error) {
	if k := s.cache.get(id); k != nil {
		return k.envelope, k.file, nil
	}
	err = fmt.Errorf("%w: the message's row is missing", spool.ErrDamaged)
	fault := c.query("SELECT account, arrived, size, envelope, top, cut, sum, body IS NULL FROM message WHERE id = ?", func(v []driver.Value) error {
		file = integer(v[7]) != 0
		e, err = readEnvelope(id, v)
		return nil
	}, id)
	return e, file, errors.Join(fault, err)
}

// readEnvelope takes the columns account, arrived, size, envelope, top, cut, sum.
func readEnvelope(id string, v []driver.Value) (spool.Envelope, error) {
	record := blob(v[3])
	if sum([]byte(id), record, blob(v[4]), blob(v[5])) != integer(v[6]) {
		return spool.Envelope{ID: id, Account: str(v[0])}, fmt.Errorf("%w: the envelope's checksum is wrong", spool.ErrDamaged)
	}
	e, err := decodeEnvelope(record, id, str(v[0]), integer(v[1]), integer(v[2]))
	if err != nil {
		err = fmt.Errorf("%w: envelope: %w", spool.ErrDamaged, err)
	}
	return e, err
}

func decodeRecipients(id, destination string, text []byte, m marks, checksum int64) (rs []recipient, err error) {
	if sumDelivery(id, destination, text, m) != checksum {
		return nil, fmt.Errorf("%w: the recipients' checksum is wrong", spool.ErrDamaged)
	}
	if err := json.Unmarshal(text, &rs); err != nil {
		return nil, fmt.Errorf("%w: recipients: %w", spool.ErrDamaged, err)
	}
	return rs, nil
}

// Extend prolongs a lease.
func (s *Spool) Extend(ctx context.Context, d spool.Delivery, lease time.Duration) error {
	return s.agenda.extend(&d, time.Now().Add(lease))
}

// Release gives a lease back.
func (s *Spool) Release(ctx context.Context, d spool.Delivery) error {
	return s.agenda.release(&d)
}

// Settle records results. It waits for its commit even if ctx ends: what happened at the hop has to be written down.
func (s *Spool) Settle(ctx context.Context, t spool.Settlement) error {
	l := s.agenda.hold(&t.Delivery)
	if l == nil {
		return spool.ErrFenced
	}
	c, err := s.settlement(l, t)
	if err == nil {
		err = s.submitPatiently(c, min(time.Since(l.since), mostWait))
	}
	if errors.Is(err, spool.ErrFenced) {
		s.agenda.end(l)
	} else if err != nil {
		s.agenda.unhold(l)
		err = fmt.Errorf("settle %s: %w", l.message, err)
	}
	return err
}

func (s *Spool) settlement(l *lease, t spool.Settlement) (*settle, error) {
	c := &settle{s: s, lease: l, next: t.Next.UnixMilli(), delayed: t.Delayed}
	var err error
	results := make(map[string]*spool.Result, len(t.Results))
	for i := range t.Results {
		results[t.Results[i].Address] = &t.Results[i]
	}
	for _, r := range l.recipients {
		if res := results[string(r.Address)]; res != nil {
			class := res.Reply.Code / 100
			if class == 5 && l.marks.fate != "" { // it was not tried, for it is an operator who ends it
				c.ordered = append(c.ordered, r)
			}
			if class == 2 || class == 5 {
				continue
			}
			r.Last = newResult(*res)
		}
		c.rest = append(c.rest, r)
	}
	if len(c.rest) > 0 {
		if c.record, err = json.Marshal(c.rest); err != nil {
			return nil, err
		}
	}
	for i := range t.Reports {
		r := &t.Reports[i]
		e, err := s.newEnqueue(&r.Envelope)
		if err != nil {
			return nil, fmt.Errorf("report %q: %w", r.Envelope.ID, err)
		}
		e.setArrived(r.Envelope.Arrived)
		e.setBody(r.Content)
		c.reports = append(c.reports, e)
	}
	c.events = s.settledEvents(l, &t)
	if s.config.History > 0 {
		c.past, err = newPast(l, &t, len(c.rest) > 0)
	}
	return c, err
}

// Damage sets a message aside. Leases of it are over.
func (s *Spool) Damage(ctx context.Context, id, cause string) error {
	return s.submit(&damage{s: s, id: id, cause: cause})
}
