package forward

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/route"
	"github.com/seed-1397b510/smarthost/forward/spool"
)

// Whoever is alone takes nearly all, and the last place is for those who have none.
func TestFair(t *testing.T) {
	for places, want := range map[int]int{1: 1, 2: 1, 3: 2, 5: 4, 10: 9, 20: 17, 100: 89} {
		held := 0
		for fair(held, places-held) {
			held++
		}
		if held != want {
			t.Errorf("of %d places one account takes %d, want %d", places, held, want)
		}
		if places > 1 && !fair(0, places-held) {
			t.Errorf("of %d places nothing is left for a second account", places)
		}
	}
}

// crowd counts the deliveries that run, by what by says of a message.
type crowd struct {
	mu  sync.Mutex
	now map[string]int
}

// slow takes as long as takes says, and then answers 250.
func (c *crowd) slow(takes func(m deliver.Message) (name string, t time.Duration)) host {
	return func(ctx context.Context, m deliver.Message) ([]deliver.Result, error) {
		name, t := takes(m)
		c.count(name, 1)
		defer c.count(name, -1)
		if t > 0 {
			select {
			case <-time.After(t): // the bubble's clock
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		return each(func(string) int { return 250 })(ctx, m)
	}
}

func (c *crowd) count(name string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil {
		c.now = map[string]int{}
	}
	if c.now[name] += n; c.now[name] == 0 {
		delete(c.now, name)
	}
}

func (c *crowd) snapshot() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.now)
}

// sender is the account of a message, as by names it.
func sender(m deliver.Message) string { return strings.TrimSuffix(m.From, "@from.example") }

// An account whose recipients' hops take ten minutes does not keep the mail of others waiting: neither with hops of its own, nor at a
// relay or a destination that it shares with them. It gets its own mail out all the same.
func TestSlowAccountHoldsUpNobody(t *testing.T) {
	for name, domain := range map[string]func(account string, i int) string{
		"hops of its own":      func(account string, i int) string { return fmt.Sprintf("%s%d.example", account, i%30) },
		"a relay":              func(string, int) string { return route.RelayDestination },
		"one destination":      func(string, int) string { return "x.example" },
		"the same thirty hops": func(_ string, i int) string { return fmt.Sprintf("x%d.example", i%30) },
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				var c crowd
				answer := c.slow(func(m deliver.Message) (string, time.Duration) {
					if sender(m) == "mallory" {
						return "mallory", 10 * time.Minute
					}
					return "honest", 0
				})
				add := func(account string, i int) {
					d := domain(account, i)
					h.mu.Lock()
					h.hosts[d] = answer
					h.mu.Unlock()
					h.add(by(account), account+"@"+d)
				}
				for i := range 300 {
					add("mallory", i)
				}
				stop := h.start()
				defer stop()
				soon()
				most := 9
				if strings.Contains(name, "hops") {
					most = 89
				}
				same(h, "places of an account that is alone", map[string]int{"mallory": most}, c.snapshot())
				if n := h.states()[spool.Leased]; n > standardWorkers+claimAtOnce {
					h.Errorf("%d are claimed, far more than can run", n)
				}
				for round := 1; round <= 3; round++ { // the longer it waits the more leases of what is kept back have run out
					for i := range 60 {
						add(fmt.Sprint("honest", i%20), i)
					}
					soon()
					got := h.taken()
					for i := range 20 {
						if account := fmt.Sprint("honest", i); got[account] != 3*round {
							h.Errorf("%d mails of %s were delivered, want %d", got[account], account, 3*round)
						}
					}
					time.Sleep(8 * time.Minute)
				}
				time.Sleep(8 * time.Hour)
				same(h, "left", nil, h.left())
				if n := h.taken()["mallory"]; n != 300 {
					h.Errorf("%d of 300 mails of mallory were delivered", n)
				}
			})
		})
	}
}

// Accounts that want more places than there are get about the same share, whoever came first; and so do those at one relay.
func TestAccountsShare(t *testing.T) {
	for _, at := range []string{"x%d.example", route.RelayDestination} {
		inHouse(t, func(h *house) {
			var c crowd
			random := rand.New(rand.NewPCG(1, 2))
			answer := c.slow(func(m deliver.Message) (string, time.Duration) {
				c.mu.Lock()
				defer c.mu.Unlock()
				return sender(m), 20*time.Second + time.Duration(random.Int64N(int64(20*time.Second)))
			})
			for i := range 30 {
				h.hosts[strings.ReplaceAll(at, "%d", fmt.Sprint(i))] = answer
			}
			stop := h.start()
			defer stop()
			for n := range 4 {
				for i := range 400 {
					h.add(by(fmt.Sprint("account", n)), fmt.Sprintf("account%d@%s", n, strings.ReplaceAll(at, "%d", fmt.Sprint(i%30))))
				}
				soon()
			}
			time.Sleep(2 * time.Minute)
			begin := h.taken()
			time.Sleep(3 * time.Minute)
			least, most := 400, 0
			for account, n := range h.taken() {
				least, most = min(least, n-begin[account]), max(most, n-begin[account])
			}
			if len(begin) != 4 || most > least*3/2 {
				h.Errorf("at %s: one account got %d mails out, another %d; places are %v", at, most, least, c.snapshot())
			}
		})
	}
}

// taken is how many mails were taken of each account whose name is the recipient's local part.
func (h *house) taken() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]int{}
	for to, n := range h.got {
		all[to[:strings.IndexByte(to, '@')]] += n
	}
	return all
}
