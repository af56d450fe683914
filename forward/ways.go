package forward

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/forward/route"
	"github.com/seed-1397b510/smarthost/forward/spool"
)

const (
	probeFirst = 15 * time.Second // until a relay that could not be reached is asked whether it is back; doubled each time
	probeMost  = time.Minute
	probeLimit = 30 * time.Second // for one such question
	wakeRest   = time.Minute      // until the mail of the same destination is woken again; doubled as long as its way does not stay open
	restMost   = time.Hour
	wakeShare  = 10     // and at least so many times as long as it took, so that going through a long queue is not what this server does
	waysKept   = 10_000 // destinations that are remembered; what others wait for comes with their retries
)

// ways remembers the destinations at which nobody could be reached. Their mail waits for its next retry, which may be an hour away, and
// longer than it has to: when the way is open again all of it is due. What a hop itself has put off is not; that keeps its retries.
//
// With a relay there is one way, and while it is closed and mail waits the relay is asked: connection, greeting, TLS, no login. A destination's
// MX hosts are not asked: there may be thousands that are dead for good. There the next mail that gets through opens the way for the rest.
type ways struct {
	mu      sync.Mutex
	closed  map[string]bool
	rests   map[string]rest
	opened  []string      // whose mail is to be woken
	changed chan struct{} // has something when there is something to do
}

// A rest is the time after its mail was woken in which that of a destination is not woken again.
type rest struct {
	until  time.Time
	length time.Duration
}

// newWays begins with a relay that may have come back while nobody looked.
func newWays() *ways {
	return &ways{closed: map[string]bool{route.RelayDestination: true}, rests: map[string]rest{}, changed: make(chan struct{}, 1)}
}

// close tells that at these destinations nobody could be reached.
func (w *ways) close(destinations []string) {
	if len(destinations) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range destinations {
		if len(w.closed) < waysKept {
			w.closed[d] = true
		}
	}
	w.call()
}

// open tells that somebody answered at a destination. The relay stands for all: it takes the mail that waits since before there was one.
func (w *ways) open(destination string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	relay := destination == route.RelayDestination
	if len(w.closed) == 0 || !relay && !w.closed[destination] || time.Now().Before(w.rests[destination].until) {
		return
	}
	if delete(w.closed, destination); relay {
		clear(w.closed)
	}
	w.opened = append(w.opened, destination)
	w.call()
}

func (w *ways) call() {
	select {
	case w.changed <- struct{}{}:
	default: // it is known
	}
}

// forget tells that no mail waits.
func (w *ways) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.closed)
}

// woke begins a destination's rest after its mail was woken, which took so long.
func (w *ways) woke(destination string, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(w.rests, func(_ string, r rest) bool { return now.Sub(r.until) >= r.length })
	length := max(wakeRest, min(2*w.rests[destination].length, restMost), wakeShare*took)
	w.rests[destination] = rest{now.Add(length), length}
}

// isClosed tells whether a destination's way is closed; for the relay, whether any is.
func (w *ways) isClosed(destination string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed[destination] || destination == route.RelayDestination && len(w.closed) > 0
}

// next is a destination whose mail is to be woken.
func (w *ways) next() (destination string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.opened) == 0 {
		return "", false
	}
	destination, w.opened = w.opened[0], w.opened[1:]
	return destination, true
}

// watchWays wakes mail whose way is open again, and asks a relay that is closed, until ctx ends.
func (w *work) watchWays(ctx context.Context) {
	probe := time.NewTimer(0)
	defer probe.Stop()
	pause, asking := probeFirst, true // asking: the timer runs
	for {
		for d, ok := w.ways.next(); ok && ctx.Err() == nil; d, ok = w.ways.next() {
			w.wake(ctx, d)
		}
		closed := w.Router.Destination("") == route.RelayDestination && w.ways.isClosed(route.RelayDestination)
		switch {
		case closed && !asking:
			probe.Reset(time.Duration(float64(pause) * (1 - jitter + 2*jitter*rand.Float64())))
			pause, asking = min(2*pause, probeMost), true
		case !closed:
			probe.Stop()
			pause, asking = probeFirst, false
		}
		select {
		case <-ctx.Done():
			return
		case <-w.ways.changed:
		case <-probe.C:
			if asking = false; closed {
				w.probe(ctx)
			}
		}
	}
}

// probe asks the relay whether it is there, if mail waits.
func (w *work) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	if !w.waits(ctx) {
		w.ways.forget()
		return
	}
	hops, err := w.Router.Hops(ctx, route.RelayDestination)
	if err != nil {
		return
	}
	for _, hop := range hops {
		hop.User, hop.Password = "", "" // whether it is there is told without
		if w.Deliverer.Try(ctx, hop) == nil {
			w.ways.open(route.RelayDestination)
			return
		}
	}
}

// waits tells whether there is mail that waits. What cannot be counted may.
func (w *work) waits(ctx context.Context) bool {
	stats, err := w.Spool.Stats(ctx)
	return err != nil || stats.ByState[spool.Waiting] > 0
}

// wake makes the mail due that waits because its destination could not be reached. It stops if that is so again.
func (w *work) wake(ctx context.Context, destination string) {
	if !w.waits(ctx) {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	order := spool.Order{Verb: spool.Retry, By: "this server, as the way is open again", Filter: spool.Filter{State: spool.Waiting, Unreached: true, Destination: destination}}
	if destination == route.RelayDestination {
		order.Filter.Destination = ""
	}
	begin := time.Now()
	out, err := w.Spool.Change(ctx, order, func(spool.Outcome) {
		if w.ways.isClosed(destination) {
			cancel()
		}
	})
	w.ways.woke(destination, time.Since(begin))
	if err != nil && !errors.Is(err, context.Canceled) {
		w.Log.Error().Err(err).Str("destination", destination).Msg("mail whose way is open again could not be made due; it waits for its next retry")
	}
	if out.Changed > 0 {
		w.Log.Info().Str("destination", destination).Int("deliveries", out.Changed).Msg("the way is open again; mail that waited for it is due")
	}
}

// learn notes what an attempt says of the way to a destination. A closed one is noted when the mail that found it so is written down
// as waiting: whoever opens it wakes that mail too.
func (w *work) learn(t *tried, destination string, last map[string]spool.Result) {
	for _, r := range last {
		if r.Hop != "" {
			w.ways.open(destination)
			return
		}
	}
	for _, r := range last {
		if !r.Unreached() {
			return
		}
	}
	if len(last) > 0 {
		t.closed = append(t.closed, destination)
	}
}
