package admin

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Counts are what the server has counted since its start, but Waiting, which is how many deliveries wait now.
type Counts struct {
	Accepted, Refused, Delivered, Deferred, Failed, Waiting float64
}

const (
	sampleEvery = 15 * time.Second
	keptSamples = int(time.Hour/sampleEvery) + 1
)

// samples are the counts of the last hour, oldest first.
type samples struct {
	mu   sync.Mutex
	list []Counts
}

// take counts until ctx ends.
func (s *samples) take(ctx context.Context, count func(context.Context) (Counts, error)) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		if c, err := count(ctx); err == nil {
			s.mu.Lock()
			s.list = append(s.list[max(0, len(s.list)-keptSamples+1):], c)
			s.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *samples) all() []Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// A plot is a line of the last hour.
type plot struct {
	Title     string
	Now, Most string
	Points    string // of an SVG polyline, in a field of plotWidth by plotHeight
	HasPoints bool
}

const (
	plotWidth, plotHeight = 240, 60
	plotMargin            = 3
)

// newPlot draws values of which the last is of now.
func newPlot(title string, values []float64) plot {
	p := plot{Title: title, Now: "0", Most: "0", HasPoints: len(values) > 1}
	if len(values) == 0 {
		return p
	}
	most := slices.Max(values)
	p.Now, p.Most = number(values[len(values)-1]), number(most)
	var b strings.Builder
	for i, v := range values {
		x := plotWidth - float64(len(values)-1-i)*plotWidth/float64(keptSamples-1)
		y := plotHeight - plotMargin - v/max(most, 1)*(plotHeight-2*plotMargin)
		fmt.Fprintf(&b, "%.1f,%.1f ", x, y)
	}
	p.Points = strings.TrimSpace(b.String())
	return p
}

func number(v float64) string { return grouped(int64(math.Ceil(v))) }

// plots are the rates a minute, and how many wait.
func plots(list []Counts) []plot {
	rate := func(of func(Counts) float64) (values []float64) {
		for i := 1; i < len(list); i++ {
			values = append(values, max(0, of(list[i])-of(list[i-1]))*float64(time.Minute/sampleEvery))
		}
		return values
	}
	var waiting []float64
	for _, c := range list {
		waiting = append(waiting, c.Waiting)
	}
	return []plot{
		newPlot("messages taken a minute", rate(func(c Counts) float64 { return c.Accepted })),
		newPlot("recipients delivered to a minute", rate(func(c Counts) float64 { return c.Delivered })),
		newPlot("recipients put off or failed a minute", rate(func(c Counts) float64 { return c.Deferred + c.Failed })),
		newPlot("refusals a minute", rate(func(c Counts) float64 { return c.Refused })),
		newPlot("deliveries that wait", waiting),
	}
}

// nowSheet is the page of how things are.
type nowSheet struct {
	Status  Status
	Health  Report
	Verdict string   // the health of the whole in words
	Trouble []Result // of Health, what is not ok, with the gravest first
	States  []stateCount
	Plots   []plot
	Counted bool         // for long enough to plot
	Limits  []LimitInUse // those of which most is used
}

type stateCount struct {
	State string
	Count int
}

const mostLimits = 10

func (s *Server) nowPage(w http.ResponseWriter, r *request) error {
	now, err := s.now(r.Context())
	if err != nil {
		return err
	}
	return s.page(w, r, http.StatusOK, "nowpage", "Now", now)
}

func (s *Server) nowEvents(w http.ResponseWriter, r *request) error {
	return s.stream(w, r, "now", func() (any, error) { return s.now(r.Context()) })
}

func (s *Server) now(ctx context.Context) (now nowSheet, err error) {
	if now.Status, err = s.Status(ctx); err != nil {
		return now, err
	}
	now.Health = s.Health.Ready(ctx)
	now.Plots = plots(s.samples.all())
	now.Counted = now.Plots[0].HasPoints
	now.Verdict = map[State]string{OK: "All is well", Degraded: "It works, but somebody should look", Failed: "Something has failed"}[now.Health.State]
	for _, state := range []State{Failed, Degraded} {
		for _, r := range now.Health.Checks {
			if r.State == state {
				now.Trouble = append(now.Trouble, r)
			}
		}
	}
	now.States = now.Status.Queue.states()
	now.Limits = slices.Clone(now.Status.Limits)
	slices.SortFunc(now.Limits, func(a, b LimitInUse) int {
		return cmp.Or(cmp.Compare(b.part(), a.part()), cmp.Compare(a.Account, b.Account))
	})
	now.Limits = now.Limits[:min(len(now.Limits), mostLimits)]
	return now, nil
}

// states are the counts in the order of a delivery's way.
func (q QueueSize) states() (list []stateCount) {
	for _, state := range []string{"queued", "leased", "waiting", "held", "damaged"} {
		list = append(list, stateCount{state, q.ByState[state]})
	}
	return list
}

// Link is where more is told about the account.
func (l LimitInUse) Link() string {
	name, _, _ := strings.Cut(l.Account, "/")
	return "/users?" + url.Values{"user": {name}}.Encode()
}

// part is how much of the limit that is nearest is used.
func (l LimitInUse) part() (most float64) {
	for _, u := range []Use{l.Messages, l.Recipients, l.Bytes} {
		if u.Of > 0 {
			most = max(most, float64(u.Used)/float64(u.Of))
		}
	}
	return most
}
