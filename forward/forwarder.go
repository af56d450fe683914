package forward

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/route"
	"github.com/seed-1397b510/smarthost/forward/spool"
)

// What a Forwarder's zero fields mean, and what has no field.
const (
	standardWorkers        = 100
	standardPerDestination = 10
	standardStopGrace      = 20 * time.Second
	leaseFor               = 5 * time.Minute
	claimAtOnce            = 64
	claimPause             = time.Second // after a store that failed
)

// A Spool is what the forwarder needs of a spool.Store.
type Spool interface {
	Claim(ctx context.Context, q spool.Query) ([]spool.Delivery, error)
	Extend(ctx context.Context, d spool.Delivery, lease time.Duration) error
	Release(ctx context.Context, d spool.Delivery) error
	Body(ctx context.Context, id string) (io.ReadCloser, error)
	Settle(ctx context.Context, s spool.Settlement) error
	Damage(ctx context.Context, id string, cause string) error
}

// A Router finds hops; a *route.Router is one. The errors of both kinds of hops are a *smtp.SMTPError that holds for all recipients of the destination.
type Router interface {
	Destination(address string) string
	Hops(ctx context.Context, destination string) ([]route.Hop, error)
	RelayHops(ctx context.Context, relay route.Relay) ([]route.Hop, error)
}

// A Deliverer hands messages to hops; a *deliver.Deliverer is one, and says there what results and errors mean.
type Deliverer interface {
	Deliver(ctx context.Context, hop route.Hop, m deliver.Message) ([]deliver.Result, error)
}

// A Forwarder works through the queue. Its fields must not change once Run was called.
type Forwarder struct {
	Spool          Spool                 // required
	Router         Router                // required
	Deliverer      Deliverer             // required
	Hostname       string                // names this server in reports; required
	Workers        int                   // deliveries at the same time; 0 is 100
	PerDestination int                   // of them to one destination; 0 is 10
	StopGrace      time.Duration         // that deliveries under way get at the end; 0 is 20 s
	Metrics        prometheus.Registerer // where deliveries are counted; nil: nowhere
	Log            zerolog.Logger

	settings atomic.Pointer[Settings]
	once     sync.Once
	metrics  *metrics
}

// Configure changes the settings, now and at any time while Run runs.
func (f *Forwarder) Configure(s Settings) {
	f.settings.Store(&s)
	f.count()
}

// Run forwards until ctx ends. Then it claims no more, gives deliveries under way StopGrace to end, returns those that
// have not begun to the queue, and returns nil when no goroutine is left. It fails at once if a required field is missing.
func (f *Forwarder) Run(ctx context.Context) error {
	if f.Spool == nil || f.Router == nil || f.Deliverer == nil || f.Hostname == "" {
		return errors.New("forward: Spool, Router, Deliverer and Hostname are required")
	}
	w := f.newWork()
	attempts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	for w.waitForSlot(ctx) {
		claimed, err := w.claim(ctx)
		if err != nil && ctx.Err() == nil {
			f.Log.Error().Err(err).Msg("the queue cannot be read; forwarding goes on when it can")
			pause(ctx, claimPause)
		}
		for _, d := range claimed {
			w.start(attempts, d)
		}
	}
	w.putBack()
	grace := time.AfterFunc(or(f.StopGrace, standardStopGrace), cancel)
	defer grace.Stop()
	w.running.Wait()
	return nil
}

func or[T int | time.Duration](v, standard T) T {
	if v == 0 {
		return standard
	}
	return v
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// work is what one Run has under way.
type work struct {
	*Forwarder
	slots   chan struct{} // holds a token for each delivery that runs
	running sync.WaitGroup

	mu      sync.Mutex
	busy    map[string]int              // deliveries that run, by destination
	pending map[string][]spool.Delivery // claimed for destinations that were full
	stopped bool
	recall  context.CancelFunc // ends the claim that waits, because a destination that it skips has room
}

func (f *Forwarder) newWork() *work {
	return &work{
		Forwarder: f,
		slots:     make(chan struct{}, or(f.Workers, standardWorkers)),
		busy:      map[string]int{},
		pending:   map[string][]spool.Delivery{},
	}
}

// waitForSlot returns when one more delivery may run; false means that ctx has ended.
func (w *work) waitForSlot(ctx context.Context) bool {
	select {
	case w.slots <- struct{}{}:
		<-w.slots
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// claim takes as many deliveries as can run, of destinations that have room.
func (w *work) claim(ctx context.Context) ([]spool.Delivery, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	w.recall = cancel
	q := spool.Query{Max: min(claimAtOnce, cap(w.slots)-len(w.slots)), Lease: leaseFor, Skip: w.full()}
	w.mu.Unlock()
	claimed, err := w.Spool.Claim(ctx, q)
	w.mu.Lock()
	w.recall = nil
	w.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return claimed, err
}

// full lists destinations that take no more now. The lock is held.
func (w *work) full() []string {
	most := or(w.PerDestination, standardPerDestination)
	return slices.Sorted(func(yield func(string) bool) {
		for d, n := range w.busy {
			if n >= most && !yield(d) {
				return
			}
		}
	})
}

// start runs a delivery, or keeps it back if more of its destination were claimed than may run.
func (w *work) start(ctx context.Context, d spool.Delivery) {
	w.mu.Lock()
	if w.busy[d.Destination] >= or(w.PerDestination, standardPerDestination) {
		w.pending[d.Destination] = append(w.pending[d.Destination], d)
		w.mu.Unlock()
		return
	}
	w.busy[d.Destination]++
	w.mu.Unlock()
	w.slots <- struct{}{} // there is one: only the claiming goroutine starts, and it claimed no more than are free
	w.running.Go(func() {
		defer func() { <-w.slots }()
		w.count().running.Inc()
		defer w.count().running.Dec()
		for ok := true; ok; d, ok = w.next(ctx, d.Destination) {
			w.deliver(ctx, d)
		}
	})
}

// next is what was kept back for the destination of a delivery that has ended. Without any, the place is free again.
func (w *work) next(ctx context.Context, destination string) (spool.Delivery, bool) {
	for {
		w.mu.Lock()
		kept := w.pending[destination]
		if len(kept) == 0 || w.stopped {
			w.leave(destination)
			w.mu.Unlock()
			return spool.Delivery{}, false
		}
		d := kept[0]
		if w.pending[destination] = kept[1:]; len(kept) == 1 {
			delete(w.pending, destination)
		}
		w.mu.Unlock()
		if time.Until(d.Until) > leaseFor/2 {
			return d, true
		}
		w.release(ctx, d) // it waited long; whoever claims it next has a whole lease
	}
}

// leave frees a place. The lock is held.
func (w *work) leave(destination string) {
	was := w.busy[destination]
	if w.busy[destination] = was - 1; was == 1 {
		delete(w.busy, destination)
	}
	if was == or(w.PerDestination, standardPerDestination) && w.recall != nil {
		w.recall()
	}
}

// putBack returns what was claimed and has not begun.
func (w *work) putBack() {
	w.mu.Lock()
	w.stopped = true
	kept := slices.Concat(slices.Collect(maps.Values(w.pending))...)
	w.pending = map[string][]spool.Delivery{}
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), or(w.StopGrace, standardStopGrace))
	defer cancel()
	for _, d := range kept {
		w.release(ctx, d)
	}
}

// release gives a lease back. If that fails the lease runs out by itself.
func (w *work) release(ctx context.Context, d spool.Delivery) {
	if err := w.Spool.Release(ctx, d); err != nil {
		w.Log.Warn().Err(err).Str("msg", d.ID).Str("destination", d.Destination).Msg("a lease could not be given back")
	}
}
