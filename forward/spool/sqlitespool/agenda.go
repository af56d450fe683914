package sqlitespool

import (
	"container/heap"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// never is a due time that does not come.
const never = math.MaxInt64

// A place is what the agenda knows of a destination.
type place struct {
	name  string
	next  int64 // milliseconds; no delivery that is free is due before
	index int   // in the heap; -1 if next is never
}

// A lease is a delivery that somebody works on.
type lease struct {
	message, destination string
	account              string
	fence                int64
	since, until         time.Time
	due                  int64
	state                spool.State // what it was before
	recipients           []recipient
	attempts             int
	delayed              bool
	size                 int64
	file                 bool // the body is in a file
	marks                marks
	messageID            []byte
	settling             bool // its Settle is being committed: it does not run out
}

type leaseKey struct{ message, destination string }

// An agenda knows when each destination has something due, and what is leased. It holds no messages: a million that wait for
// a few destinations take no memory here, and a Claim that skips a busy destination does not wade through its mail.
//
// Nor does one that skips a busy account: what a look had to pass over is noted in that account's own docket, from the first such delivery on,
// and the next look begins behind it. So each delivery that is free is either due no earlier than its destination is in general, or no earlier than it is in passed
// for its account.
type agenda struct {
	mu      sync.Mutex
	general docket
	passed  map[string]*docket // by account; none is empty
	leases  map[leaseKey]*lease
	fence   int64
	changed chan struct{} // closed when a place is due earlier than before; replaced then
}

// A docket is when each of some destinations has something due.
type docket struct {
	places map[string]*place
	queue  places
}

// note tells that a destination has something due at due, and whether that is earlier than was known.
func (d *docket) note(destination string, due int64) (earlier bool) {
	p := d.places[destination]
	if p == nil {
		p = &place{name: destination, next: never, index: -1}
		d.places[destination] = p
	}
	if p.next <= due {
		return false
	}
	p.next = due
	if p.index < 0 {
		heap.Push(&d.queue, p)
	} else {
		heap.Fix(&d.queue, p.index)
	}
	return true
}

// first is the earliest that is not to be skipped, or nil.
func (d *docket) first(skip func(destination string) bool) (best *place) {
	d.queue.eachBelow(0, func(p *place) bool {
		if skip(p.name) {
			return true
		}
		if best == nil || p.next < best.next {
			best = p
		}
		return false
	})
	return best
}

func (d *docket) remove(p *place) {
	heap.Remove(&d.queue, p.index)
	delete(d.places, p.name)
}

// places is the heap of those with a next time, earliest first.
type places []*place

func (h places) Len() int           { return len(h) }
func (h places) Less(i, j int) bool { return h[i].next < h[j].next }
func (h places) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *places) Push(x any)        { p := x.(*place); p.index = len(*h); *h = append(*h, p) }
func (h *places) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h, p.index = old[:len(old)-1], -1
	return p
}

// eachBelow visits the heap from i down, and goes below an entry only if visit says so.
func (h places) eachBelow(i int, visit func(*place) bool) {
	if i >= len(h) || !visit(h[i]) {
		return
	}
	h.eachBelow(2*i+1, visit)
	h.eachBelow(2*i+2, visit)
}

func newDocket() docket { return docket{places: map[string]*place{}} }

func newAgenda(now time.Time) *agenda {
	return &agenda{general: newDocket(), passed: map[string]*docket{}, leases: map[leaseKey]*lease{}, fence: now.UnixMilli() << 20, changed: make(chan struct{})}
}

// note tells that a destination has something due at due.
func (a *agenda) note(destination string, due int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noteLocked(destination, due)
}

func (a *agenda) noteLocked(destination string, due int64) {
	if due != never && a.general.note(destination, due) {
		a.wake()
	}
}

// noteOf is note for a delivery of an account. Where earlier ones of it were passed over, this one is behind them and nobody is woken.
func (a *agenda) noteOf(account, destination string, due int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d := a.passed[account]; d != nil {
		if p := d.places[destination]; p != nil && p.next <= due {
			return
		}
	}
	a.noteLocked(destination, due)
}

// pass tells that a delivery was passed over because its account was to be skipped.
func (a *agenda) pass(account, destination string, due int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := a.passed[account]
	if d == nil {
		fresh := newDocket()
		d = &fresh
		a.passed[account] = d
	}
	d.note(destination, due)
}

// free tells that a lease has ended without a result. What others of its account were passed over for, it waits for with them.
func (a *agenda) free(l *lease) {
	if d := a.passed[l.account]; d != nil && d.places[l.destination] != nil {
		if d.note(l.destination, l.due) {
			a.wake()
		}
		return
	}
	a.noteLocked(l.destination, l.due)
}

// restart forgets what was passed over: all that is free is noted again by the caller.
func (a *agenda) restart() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.passed = map[string]*docket{}
}

func (a *agenda) wake() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// A look is where to look for deliveries that are due.
type look struct {
	destination string
	from        int64           // milliseconds; what is due before is no business of this look
	passed      bool            // for those of one account, that were passed over before
	account     string          // which one
	busy        map[string]bool // accounts to pass over; nil if there are none
	leased      map[string]bool // messages
}

// take hands out where something has been due longest that is not to be skipped.
// The agenda forgets that it is due: the caller looks, and notes what it leaves.
// If nothing is due, look is nil, and take says for how long, and what to wait on besides.
func (a *agenda) take(now time.Time, q *spool.Query) (l *look, wait time.Duration, changed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	wait = a.expire(now)
	from, account := &a.general, ""
	best := a.general.first(func(destination string) bool { return slices.Contains(q.Skip, destination) })
	for name, d := range a.passed {
		p := d.first(func(destination string) bool {
			return slices.Contains(q.Skip, destination) || q.Busy(name, destination)
		})
		if p != nil && (best == nil || p.next < best.next) {
			best, from, account = p, d, name
		}
	}
	if best == nil {
		return nil, wait, a.changed
	}
	if best.next > now.UnixMilli() {
		return nil, min(wait, time.UnixMilli(best.next).Sub(now)), a.changed
	}
	l = &look{destination: best.name, from: best.next, passed: from != &a.general, account: account, leased: map[string]bool{}}
	from.remove(best)
	if l.passed && len(from.queue) == 0 {
		delete(a.passed, account)
	}
	for name := range q.SkipAccounts {
		if !l.passed && q.Busy(name, l.destination) {
			if l.busy == nil {
				l.busy = map[string]bool{}
			}
			l.busy[name] = true
		}
	}
	for k := range a.leases {
		if k.destination == l.destination {
			l.leased[k.message] = true
		}
	}
	return l, 0, nil
}

// left notes that a look has left something that is due at due, or later.
func (a *agenda) left(l *look, due int64) {
	switch {
	case !l.passed:
		a.note(l.destination, due)
	case due != never:
		a.pass(l.account, l.destination, due)
	}
}

// expire ends the leases that have run out, and says how long the next one runs.
func (a *agenda) expire(now time.Time) time.Duration {
	earliest := time.Duration(math.MaxInt64)
	for k, l := range a.leases {
		switch left := l.until.Sub(now); {
		case l.settling:
		case left <= 0:
			delete(a.leases, k)
			a.free(l)
		default:
			earliest = min(earliest, left)
		}
	}
	return earliest
}

// lease gives the delivery a fence.
func (a *agenda) lease(l *lease) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fence++
	l.fence = a.fence
	a.leases[leaseKey{l.message, l.destination}] = l
}

// held returns the lease that d stands for, or nil if it is lost.
func (a *agenda) held(d *spool.Delivery) *lease {
	l := a.leases[leaseKey{d.ID, d.Destination}]
	if l == nil || l.fence != d.Fence || l.settling {
		return nil
	}
	return l
}

// hold protects a lease from running out while its Settle is committed.
func (a *agenda) hold(d *spool.Delivery) *lease {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.held(d)
	if l != nil {
		l.settling = true
	}
	return l
}

// unhold takes that back when the commit has failed.
func (a *agenda) unhold(l *lease) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l.settling = false
	a.wake() // whoever sleeps reckons without this lease's end
}

func (a *agenda) end(l *lease) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := (leaseKey{l.message, l.destination}); a.leases[k] == l {
		delete(a.leases, k)
	}
}

// endAll ends all leases of a message.
func (a *agenda) endAll(message string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.leases {
		if k.message == message {
			delete(a.leases, k)
		}
	}
}

func (a *agenda) extend(d *spool.Delivery, until time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.held(d)
	if l == nil {
		return spool.ErrFenced
	}
	l.until = until
	return nil
}

func (a *agenda) release(d *spool.Delivery) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.held(d)
	if l == nil {
		return spool.ErrFenced
	}
	delete(a.leases, leaseKey{l.message, l.destination})
	a.free(l)
	return nil
}

func (a *agenda) leasedUntil(message, destination string) (until time.Time, leased bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.leases[leaseKey{message, destination}]; l != nil {
		return l.until, true
	}
	return time.Time{}, false
}

// setRow tells what the row of a delivery says that may be leased.
func (a *agenda) setRow(message, destination string, state spool.State, due int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.leases[leaseKey{message, destination}]; l != nil {
		l.state, l.due = state, min(l.due, due)
	}
}

// leasedFrom moves those that are leased out of the counts of their states.
func (a *agenda) leasedFrom(t *totals) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.leases {
		*t.of(l.state)--
	}
	return len(a.leases)
}
