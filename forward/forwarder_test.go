package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/spool"
)

// gate holds attempts back until it is opened, and counts those within.
type gate struct {
	mu         sync.Mutex
	in, most   int
	open       chan struct{}
	afterwards host
}

func newGate(then host) *gate { return &gate{open: make(chan struct{}), afterwards: then} }

func (g *gate) host(ctx context.Context, m deliver.Message) ([]deliver.Result, error) {
	g.mu.Lock()
	g.in++
	g.most = max(g.most, g.in)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.in--
		g.mu.Unlock()
	}()
	select {
	case <-g.open:
		return g.afterwards(ctx, m)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// soon is when everything that can happen without waiting for the network has happened: the queue gathers writes for less than a millisecond.
func soon() {
	time.Sleep(time.Second) // the bubble's clock
	synctest.Wait()
}

// start forwards in the background; the func that it returns stops that and waits.
func (h *house) start() (stop func()) {
	ctx, cancel := context.WithCancel(h.Context())
	ended := make(chan error)
	go func() { ended <- h.Forwarder.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.Error(err)
		}
	})
}

// states counts what is in the queue, by state.
func (h *house) states() map[spool.State]int {
	h.Helper()
	s, err := h.queue.Stats(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	got := map[spool.State]int{}
	for state, n := range s.ByState {
		if n > 0 {
			got[state] = n
		}
	}
	return got
}

// checklist 104: no more deliveries run than there are workers, and no more to one destination than it may have.
func TestBounds(t *testing.T) {
	for _, test := range []struct {
		workers, perDestination, want, destinations, accounts int
	}{{0, 0, 10, 1, 120}, {0, 0, 100, 20, 120}, {0, 0, 9, 1, 1}, {0, 0, 89, 20, 1}, {7, 3, 3, 1, 120}, {7, 3, 7, 20, 120}, {7, 3, 2, 1, 1}, {1, 1, 1, 3, 1}, {1, 1, 1, 3, 3}} {
		inHouse(t, func(h *house) {
			h.Workers, h.PerDestination = test.workers, test.perDestination
			g := newGate(takes(250))
			for i := range 120 {
				domain := fmt.Sprintf("d%d.example", i%test.destinations)
				h.hosts[domain] = g.host
				h.add(by(fmt.Sprint("account ", i%test.accounts)), "bob@"+domain)
			}
			stop := h.start()
			soon()
			if g.in != test.want {
				h.Errorf("%+v: %d run", test, g.in)
			}
			close(g.open)
			soon()
			stop()
			if g.most > test.want || len(h.mails) != 120 {
				h.Errorf("%+v: at most %d ran, %d were delivered", test, g.most, len(h.mails))
			}
			same(h, "left", nil, h.left())
		})
	}
}

// checklist 104: many mails for a dead destination do not keep others waiting.
func TestDeadDestinationStarvesNobody(t *testing.T) {
	inHouse(t, func(h *house) {
		h.Workers = 20
		h.hosts["dead.example"] = func(ctx context.Context, _ deliver.Message) ([]deliver.Result, error) {
			select {
			case <-time.After(30 * time.Second):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			r := reply(451)
			return nil, &r
		}
		for range 300 {
			h.add(nil, "bob@dead.example")
		}
		stop := h.start()
		soon()
		if n := h.states()[spool.Leased]; n > h.Workers {
			h.Errorf("%d are claimed, though the destination has no room for them", n)
		}
		for range 20 {
			h.add(nil, "carol@live.example")
		}
		soon() // the first of the dead take 30 s
		if got := h.got["carol@live.example"]; got != 20 {
			h.Errorf("%d of 20 were delivered", got)
		}
		time.Sleep(time.Hour) // the bubble's clock
		stop()
		if n := slices.IndexFunc(h.calls, func(c string) bool { return strings.HasPrefix(c, "live") }); n < 0 || n > 10 {
			h.Errorf("the living came after %d attempts at the dead", n)
		}
		same(h, "states", map[spool.State]int{spool.Waiting: 300}, h.states())
	})
}

// At the end attempts under way are finished, and what was claimed and has not begun goes back.
func TestStop(t *testing.T) {
	inHouse(t, func(h *house) {
		h.PerDestination = 2
		g := newGate(takes(250))
		h.hosts["x.example"] = g.host
		for i := range 9 {
			h.add(by(fmt.Sprint("account ", i)), "bob@x.example")
		}
		stop := h.start()
		soon()
		same(h, "states", map[spool.State]int{spool.Leased: 9}, h.states())
		go stop()
		soon()
		same(h, "states while it ends", map[spool.State]int{spool.Leased: 2, spool.Queued: 7}, h.states())
		close(g.open)
		stop()
		if len(h.mails) != 2 {
			h.Errorf("%d were delivered, want the two that had begun", len(h.mails))
		}
		same(h, "states in the end", map[spool.State]int{spool.Queued: 7}, h.states())
	})
}

// Attempts that do not end are broken off, and no attempt is counted.
func TestStopGrace(t *testing.T) {
	inHouse(t, func(h *house) {
		h.StopGrace = 5 * time.Second
		h.hosts["x.example"] = newGate(takes(250)).host
		h.add(nil, "bob@x.example")
		stop := h.start()
		soon()
		start := time.Now()
		stop()
		if took := time.Since(start); took.Round(time.Second) != 5*time.Second {
			h.Errorf("took %v", took)
		}
		for e, err := range h.queue.List(h.Context(), spool.Filter{}) {
			if err != nil || e.State != spool.Queued || e.Attempts != 0 {
				h.Errorf("left %s after %d attempts, %v", e.State, e.Attempts, err)
			}
		}
	})
}

// A lease is prolonged as long as an attempt lasts: nobody else sends the mail meanwhile.
func TestLongAttempt(t *testing.T) {
	inHouse(t, func(h *house) {
		g := newGate(takes(250))
		h.hosts["x.example"] = g.host
		h.add(nil, "bob@x.example")
		stop := h.start()
		time.Sleep(10 * leaseFor) // the bubble's clock
		close(g.open)
		soon()
		stop()
		same(h, "attempts", []string{"x.example: bob@x.example"}, h.calls)
		same(h, "copies", "bob@x.example=1", counts(h.got))
	})
}

// fenced is a spool that loses a lease when asked to prolong it.
type fenced struct {
	Spool
	settled int
}

func (f *fenced) Extend(context.Context, spool.Delivery, time.Duration) error {
	return fmt.Errorf("extend: %w", spool.ErrFenced)
}

func (f *fenced) Settle(ctx context.Context, s spool.Settlement) error {
	f.settled++
	return f.Spool.Settle(ctx, s)
}

// Who has lost the lease breaks off and settles nothing.
func TestLostLease(t *testing.T) {
	inHouse(t, func(h *house) {
		s := &fenced{Spool: h.queue}
		h.Forwarder.Spool = s
		var cause error
		h.hosts["x.example"] = func(ctx context.Context, _ deliver.Message) ([]deliver.Result, error) {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return nil, cause
		}
		h.add(nil, "bob@x.example")
		stop := h.start()
		time.Sleep(leaseFor / 2) // the bubble's clock
		soon()
		if !errors.Is(cause, spool.ErrFenced) || s.settled != 0 {
			h.Errorf("ended with %v, settled %d times", cause, s.settled)
		}
		stop()
	})
}

// unwilling is a spool that fails some times before it settles.
type unwilling struct {
	Spool
	fail int
}

func (u *unwilling) Settle(ctx context.Context, s spool.Settlement) error {
	if u.fail--; u.fail >= 0 {
		return errors.New("disk trouble")
	}
	return u.Spool.Settle(ctx, s)
}

// checklist 98: a result that cannot be written down at once is kept and written later, so that the mail is not sent twice.
func TestSettleIsRepeated(t *testing.T) {
	inHouse(t, func(h *house) {
		h.Forwarder.Spool = &unwilling{Spool: h.queue, fail: settleTries - 1}
		h.add(nil, "bob@x.example")
		h.run(time.Hour)
		same(h, "attempts", []string{"x.example: bob@x.example"}, h.calls)
		same(h, "left", nil, h.left())
	})
}

// fault 43: a result that cannot be written down at all does not hold the shutdown up for longer than the tries take.
func TestSettleGivesUp(t *testing.T) {
	inHouse(t, func(h *house) {
		h.Forwarder.Spool = &unwilling{Spool: h.queue, fail: 1000}
		h.add(nil, "bob@x.example")
		start := time.Now()
		h.run(time.Second)
		if took, want := time.Since(start), (1+2+4+8+16)*time.Second; took != want {
			t.Errorf("ended after %v, want %v", took, want)
		}
	})
}

// broken is a spool that cannot be claimed from at first.
type broken struct {
	Spool
	fail int
}

func (b *broken) Claim(ctx context.Context, q spool.Query) ([]spool.Delivery, error) {
	if b.fail--; b.fail >= 0 {
		return nil, errors.New("disk trouble")
	}
	return b.Spool.Claim(ctx, q)
}

// A queue that cannot be read is tried again after a pause.
func TestClaimFails(t *testing.T) {
	inHouse(t, func(h *house) {
		h.Forwarder.Spool = &broken{Spool: h.queue, fail: 3}
		h.add(nil, "bob@x.example")
		start := time.Now()
		h.hosts["x.example"] = func(ctx context.Context, m deliver.Message) ([]deliver.Result, error) {
			if took := time.Since(start); took != 3*claimPause {
				h.Errorf("claimed after %v", took)
			}
			return takes(250)(ctx, m)
		}
		h.run(time.Minute)
		same(h, "copies", "bob@x.example=1", counts(h.got))
	})
}
