package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

// checkTime is how long a check may take before it counts as failed.
const checkTime = 4 * time.Second

// A State is how well something is.
type State string

// The states. What is degraded works, and somebody should look.
const (
	OK       State = "ok"
	Degraded State = "degraded"
	Failed   State = "failed"
)

// A Check looks at one thing that the server needs.
type Check struct {
	Name  string
	Every time.Duration // how long a result is believed; 0: it is looked each time
	// Look is not called again before it has returned. ctx ends after its time, but a disk that hangs may not care.
	Look func(ctx context.Context) (State, string)
}

// A Result is what a check has found.
type Result struct {
	Name  string    `json:"name"`
	State State     `json:"state"`
	Why   string    `json:"why"`
	At    time.Time `json:"at"`
}

// A Report is the health of the whole.
type Report struct {
	State  State    `json:"state"`
	Checks []Result `json:"checks"`
}

// Health looks when it is asked. Its fields must not change once it was.
type Health struct {
	Checks []Check

	once     sync.Once
	watches  []*watch
	running  sync.WaitGroup
	draining atomic.Bool
}

// Drain makes Ready say no from now on: the server is about to close its doors.
func (h *Health) Drain() { h.draining.Store(true) }

// Ready looks at everything but the checks that are excluded by name. It takes little more than checkTime at most.
func (h *Health) Ready(ctx context.Context, exclude ...string) Report {
	h.once.Do(func() {
		for _, c := range h.Checks {
			h.watches = append(h.watches, &watch{check: c})
		}
	})
	wanted := slices.DeleteFunc(slices.Clone(h.watches), func(w *watch) bool { return slices.Contains(exclude, w.check.Name) })
	report := Report{State: OK, Checks: make([]Result, len(wanted), len(wanted)+1)}
	var asked sync.WaitGroup
	for i, w := range wanted {
		asked.Go(func() { report.Checks[i] = w.result(ctx, &h.running) })
	}
	asked.Wait()
	if h.draining.Load() {
		report.Checks = append(report.Checks, Result{"serving", Failed, "the server is shutting down", time.Now().UTC()})
	}
	for _, r := range report.Checks {
		switch {
		case r.State == Failed:
			report.State = Failed
		case r.State == Degraded && report.State == OK:
			report.State = Degraded
		}
	}
	return report
}

func (h *Health) names() string {
	var list []string
	for _, c := range h.Checks {
		list = append(list, c.Name)
	}
	return strings.Join(list, ", ")
}

// wait waits for checks that run, for a while: one that hangs does not keep the server from ending.
func (h *Health) wait() {
	done := make(chan struct{})
	go func() { // ends with the checks, or with the program
		defer close(done)
		h.running.Wait()
	}()
	timer := time.NewTimer(checkTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// watch is a check with what it has found. At any time it looks once at most.
type watch struct {
	check Check

	mu    sync.Mutex
	last  Result
	look  chan struct{} // closed when the look under way has ended; nil: none is
	since time.Time     // when it began
}

func (w *watch) result(ctx context.Context, running *sync.WaitGroup) Result {
	w.mu.Lock()
	if w.look == nil && !w.last.At.IsZero() && time.Since(w.last.At) < w.check.Every {
		defer w.mu.Unlock()
		return w.last
	}
	if w.look == nil {
		w.look, w.since = make(chan struct{}), time.Now()
		running.Go(w.run)
	}
	look, left := w.look, checkTime-time.Since(w.since)
	w.mu.Unlock()
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-look:
	case <-timer.C:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.look == look {
		return Result{w.check.Name, Failed, fmt.Sprintf("has not answered for %s", time.Since(w.since).Round(time.Second)), w.since.UTC()}
	}
	return w.last
}

func (w *watch) run() {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	state, why := w.check.Look(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = Result{w.check.Name, state, why, time.Now().UTC()}
	close(w.look)
	w.look = nil
}

// live answers as long as this process can.
func (s *Server) live(w http.ResponseWriter, _ *request) error {
	web.Answer(w, http.StatusOK, Report{State: OK, Checks: []Result{}})
	return nil
}

// ready leaves out what is excluded, for those who need to know about the rest: exclude may be given several times.
func (s *Server) ready(w http.ResponseWriter, r *request) error {
	q, err := query(r, "exclude")
	if err != nil {
		return err
	}
	exclude := q["exclude"]
	for _, name := range exclude {
		if !slices.ContainsFunc(s.Health.Checks, func(c Check) bool { return c.Name == name }) {
			return web.Fail(http.StatusBadRequest, "there is no check "+web.Printable(name)+" to exclude", "exclude one of: "+s.Health.names())
		}
	}
	report := s.Health.Ready(r.Context(), exclude...)
	status := http.StatusOK
	if report.State == Failed {
		status = http.StatusServiceUnavailable
	}
	web.Answer(w, status, report)
	return nil
}
