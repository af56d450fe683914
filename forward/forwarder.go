package forward

import (
	"context"
	"errors"
	"io"
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
	Change(ctx context.Context, o spool.Order, progress func(spool.Outcome)) (spool.Outcome, error)
	Stats(ctx context.Context) (spool.Stats, error)
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
	Try(ctx context.Context, hop route.Hop) error
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
	w.running.Go(func() { w.watchWays(ctx) })
	for w.waitForPlace(ctx) {
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
	running sync.WaitGroup
	freed   chan struct{} // has something when a place has become free
	ways    *ways

	mu      sync.Mutex
	held    shares
	kept    backlog
	stopped bool
	asked   *spool.Query       // of the claim that waits
	recall  context.CancelFunc // ends it, because something that it skips has room
}

func (f *Forwarder) newWork() *work {
	return &work{
		Forwarder: f,
		freed:     make(chan struct{}, 1),
		ways:      newWays(),
		held:      newShares(or(f.Workers, standardWorkers), or(f.PerDestination, standardPerDestination)),
	}
}

// waitForPlace returns when one more delivery may run; false means that ctx has ended.
func (w *work) waitForPlace(ctx context.Context) bool {
	for {
		w.mu.Lock()
		free := w.held.workers > w.held.running
		w.mu.Unlock()
		if free || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		select {
		case <-w.freed:
		case <-ctx.Done():
		}
	}
}

// claim takes as many deliveries as can run, of those that have room.
func (w *work) claim(ctx context.Context) ([]spool.Delivery, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	q := w.busy()
	q.Max, q.Lease = min(claimAtOnce, max(1, w.held.workers-w.held.running)), leaseFor
	w.asked, w.recall = &q, cancel
	w.mu.Unlock()
	claimed, err := w.Spool.Claim(ctx, q)
	w.mu.Lock()
	w.asked, w.recall = nil, nil
	w.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return claimed, err
}

// start runs a delivery, or keeps it back if more were claimed than have room.
func (w *work) start(ctx context.Context, d spool.Delivery) {
	p := pairOf(d)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kept.of(p) >= 0 || !w.held.room(p) {
		w.kept.add(d)
		return
	}
	w.held.take(p)
	w.launch(ctx, d)
}

// launch runs a delivery that has its place, and then those that were kept back. The lock is held.
func (w *work) launch(ctx context.Context, d spool.Delivery) {
	w.running.Go(func() {
		w.count().running.Inc()
		defer w.count().running.Dec()
		for ok := true; ok; d, ok = w.next(ctx, d) {
			if left := time.Until(d.Until); left > leaseFor/2 {
				w.deliver(ctx, d)
			} else if left > 0 { // it was kept back for long; whoever claims it next has a whole lease
				w.release(ctx, d)
			}
		}
	})
}

// next is what was kept back and has room when a delivery has ended. More that has room is launched.
func (w *work) next(ctx context.Context, ended spool.Delivery) (next spool.Delivery, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held.leave(pairOf(ended))
	for !w.stopped {
		d, found := w.kept.next(&w.held)
		if !found {
			break
		}
		w.held.take(pairOf(d))
		if ok {
			w.launch(ctx, d)
		} else {
			next, ok = d, true
		}
	}
	if !ok {
		select {
		case w.freed <- struct{}{}:
		default: // it is known
		}
	}
	if w.asked != nil && w.eased(w.asked) {
		w.recall()
	}
	return next, ok
}

// putBack returns what was claimed and has not begun.
func (w *work) putBack() {
	w.mu.Lock()
	w.stopped = true
	kept := w.kept
	w.kept = nil
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), or(w.StopGrace, standardStopGrace))
	defer cancel()
	for _, k := range kept {
		for _, d := range k.deliveries {
			if time.Until(d.Until) > 0 {
				w.release(ctx, d)
			}
		}
	}
}

// release gives a lease back. If that fails the lease runs out by itself.
func (w *work) release(ctx context.Context, d spool.Delivery) {
	if err := w.Spool.Release(ctx, d); err != nil {
		w.Log.Warn().Err(err).Str("msg", d.ID).Str("destination", d.Destination).Msg("a lease could not be given back")
	}
}
