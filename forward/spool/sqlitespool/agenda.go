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
type agenda struct {
	mu      sync.Mutex
	places  map[string]*place
	queue   places
	leases  map[leaseKey]*lease
	fence   int64
	changed chan struct{} // closed when a place is due earlier than before; replaced then
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

func newAgenda(now time.Time) *agenda {
	return &agenda{places: map[string]*place{}, leases: map[leaseKey]*lease{}, fence: now.UnixMilli() << 20, changed: make(chan struct{})}
}

// note tells that a destination has something due at due.
func (a *agenda) note(destination string, due int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noteLocked(destination, due)
}

func (a *agenda) noteLocked(destination string, due int64) {
	if due == never {
		return
	}
	p := a.places[destination]
	if p == nil {
		p = &place{name: destination, next: never, index: -1}
		a.places[destination] = p
	}
	if p.next <= due {
		return
	}
	p.next = due
	if p.index < 0 {
		heap.Push(&a.queue, p)
	} else {
		heap.Fix(&a.queue, p.index)
	}
	close(a.changed)
	a.changed = make(chan struct{})
}

// take hands out the destination that has been due longest and is not to be skipped, and the messages of it that are leased.
// The agenda forgets that it is due: the caller looks, and notes what it leaves.
// If nothing is due it says for how long, and what to wait on besides.
func (a *agenda) take(now time.Time, skip []string) (destination string, leased map[string]bool, wait time.Duration, changed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	earliest := a.expire(now)
	var aside []*place
	for len(a.queue) > 0 && a.queue[0].next <= now.UnixMilli() {
		p := heap.Pop(&a.queue).(*place)
		if !slices.Contains(skip, p.name) {
			destination = p.name
			delete(a.places, p.name)
			break
		}
		aside = append(aside, p)
	}
	for _, p := range aside {
		heap.Push(&a.queue, p)
	}
	if destination != "" {
		leased = map[string]bool{}
		for k := range a.leases {
			if k.destination == destination {
				leased[k.message] = true
			}
		}
		return destination, leased, 0, nil
	}
	if next := a.after(now, skip); next != never {
		earliest = min(earliest, time.UnixMilli(next).Sub(now))
	}
	return "", nil, earliest, a.changed
}

// after is the earliest time after now at which a destination that is not skipped has something due.
func (a *agenda) after(now time.Time, skip []string) int64 {
	// A heap's first that is not skipped is among its first layers: at most len(skip)+(those due) entries stand above it.
	next := int64(never)
	a.eachBelow(0, func(p *place) bool {
		if p.next <= now.UnixMilli() || slices.Contains(skip, p.name) {
			return true
		}
		next = min(next, p.next)
		return false
	})
	return next
}

// eachBelow visits the heap from i down, and goes below an entry only if visit says so.
func (a *agenda) eachBelow(i int, visit func(*place) bool) {
	if i >= len(a.queue) || !visit(a.queue[i]) {
		return
	}
	a.eachBelow(2*i+1, visit)
	a.eachBelow(2*i+2, visit)
}

// expire ends the leases that have run out, and says how long the next one runs.
func (a *agenda) expire(now time.Time) time.Duration {
	earliest := time.Duration(math.MaxInt64)
	for k, l := range a.leases {
		switch left := l.until.Sub(now); {
		case l.settling:
		case left <= 0:
			delete(a.leases, k)
			a.noteLocked(l.destination, l.due)
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
	close(a.changed) // whoever sleeps reckons without this lease's end
	a.changed = make(chan struct{})
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
	a.noteLocked(l.destination, l.due)
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

// setState tells what the row of a delivery says that may be leased.
func (a *agenda) setState(message, destination string, state spool.State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.leases[leaseKey{message, destination}]; l != nil {
		l.state = state
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
