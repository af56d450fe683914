package sqlitespool

import (
	"maps"
	"time"
)

// A Backlog is what a listener has not been told.
type Backlog struct {
	Waiting     int64     // events that it is still to be told
	Dropped     int64     // events since the start that it never hears of, because too many waited
	LastDropped time.Time // zero: none was
}

// Backlogs are those of all listeners by name. They are counted along with each change, and cost the same however many events wait.
func (s *Spool) Backlogs() map[string]Backlog {
	s.countMu.Lock()
	defer s.countMu.Unlock()
	return maps.Clone(s.backlogs)
}

// waits counts events that a listener waits for from now on, or no more.
func (b *batch) waits(listener string, events int64) {
	b.change(listener, func(of *Backlog) { of.Waiting += events })
}

// drops counts an event that a listener never hears of.
func (b *batch) drops(listener string) {
	b.change(listener, func(of *Backlog) {
		of.Waiting--
		of.Dropped++
	})
}

func (b *batch) change(listener string, how func(*Backlog)) {
	if b.backlogs == nil {
		b.backlogs = map[string]Backlog{}
	}
	of := b.backlogs[listener]
	how(&of)
	b.backlogs[listener] = of
}

// countBacklogs takes the changes of a transaction that is committed.
func (s *Spool) countBacklogs(changes map[string]Backlog, now int64) {
	if len(changes) == 0 {
		return
	}
	s.countMu.Lock()
	defer s.countMu.Unlock()
	for listener, change := range changes {
		of := s.backlogs[listener]
		of.Waiting += change.Waiting
		if of.Dropped += change.Dropped; change.Dropped > 0 {
			of.LastDropped = time.UnixMilli(now)
		}
		s.backlogs[listener] = of
	}
}
