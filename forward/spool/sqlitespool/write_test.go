package sqlitespool

import (
	"testing"
	"testing/synctest"
	"time"
)

// One transaction, which all others wait for, brings about as many deliveries for mails with many destinations as for mails with one.
func TestBatchOfManyDestinations(t *testing.T) {
	for _, destinations := range []int{1, 100, 1000} {
		e := &enqueue{rows: make([]row, destinations), body: make([]byte, 4096)}
		if rows := min(batchChanges, batchOctets/e.weight()+1) * destinations; rows > 4*batchChanges+destinations {
			t.Errorf("%d rows in one transaction of messages for %d destinations", rows, destinations)
		}
	}
}

// Those who have the patience share a transaction. Nobody waits longer than the least patient of a batch, nor while there are no others.
func TestPatience(t *testing.T) {
	const ms = time.Millisecond
	type arrival struct{ at, patience time.Duration }
	for _, c := range []struct {
		name string
		last int // changes of the batch before
		all  []arrival
		many int // in the first batch
		took time.Duration
	}{
		{"alone", 1, []arrival{{0, 4 * ms}, {ms, 0}}, 1, 0},
		{"nobody comes", 2, []arrival{{0, 3 * ms}}, 1, 3 * ms},
		{"patient", 2, []arrival{{0, 4 * ms}, {ms, 4 * ms}, {2 * ms, 4 * ms}, {5 * ms, 4 * ms}}, 3, 4 * ms},
		{"the second has less", 2, []arrival{{0, 4 * ms}, {ms, ms}, {3 * ms, 4 * ms}}, 2, 2 * ms},
		{"in a hurry, like the last time", 3, []arrival{{0, 0}, {moment / 4, 0}, {moment / 2, 0}, {moment * 3 / 4, 0}}, 3, moment / 2},
		{"in a hurry, unlike the last time", 3, []arrival{{0, 0}, {moment / 2, 0}, {2 * moment, 0}}, 2, moment},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &writer{s: &Spool{changes: make(chan *ticket, len(c.all))}}
				timer := time.NewTimer(time.Hour)
				defer timer.Stop()
				begin := time.Now()
				ticketOf := func(a arrival) *ticket {
					return &ticket{change: tend{}, until: begin.Add(a.at + a.patience)}
				}
				for _, a := range c.all[1:] {
					time.AfterFunc(a.at, func() { w.s.changes <- ticketOf(a) })
				}
				got := len(w.gather([]*ticket{ticketOf(c.all[0])}, c.last, timer))
				if took := time.Since(begin); got != c.many || took != c.took {
					t.Errorf("%d changes after %v, want %d after %v", got, took, c.many, c.took)
				}
				time.Sleep(10 * ms) // the rest arrives inside the bubble
			})
		})
	}
}
