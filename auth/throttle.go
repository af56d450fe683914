package auth

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	lru "github.com/hashicorp/golang-lru/v2"
)

// How failures slow down. The longest wait stays well below the 30 s after which clients give up.
const (
	firstDelay    = time.Second // before the second try of a user name from an address; doubles with each failure
	maxDelay      = 10 * time.Second
	freeFailures  = 10                     // of an address, over all user names, without a wait; as many logins may go on at once
	addressDelay  = 500 * time.Millisecond // more with each failure after those
	forgetAfter   = time.Hour
	maxRemembered = 1 << 16          // addresses, and pairs of address and user name
	maxInLine     = 20 * time.Second // that the last one in an address's line may have to wait
)

type outcome int

const (
	undecided outcome = iota
	wrong
	right
)

// throttle slows down those who fail: each address and user name by itself, and each address over all names. It delays and
// never refuses for what somebody else did elsewhere, so that nobody can be locked out.
type throttle struct {
	mu        sync.Mutex
	pairs     *lru.Cache[pair, failures]
	addresses *lru.Cache[netip.Prefix, *line]
}

type pair struct {
	from netip.Prefix
	name string
}

type failures struct {
	n    int
	last time.Time
}

// count is what is still remembered.
func (f failures) count() int {
	if time.Since(f.last) > forgetAfter {
		return 0
	}
	return f.n
}

// line is one address: its failures, and its logins that are under way.
type line struct {
	failures
	free    map[string]bool // names whose login goes on without having waited; one at a time of each, so that guesses made at once do not count as one
	waiting int
	turn    chan struct{} // holds the one whose turn it is
}

func (t *throttle) prepare() {
	t.pairs = newCache[pair, failures](maxRemembered)
	t.addresses = newCache[netip.Prefix, *line](maxRemembered)
}

// network is what counts as one address: an IPv4 address, or the /64 that one IPv6 host can use.
func network(a netip.Addr) netip.Prefix {
	bits := 32
	if a = a.Unmap().WithZone(""); a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // fails for the zero Addr only, for which the zero Prefix does
	return p
}

// enter waits as long as the failures of the past demand. Logins of an address that has to wait do so one after the other,
// so that guessing over many connections is no faster. The caller tells done how it ended.
// The error is the reply: 454 4.7.0, the line is too long or ctx has ended.
func (t *throttle) enter(ctx context.Context, from netip.Addr, name string) (done func(outcome), err error) {
	p := pair{network(from), name}
	t.mu.Lock()
	l, ok := t.addresses.Get(p.from)
	if !ok {
		l = &line{turn: make(chan struct{}, 1), free: map[string]bool{}}
		t.addresses.Add(p.from, l)
	}
	delay := t.delay(p, l)
	if delay == 0 && !l.free[name] && len(l.free) < freeFailures {
		l.free[name] = true
		t.mu.Unlock()
		return func(o outcome) { t.settle(p, l, o, true) }, nil
	}
	if wait := time.Duration(l.waiting+1) * delay; wait > maxInLine {
		t.mu.Unlock()
		return nil, errLine(wait)
	}
	l.waiting++
	t.mu.Unlock()
	err = t.wait(ctx, p, l)
	t.mu.Lock()
	l.waiting--
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return func(o outcome) {
		t.settle(p, l, o, false)
		<-l.turn
	}, nil
}

func errLine(wait time.Duration) *smtp.SMTPError {
	return errUnavailable(fmt.Sprintf("Too many failed logins from your address; keep the message and try again in %d s", int(wait.Seconds())))
}

// wait returns nil when it is p's turn and its delay is over.
func (t *throttle) wait(ctx context.Context, p pair, l *line) error {
	full := time.NewTimer(maxInLine)
	defer full.Stop()
	select {
	case l.turn <- struct{}{}:
	case <-full.C: // those in front failed, and the delay grew
		return errLine(maxInLine)
	case <-ctx.Done():
		return errSlow()
	}
	t.mu.Lock()
	timer := time.NewTimer(t.delay(p, l))
	t.mu.Unlock()
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-full.C:
		<-l.turn
		return errLine(maxInLine)
	case <-ctx.Done():
		<-l.turn
		return errSlow()
	}
}

// delay is how long p has to wait now. The lock is held.
func (t *throttle) delay(p pair, l *line) time.Duration {
	of, _ := t.pairs.Get(p)
	d := time.Duration(0)
	if n := of.count(); n > 0 {
		d = min(maxDelay, firstDelay<<min(n-1, 10))
	}
	if n := l.count() - freeFailures; n >= 0 {
		d = max(d, min(maxDelay, time.Duration(n+1)*addressDelay))
	}
	return d
}

func (t *throttle) settle(p pair, l *line, o outcome, free bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if free {
		delete(l.free, p.name)
	}
	switch o {
	case wrong:
		of, _ := t.pairs.Get(p)
		t.pairs.Add(p, failures{of.count() + 1, time.Now()})
		l.failures = failures{l.count() + 1, time.Now()}
	case right:
		t.pairs.Remove(p)
	}
}
