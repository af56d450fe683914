package smarthosttest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Script is a set of rules in force.
type Script struct {
	view  view
	rules []*scripted
}

// scripted is a rule in force. The scripts' mu guards it.
type scripted struct {
	Rule
	inbox string // folded; "" is everybody's
	since time.Time
	seen  int // how often it could have acted, those that were skipped included
	acted int
}

// scripts are the rules of a server.
type scripts struct {
	mu     sync.Mutex
	rules  []*scripted
	random *rand.Rand
	seed   uint64
	magic  magic
}

// facts are what is known where a rule may act.
type facts struct {
	stage Stage
	user  string   // folded; "" is nobody
	from  string   // reverse-path
	to    []string // recipients: the one at hand, or all
}

// Script puts rules in force, behind those that are. At each stage of a session the first rule that fits acts, and no other; where none fits
// the server answers itself. A rule is asked only where the server itself would have gone on: one on MAIL changes nothing for who has not logged in.
// At its end the test fails if a rule was not met, with the transcripts. It fails at once if a rule is not valid.
func (v view) Script(rules ...Rule) *Script {
	v.tb.Helper()
	s, err := v.AddRules(rules...)
	if err != nil {
		v.tb.Fatalf("smarthosttest: %v", err)
		return nil
	}
	v.tb.Cleanup(func() {
		if err := s.Unmet(); err != nil {
			v.tb.Errorf("%v\n%s", err, v.transcripts())
		}
	})
	return s
}

// AddRules does what Script does, and leaves it to the caller to ask for Unmet.
func (v view) AddRules(rules ...Rule) (*Script, error) {
	var faults []error
	s := &Script{view: v}
	for _, r := range rules {
		faults = append(faults, r.Validate())
		if v.user != "" && r.early() {
			faults = append(faults, fmt.Errorf("rule on %q: nobody has logged in there, so that it cannot be for the inbox of %s alone", r.on, v.user))
		}
		s.rules = append(s.rules, &scripted{Rule: r, inbox: v.user, since: time.Now()})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	of := &v.server.scripts
	of.mu.Lock()
	defer of.mu.Unlock()
	of.rules = append(of.rules, s.rules...)
	return s, nil
}

// Rules are those in force that may still act, in their order, with the times that are left.
func (v view) Rules() []Rule {
	of := &v.server.scripts
	of.mu.Lock()
	defer of.mu.Unlock()
	var left []Rule
	for _, r := range of.rules {
		if (v.user == "" || r.inbox == v.user) && !r.spent() {
			left = append(left, r.left())
		}
	}
	return left
}

// ClearRules takes all rules out of force. Those that a test has put in force are not asked for any more at its end.
func (v view) ClearRules() {
	of := &v.server.scripts
	of.mu.Lock()
	defer of.mu.Unlock()
	of.rules = slices.DeleteFunc(of.rules, func(r *scripted) bool {
		mine := v.user == "" || r.inbox == v.user
		r.optional = r.optional || mine
		return mine
	})
	if v.user == "" {
		of.magic.deferred = nil
	}
}

// Stop takes the script's rules out of force. Unmet goes on to tell of them.
func (s *Script) Stop() {
	of := &s.view.server.scripts
	of.mu.Lock()
	defer of.mu.Unlock()
	of.rules = slices.DeleteFunc(of.rules, func(r *scripted) bool { return slices.Contains(s.rules, r) })
}

// Acted is how often the script's rules have acted.
func (s *Script) Acted() (n int) {
	of := &s.view.server.scripts
	of.mu.Lock()
	defer of.mu.Unlock()
	for _, r := range s.rules {
		n += r.acted
	}
	return n
}

// Unmet names the rules that have not acted, or not as often as they should.
func (s *Script) Unmet() error {
	of := &s.view.server.scripts
	of.mu.Lock()
	defer of.mu.Unlock()
	var faults []error
	for _, r := range s.rules {
		if want := max(r.times, 1); !r.optional && r.acted < want {
			faults = append(faults, fmt.Errorf("a rule has acted %d times of %d: %s", r.acted, want, r.Rule))
		}
	}
	return errors.Join(faults...)
}

// next finds the rule that acts.
func (of *scripts) next(f facts) *Rule {
	of.mu.Lock()
	defer of.mu.Unlock()
	for _, r := range of.rules {
		if r.on != f.stage || r.spent() || r.inbox != "" && r.inbox != f.user || !r.fits(f) {
			continue
		}
		if r.seen++; r.seen <= r.skip || r.probability > 0 && of.chance() >= r.probability {
			continue
		}
		r.acted++
		acts := r.Rule
		return &acts
	}
	return of.magic.rule(f)
}

// chance is from 0 up to 1; mu is held.
func (of *scripts) chance() float64 {
	if of.random == nil {
		of.random = rand.New(rand.NewPCG(of.seed, 0))
	}
	return of.random.Float64()
}

func (r *scripted) spent() bool {
	return r.times > 0 && r.acted >= r.times || r.within > 0 && time.Since(r.since) >= r.within
}

// left is the rule with what it has done taken off.
func (r *scripted) left() Rule {
	of := r.Rule
	of.skip = max(0, r.skip-r.seen)
	if of.times > 0 {
		of.times -= r.acted
	}
	if of.within > 0 {
		of.within -= time.Since(r.since)
	}
	return of
}

func (r Rule) fits(f facts) bool {
	return like(r.user, f.user) && (r.from == "" || like(r.from, f.from)) &&
		(r.to == "" || slices.ContainsFunc(f.to, func(to string) bool { return like(r.to, to) }))
}

// early tells that the rule acts before anybody can have logged in.
func (r Rule) early() bool {
	return slices.Contains([]Stage{Accept, Banner, EHLO, STARTTLS, Handshake}, r.on)
}

// String is the rule in JSON.
func (r Rule) String() string { return cmp.Or(inJSON(r), "a rule") }

// inJSON is v in JSON, without its braces' escapes for HTML.
func inJSON(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}
