package sqlitespool

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

const (
	batchChanges = 512                    // changes in one transaction
	batchOctets  = 16 << 20               // octets in one transaction
	rowWeight    = 8 << 10                // octets that a delivery's row costs in one: a page of each index is its own, if its destination is
	moment       = 400 * time.Microsecond // that a batch waits for as many others as shared the one before
	leastWait    = 100 * time.Microsecond // for others: a shorter one is not worth a timer
	mostWait     = 4 * time.Millisecond   // the same of a settlement, for which nobody waits but a worker
	reopenPause  = time.Second            // between attempts to open the database again after a fault
	trimPause    = time.Second            // between looks for history that is old, while mail goes through
	tendPause    = 10 * time.Minute       // between them while nothing happens
)

var errClosed = errors.New("spool is closed")

// A change is one caller's part of a transaction.
type change interface {
	// weight is about how many octets it writes.
	weight() int
	// durable tells that it must be synced to disk before its caller goes on.
	durable() bool
	// apply makes the change. refused says that it may not be made: it must be found out before anything is written,
	// and hurts nobody else in the batch. fault ends the whole batch.
	apply(b *batch) (refused, fault error)
	// applied is called in the writer's goroutine when it is committed, before the caller goes on.
	applied()
}

// A ticket is a change that waits for its transaction.
type ticket struct {
	change
	until   time.Time // when it has waited enough for others to share its transaction
	refused error
	done    chan error
}

// totals are counted along with each change, because counting a million rows for each look at the metrics is too much.
type totals struct{ messages, bytes, queued, waiting, held, damaged, history, events int64 }

func (t *totals) of(state spool.State) *int64 {
	switch state {
	case spool.Waiting:
		return &t.waiting
	case spool.Held:
		return &t.held
	case spool.Damaged:
		return &t.damaged
	}
	return &t.queued
}

// A batch is one transaction.
type batch struct {
	*conn
	now        int64 // milliseconds
	totals     totals
	duplicates *duplicates
	backlogs   map[string]Backlog // what it changes in them
}

// A writer owns the connection that writes. Its loop is the only goroutine that touches it.
type writer struct {
	s         *Spool
	conn      *conn       // nil after a fault, until it is opened again
	full      bool        // PRAGMA synchronous is FULL
	recent    *duplicates // nil after a fault, until they are read again
	trimmed   int64       // when no old history was found last
	reopened  time.Time
	dropped   int64     // events, since the last alarm
	alarmed   time.Time // when that was
	reopenErr error     // the last fault
}

// submit hands a change to the writer and waits for its commit.
func (s *Spool) submit(c change) error { return s.submitPatiently(c, 0) }

// submitPatiently does so too, and lets the commit wait for others for as long as patience.
func (s *Spool) submitPatiently(c change, patience time.Duration) error {
	t := &ticket{change: c, done: make(chan error, 1)}
	if patience > 0 {
		t.until = time.Now().Add(patience)
	}
	select {
	case s.changes <- t:
	case <-s.stop:
		return errClosed
	}
	select {
	case err := <-t.done:
		return err
	case <-s.stopped:
	}
	select {
	case err := <-t.done:
		return err
	default:
		return errClosed
	}
}

// loop commits batches until the spool is closed.
func (w *writer) loop() {
	defer close(w.s.stopped)
	var all []*ticket
	timer := time.NewTimer(time.Hour)
	tick := time.NewTicker(tendPause)
	defer tick.Stop()
	for {
		last := len(all)
		clear(all)
		all = all[:0]
		select {
		case t := <-w.s.changes:
			all = w.gather(append(all, t), last, timer)
			w.commit(all)
		case <-tick.C:
			w.tend()
		case <-w.s.stop:
			if w.conn != nil {
				if err := w.conn.close(); err != nil {
					w.s.config.Log.Error().Err(err).Msg("closing the queue's database")
				}
			}
			return
		}
	}
}

// tend removes what is old from the history, in pieces between which others get their turn.
func (w *writer) tend() {
	for before := int64(-1); before != w.s.counted().history && len(w.s.changes) == 0; {
		before = w.s.counted().history
		w.trimmed = 0
		w.commit([]*ticket{{change: tend{}, done: make(chan error, 1)}})
	}
}

// gather adds the changes that wait already. If the last batch had several, more are likely to come, and it waits for them: a moment for
// as many as last time, and longer if all that it has have the patience. The fewer transactions, the less each change costs.
func (w *writer) gather(all []*ticket, last int, timer *time.Timer) []*ticket {
	octets, until, moment := all[0].weight(), all[0].until, time.Now().Add(moment)
	for len(all) < batchChanges && octets < batchOctets {
		var t *ticket
		select {
		case t = <-w.s.changes:
		default:
			end := until
			if len(all) < last && end.Before(moment) {
				end = moment
			}
			left := time.Until(end)
			if last < 2 || left < leastWait {
				return all
			}
			timer.Reset(left)
			select {
			case t = <-w.s.changes:
				timer.Stop()
			case <-timer.C:
				return all
			}
		}
		all, octets = append(all, t), octets+t.weight()
		if t.until.Before(until) {
			until = t.until
		}
	}
	return all
}

// commit makes one transaction of all. If the disk is full, all mail in it is refused at once, so that results get through where mail does not,
// and each of what is left has one of its own if there is no room for all of it.
func (w *writer) commit(all []*ticket) {
	err := w.transact(all)
	if !errors.Is(err, spool.ErrFull) {
		w.finish(all, err)
		return
	}
	n := 0
	for i, t := range all { // mail goes first
		if _, mail := t.change.(*enqueue); mail {
			all[n], all[i] = t, all[n]
			n++
		}
	}
	w.finish(all[:n], err)
	if all = all[n:]; len(all) == 0 {
		return
	}
	if n > 0 {
		err = w.transact(all)
	}
	if errors.Is(err, spool.ErrFull) && w.s.space.release() {
		err = w.transact(all)
	}
	if len(all) == 1 || !errors.Is(err, spool.ErrFull) {
		w.finish(all, err)
		return
	}
	for i := range all {
		w.finish(all[i:i+1], w.transact(all[i:i+1]))
	}
}

func (w *writer) finish(all []*ticket, fault error) {
	for _, t := range all {
		switch {
		case fault != nil:
			t.done <- fault
		case t.refused != nil:
			t.done <- t.refused
		default:
			t.applied()
			t.done <- nil
		}
	}
}

// transact runs one transaction. After a fault none of it has happened.
func (w *writer) transact(all []*ticket) error {
	if err := w.ready(); err != nil {
		return err
	}
	durable := false
	for _, t := range all {
		t.refused = nil
		durable = durable || t.durable()
	}
	b := &batch{conn: w.conn, now: time.Now().UnixMilli(), totals: w.s.counted()}
	begin := time.Now()
	err := w.run(b, all, durable)
	if err == nil {
		w.recent.end()
		w.s.count(b.totals)
		w.s.countBacklogs(b.backlogs, b.now)
		w.s.metrics.changes.Observe(float64(len(all)))
		if durable {
			w.s.metrics.transaction.Observe(time.Since(begin).Seconds())
		}
		return nil
	}
	w.conn.script("ROLLBACK") // fails if SQLite has done it already
	if errors.Is(full(err), spool.ErrFull) {
		if w.recent != nil {
			w.recent.undo()
		}
		return full(err) // writing failed, which comes before syncing: the connection is as good as before
	}
	w.recent = nil
	w.s.config.Log.Error().Err(err).Int("changes", len(all)).Msg("the queue's database failed; it is closed and opened again")
	w.s.metrics.faults.Inc()
	w.conn.close()
	w.conn = nil
	w.reopenErr = full(fmt.Errorf("commit to the queue: %w", err)) // what others hear until the pause is over
	return w.reopenErr
}

func (w *writer) run(b *batch, all []*ticket, durable bool) (err error) {
	if w.recent == nil {
		if w.recent, err = readDuplicates(w.conn); err != nil {
			return err
		}
	}
	b.duplicates = w.recent
	if durable != w.full {
		// Only possible outside a transaction.
		mode := "PRAGMA synchronous = NORMAL"
		if durable {
			mode = "PRAGMA synchronous = FULL"
		}
		if err := b.script(mode); err != nil {
			return err
		}
		w.full = durable
	}
	if _, err := b.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	before := b.totals
	for _, t := range all {
		refused, fault := t.apply(b)
		if fault != nil {
			return fault
		}
		t.refused = refused
	}
	if err := w.trim(b); err != nil {
		return err
	}
	dropped, err := b.bound(w.s.config.EventRows)
	if err != nil {
		return err
	}
	if b.totals != before {
		t := b.totals
		if _, err := b.exec("UPDATE total SET messages = ?, bytes = ?, queued = ?, waiting = ?, held = ?, damaged = ?, history = ?, events = ?",
			t.messages, t.bytes, t.queued, t.waiting, t.held, t.damaged, t.history, t.events); err != nil {
			return err
		}
	}
	if err := b.merge(); err != nil {
		return err
	}
	begin := time.Now()
	_, err = b.exec("COMMIT")
	if err == nil && durable {
		w.s.metrics.syncLog.Observe(time.Since(begin).Seconds())
	}
	if err == nil {
		w.told(dropped, b.totals.events > before.events)
	}
	return err
}

// told wakes those who wait for events, and sounds the alarm if some were dropped, at most once a minute.
func (w *writer) told(dropped int64, more bool) {
	w.dropped += dropped
	if more || dropped > 0 {
		w.s.outbox.wake()
	}
	if w.dropped > 0 && time.Since(w.alarmed) >= time.Minute {
		w.s.config.Log.Error().Int64("dropped", w.dropped).Int64("most", w.s.config.EventRows).
			Msg("too many events wait for webhooks; the oldest are dropped: look at what answers there")
		w.dropped, w.alarmed = 0, time.Now()
	}
}

// trim keeps the history in its bounds.
func (w *writer) trim(b *batch) error {
	c := &w.s.config
	if b.now-w.trimmed < trimPause.Milliseconds() && b.totals.history <= c.HistoryRows {
		return nil
	}
	more, err := b.trim(c.History, c.HistoryRows)
	if !more {
		w.trimmed = b.now
	}
	return err
}

// ready opens the database again after a fault. Before anything new is written, all that is committed goes to the main file and is synced:
// a log whose sync has failed is not written on.
func (w *writer) ready() error {
	if w.conn != nil {
		return nil
	}
	if time.Since(w.reopened) < reopenPause {
		return w.reopenErr
	}
	w.reopened = time.Now()
	c, err := w.s.openWriter()
	if err == nil {
		var busy int64
		if busy, err = c.number("PRAGMA wal_checkpoint(TRUNCATE)"); err == nil && busy != 0 {
			err = errors.New("the database is in use by another program")
		}
		if err == nil {
			err = w.s.noteAll(c) // what a commit has brought about that seemed to fail
		}
		if err != nil {
			c.close()
		}
	}
	if err != nil {
		w.reopenErr = full(fmt.Errorf("open the queue again: %w", err))
		return w.reopenErr
	}
	w.conn, w.full = c, true
	w.s.config.Log.Info().Msg("the queue's database is open again")
	return nil
}

// full makes an error that means "no space" one that says so.
func full(err error) error {
	if code(err) == sqlite3.SQLITE_FULL || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", spool.ErrFull, err)
	}
	return err
}
