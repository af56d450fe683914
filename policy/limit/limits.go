package limit

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/time/rate"
)

// Standard is the class of accounts whose own class is not configured.
const Standard = "default"

// A Kind is one of the things that are counted.
type Kind int

// The kinds.
const (
	Messages Kind = iota
	Recipients
	Bytes
	kinds
)

var kindNames = [kinds]string{"messages", "recipients", "bytes"}

func (k Kind) String() string { return kindNames[k] }

func (c Class) rate(k Kind) Rate {
	return [kinds]Rate{c.Messages, c.Recipients, c.Bytes}[k]
}

// Limits counts for all accounts, whose names are compared as they are: callers give the folded one (auth.Account).
// The zero value limits nothing until Configure, which comes before Restore. All methods may be called at the same time.
type Limits struct {
	mu       sync.Mutex
	classes  map[string]Class
	accounts map[string]*account
	changes  uint64
	sweep    int // size of accounts at which full buckets are looked for
}

// account is the use of one account. used is kept beside rate.Limiter's tokens only through them: tokens = Amount - used.
type account struct {
	class   string
	buckets [kinds]*rate.Limiter
}

const firstSweep = 1024

// Configure sets the classes. What accounts have used already stays used.
func (l *Limits) Configure(classes map[string]Class) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.classes = maps.Clone(classes)
	now := time.Now()
	for _, a := range l.accounts {
		for k := range kinds {
			a.buckets[k] = rebuild(l.class(a.class).rate(k), used(a.buckets[k], now), now)
		}
	}
	l.changes++
}

func (l *Limits) class(name string) Class {
	if c, ok := l.classes[name]; ok {
		return c
	}
	return l.classes[Standard]
}

// used is how much is missing from a full bucket.
func used(b *rate.Limiter, now time.Time) float64 {
	return float64(b.Burst()) - b.TokensAt(now)
}

// rebuild makes a bucket of which used is gone.
func rebuild(r Rate, used float64, now time.Time) *rate.Limiter {
	if r.Amount == 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	b := rate.NewLimiter(rate.Limit(r.perSecond()), int(r.Amount))
	if n := int(min(used, float64(r.Amount)) + 0.5); n > 0 {
		b.ReserveN(now, n)
	}
	return b
}

// A Take is what was taken from a bucket, until it is given back or kept.
type Take struct {
	name string
	kind Kind
	n    int
}

// Take takes n from a bucket of the account. The error is the reply, 450 4.7.1, and nothing is taken then.
// n greater than what the bucket ever holds is refused for good, 552 5.7.1: waiting would not help.
func (l *Limits) Take(name, class string, k Kind, n int64) (Take, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	a := l.account(name, class, now)
	b := a.buckets[k]
	if !b.AllowN(now, int(n)) {
		return Take{}, refusal(k, l.class(class).rate(k), b, n, now)
	}
	l.changes++
	return Take{name, k, int(n)}, nil
}

// Check tells what Take would, and takes nothing.
func (l *Limits) Check(name, class string, k Kind, n int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	b := l.account(name, class, now).buckets[k]
	if b.Limit() == rate.Inf || b.TokensAt(now) >= float64(n) {
		return nil
	}
	return refusal(k, l.class(class).rate(k), b, n, now)
}

// Return gives back what was taken. A bucket never holds more than it can.
func (l *Limits) Return(t Take) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.accounts[t.name]
	if !ok {
		return // forgotten, and so full
	}
	// A reservation of a negative number adds tokens; advancing caps them at the burst.
	a.buckets[t.kind].ReserveN(time.Now(), -t.n)
	l.changes++
}

func (l *Limits) account(name, class string, now time.Time) *account {
	a, ok := l.accounts[name]
	if ok && a.class == class {
		return a
	}
	fresh := &account{class: class}
	for k := range kinds {
		gone := 0.0
		if ok {
			gone = used(a.buckets[k], now)
		}
		fresh.buckets[k] = rebuild(l.class(class).rate(k), gone, now)
	}
	if l.accounts == nil {
		l.accounts, l.sweep = map[string]*account{}, firstSweep
	}
	if len(l.accounts) >= l.sweep {
		maps.DeleteFunc(l.accounts, func(_ string, a *account) bool { return a.full(now) })
		l.sweep = max(firstSweep, 2*len(l.accounts))
	}
	l.accounts[name] = fresh
	return fresh
}

func (a *account) full(now time.Time) bool {
	for _, b := range a.buckets {
		if used(b, now) > 0 {
			return false
		}
	}
	return true
}

func refusal(k Kind, r Rate, b *rate.Limiter, n int64, now time.Time) *smtp.SMTPError {
	if n > r.Amount {
		return &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 7, 1},
			Message: fmt.Sprintf("%s: %d at once is more than the %d that are allowed %s", k, n, r.Amount, r.period())}
	}
	tokens := b.TokensAt(now)
	gone := min(r.Amount, r.Amount-int64(tokens))
	wait := time.Duration((float64(n) - tokens) / r.perSecond() * float64(time.Second))
	what := "next one in"
	if k == Bytes {
		what = fmt.Sprintf("room for these %d in", n)
	}
	return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 7, 1},
		Message: fmt.Sprintf("%s: %d of %d %s %s; %s %s", k, gone, r.Amount, k, r.period(), what, Words(wait))}
}

// Changes grows with every change that Snapshot would show.
func (l *Limits) Changes() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes
}

// snapshot is the form in which the use is written down.
type snapshot struct {
	Version  int                    `json:"version"`
	Time     time.Time              `json:"time"`
	Accounts map[string]accountUsed `json:"accounts"`
}

type accountUsed struct {
	Class string         `json:"class,omitempty"`
	Used  [kinds]float64 `json:"used"` // messages, recipients, bytes
}

// Snapshot is the use of all accounts, as JSON.
func (l *Limits) Snapshot() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	s := snapshot{Version: 1, Time: now, Accounts: map[string]accountUsed{}}
	for name, a := range l.accounts {
		if a.full(now) {
			continue
		}
		u := accountUsed{Class: a.class}
		for k := range kinds {
			u.Used[k] = max(0, used(a.buckets[k], now))
		}
		s.Accounts[name] = u
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // numbers and strings
	}
	return text
}

// Restore takes up a Snapshot. What was refilled since then is reckoned by the clock; a clock that went back refills nothing.
func (l *Limits) Restore(text []byte) error {
	var s snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("use of the limits: %w", err)
	}
	if s.Version != 1 {
		return errors.New("use of the limits: written by a newer version")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	since := max(0, now.Sub(s.Time)).Seconds()
	for name, u := range s.Accounts {
		a := l.account(name, u.Class, now)
		for k := range kinds {
			r := l.class(u.Class).rate(k)
			if r.Amount > 0 {
				a.buckets[k] = rebuild(r, max(0, u.Used[k]-since*r.perSecond()), now)
			}
		}
	}
	l.changes++
	return nil
}
