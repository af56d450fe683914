package notify

import (
	"context"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

const (
	together   = 8                  // POSTs to one hook at the same time, each about another message
	giveUp     = 3 * 24 * time.Hour // age of an event that is told no more
	firstPause = time.Second        // when a hook has taken nothing; doubled each time up to lastPause
	lastPause  = time.Minute
	writeLimit = 30 * time.Second
)

// waits are those between attempts at one event; the last repeats.
var waits = []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour}

// A Hook is one listener.
type Hook struct {
	Name     string            // in the log and in the database
	URL      string            // https, or http with Private
	Secret   []byte            // key of the signatures
	Types    []spool.EventType // empty = all
	Accounts []string          // whose mail it is told of; empty = all, and the server's own
	Domains  []string          // of recipients, in lower case; empty = all
	Private  bool              // its address may be one that is not public
	RootCAs  *x509.CertPool    // nil = the system's
}

// wants tells whether the hook is told of e.
func (h *Hook) wants(e *spool.Event) bool {
	return (len(h.Types) == 0 || slices.Contains(h.Types, e.Type)) &&
		(len(h.Accounts) == 0 || slices.Contains(h.Accounts, e.Account)) &&
		(len(h.Domains) == 0 || slices.Contains(h.Domains, strings.ToLower(e.Recipient[strings.LastIndexByte(e.Recipient, '@')+1:])))
}

// Hooks are all of them. They do not change.
type Hooks []Hook

// Names are their names.
func (hs Hooks) Names() []string {
	names := make([]string, len(hs))
	for i := range hs {
		names[i] = hs[i].Name
	}
	return names
}

// Want names those that are told of e.
func (hs Hooks) Want(e *spool.Event) (names []string) {
	for i := range hs {
		if hs[i].wants(e) {
			names = append(names, hs[i].Name)
		}
	}
	return names
}

// A Notifier tells hooks what waits for them in the outbox.
type Notifier struct {
	Hooks  Hooks
	Outbox spool.Outbox // required if there are hooks
	Agent  string       // User-Agent; "" = smarthost
	Log    zerolog.Logger
	// Metrics registers what is counted; nil: it is shown nowhere.
	Metrics prometheus.Registerer

	attempts *prometheus.CounterVec
	prepare  sync.Once
	troubles troubles
}

// Prepare registers the metrics, so that they are there before the first event. Run does it too.
func (n *Notifier) Prepare() { n.prepare.Do(func() { n.attempts = newMetrics(n.Metrics, n.Hooks) }) }

// Run tells events until ctx ends. An attempt that is broken off then is made again by the next process.
func (n *Notifier) Run(ctx context.Context) error {
	n.Prepare()
	var all sync.WaitGroup
	for i := range n.Hooks {
		all.Go(func() { n.serve(ctx, &n.Hooks[i], newClient(&n.Hooks[i])) })
	}
	all.Wait()
	return nil
}

// serve is one hook's loop. Hooks do not wait for each other.
func (n *Notifier) serve(ctx context.Context, h *Hook, client *http.Client) {
	defer client.CloseIdleConnections()
	log := n.Log.With().Str("webhook", h.Name).Logger()
	pause := time.Duration(0)
	for ctx.Err() == nil {
		due, next, changed, err := n.Outbox.Notices(ctx, h.Name, together)
		switch {
		case err != nil && ctx.Err() == nil:
			log.Error().Err(err).Msg("events cannot be read from the queue; it is tried again")
			wait(ctx, lastPause, nil)
		case err != nil:
		case len(due) == 0:
			d := time.Hour
			if !next.IsZero() {
				d = time.Until(next)
			}
			wait(ctx, d, changed)
		case n.tell(ctx, h, client, due, log, pause > 0):
			if pause > 0 {
				log.Info().Msg("the webhook takes events again")
			}
			pause = 0
		default:
			pause = min(max(2*pause, firstPause), lastPause)
			wait(ctx, pause, nil)
		}
	}
}

// wait ends with ctx, after d, or when changed is closed.
func wait(ctx context.Context, d time.Duration, changed <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-changed:
	}
}

// tell makes one attempt at each notice, and tells whether the hook took any.
func (n *Notifier) tell(ctx context.Context, h *Hook, client *http.Client, due []spool.Notice, log zerolog.Logger, quiet bool) bool {
	faults := make([]error, len(due))
	var all sync.WaitGroup
	for i := range due {
		all.Go(func() { faults[i] = n.post(ctx, h, client, &due[i], time.Now()) })
	}
	all.Wait()
	if ctx.Err() != nil { // broken off: which of them were taken is not sure
		for i := range faults {
			if faults[i] != nil {
				due[i].Number = 0
			}
		}
	}
	var done []int64
	var later []spool.Postponement
	now, taken, gaveUp := time.Now(), false, false
	for i := range due {
		d, err := &due[i], faults[i]
		switch {
		case d.Number == 0:
		case err == nil:
			done, taken = append(done, d.Number), true
			n.attempts.WithLabelValues(h.Name, attemptTold).Inc()
		case d.Body == nil, now.Sub(d.At) >= giveUp:
			done, gaveUp = append(done, d.Number), true
			n.attempts.WithLabelValues(h.Name, attemptGivenUp).Inc()
			log.Error().Err(err).Str("event", d.ID).Str("msg", d.Message).Int("attempts", d.Attempts+1).Msg("an event is given up; the webhook never hears of it")
		default:
			n.attempts.WithLabelValues(h.Name, attemptFailed).Inc()
			later = append(later, spool.Postponement{Number: d.Number, Until: now.Add(waits[min(d.Attempts, len(waits)-1)])})
			if !quiet {
				log.Warn().Err(err).Str("event", d.ID).Str("msg", d.Message).Msg("the webhook did not take an event; it is told again, for three days")
				quiet = true
			}
		}
	}
	if len(done)+len(later) > 0 {
		n.troubles.note(h.Name, taken, gaveUp, now)
	}
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	if err := n.Outbox.Told(writing, done, later); err != nil {
		log.Error().Err(err).Msg("it cannot be written down which events were told; they are told again")
		return false
	}
	return taken
}
