package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

// A Finding is what one check of an examination saw.
type Finding struct {
	Check string `json:"check"` // one or two words, fixed
	Level string `json:"level"` // good, note, warning or problem
	Where string `json:"where"` // what it is about, if not the whole: a door, a file
	What  string `json:"what"`
	Why   string `json:"why"` // it matters; "" for good
	Do    string `json:"do"`  // "" for good
}

// An Examination is the one under way, or the last one. It is kept until the next one, or the end of the server.
type Examination struct {
	Began    *time.Time `json:"began"`    // null: there was none
	Ended    *time.Time `json:"ended"`    // null: it is under way, or there was none
	Doing    string     `json:"doing"`    // what is looked at now
	Fault    string     `json:"fault"`    // why it could not be made, or not to its end
	Findings []Finding  `json:"findings"` // in the order of the checks
}

// running tells whether it is under way.
func (e Examination) running() bool { return e.Began != nil && e.Ended == nil }

// examinations are made one at a time. What is examined is this server alone: there is no name or address that a request could
// choose, since a server that connects to wherever it is told from a browser is a way into the network behind it.
type examinations struct {
	once sync.Once
	wish chan struct{} // that one be made

	mu   sync.Mutex
	last Examination
}

func (e *examinations) wishes() chan struct{} {
	e.once.Do(func() { e.wish = make(chan struct{}, 1) })
	return e.wish
}

// begin asks for one; false: one is under way.
func (e *examinations) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last.running() {
		return false
	}
	now := time.Now().UTC()
	e.last = Examination{Began: &now}
	e.wishes() <- struct{}{} // there is room: the last wish was taken before its examination ended
	return true
}

// serve makes those that are asked for, until ctx ends.
func (e *examinations) serve(ctx context.Context, examine func(context.Context, func(Finding), func(string)) error) {
	for {
		select {
		case <-e.wishes():
		case <-ctx.Done():
			return
		}
		err := e.make(ctx, examine)
		e.note(func(x *Examination) {
			now := time.Now().UTC()
			x.Ended, x.Doing = &now, ""
			if err != nil {
				x.Fault = err.Error()
			}
		})
	}
}

// make makes one. That it fails by a fault of its own must not end the server.
func (e *examinations) make(ctx context.Context, examine func(context.Context, func(Finding), func(string)) error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the examination itself failed: %v; this is a fault of smarthost: report it, and run smarthost doctor on the server", fault)
		}
	}()
	return examine(ctx,
		func(f Finding) { e.note(func(x *Examination) { x.Findings = append(x.Findings, f) }) },
		func(what string) { e.note(func(x *Examination) { x.Doing = what }) })
}

// note changes the one under way. What comes after its end, from a check that was given up, is left out.
func (e *examinations) note(change func(*Examination)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last.running() {
		change(&e.last)
	}
}

func (e *examinations) now() Examination {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.last
	x.Findings = append([]Finding{}, slices.Clone(x.Findings)...)
	return x
}

func (s *Server) examination(w http.ResponseWriter, _ *request) error {
	web.Answer(w, http.StatusOK, s.examinations.now())
	return nil
}

func (s *Server) beginExamination(w http.ResponseWriter, _ *request) error {
	if !s.examinations.begin() {
		return web.Fail(http.StatusConflict, "an examination is under way", "GET this path until \"ended\" is set")
	}
	web.Answer(w, http.StatusAccepted, s.examinations.now())
	return nil
}
