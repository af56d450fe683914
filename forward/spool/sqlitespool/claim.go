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
	s.claiming.Lock()
	defer s.claiming.Unlock()
	for len(all) < most {
		if ctx.Err() != nil {
			break
		}
		now := time.Now()
		destination, leased, w, ch := s.agenda.take(now, q.Skip)
		if destination == "" {
			wait, changed = w, ch
			break
		}
		found, next, err := s.look(ctx, destination, leased, now, most-len(all))
		if err != nil {
			s.agenda.note(destination, now.UnixMilli())
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
		s.agenda.note(destination, next)
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

// look reads up to most free deliveries of a destination that are due, and when its next one is.
func (s *Spool) look(ctx context.Context, destination string, leased map[string]bool, now time.Time, most int) (all []find, next int64, err error) {
	c, err := s.readers.get(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer s.readers.put(c)
	var leases []*lease
	limit := most + len(leased)
	rows, left := 0, int64(never) // left is when what is free and not taken was due
	bad := map[string]error{}
	// LIMIT ? alone would have SQLite compile the statement anew each time, to look at the number.
	// The columns that change with each attempt are not in the checksum: whatever stands in them must do no harm.
	err = c.query("SELECT message, due, state, attempts, delayed, recipients, sum, relay, fate, message_id FROM delivery WHERE destination = ? AND due <= ? ORDER BY due LIMIT ? + 0",
		func(v []driver.Value) (err error) {
			l := &lease{message: str(v[0]), destination: destination, due: integer(v[1]), state: spool.State(str(v[2])), attempts: int(max(integer(v[3]), 0)), delayed: integer(v[4]) != 0,
				marks: marks{str(v[7]), str(v[8])}, messageID: blob(v[9])}
			rows, next = rows+1, l.due
			if leased[l.message] {
				return nil
			}
			if len(leases) == most {
				left = min(left, l.due)
				return nil
			}
			if l.recipients, err = decodeRecipients(l.message, destination, blob(v[5]), l.marks, integer(v[6])); err != nil {
				bad[l.message] = err
				return nil
			}
			leases = append(leases, l)
			return nil
		}, destination, now.UnixMilli(), int64(limit))
	if err != nil {
		return nil, 0, err
	}
	if rows < limit {
		if next, err = c.number("SELECT coalesce((SELECT due FROM delivery WHERE destination = ? AND due > ? ORDER BY due LIMIT 1), ?)",
			destination, now.UnixMilli(), int64(never)); err != nil {
			return nil, 0, err
		}
		next = min(next, left) // leases may have ended since take named them, so that rows were read in their stead
	}
	for _, l := range leases {
		e, file, err := s.envelope(c, l.message)
		if errors.Is(err, spool.ErrDamaged) {
			bad[l.message] = err
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		l.size, l.file = e.Size, file
		e.Recipients = recipientsOf(l.recipients, destination)
		all = append(all, find{spool.Delivery{Envelope: e, Destination: destination, Attempts: l.attempts, Delayed: l.delayed, Relay: spool.Relay(l.marks.relay), Fate: spool.Fate(l.marks.fate)}, l})
	}
	for id, cause := range bad {
		s.config.Log.Error().Str("msg", id).Err(cause).Msg("a damaged message is set aside")
		if err := s.submit(&damage{s: s, id: id, cause: cause.Error()}); err != nil {
			return nil, 0, err
		}
	}
	return all, next, nil
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
