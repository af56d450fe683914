//go:build e2e

package fleet

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// A client is a mail program as it stands on a laptop.
type client struct {
	name    string
	root    string                                         // of e2e/roots
	setup   func(t *testing.T, w *world)                   // configures it, and starts it if it is a daemon
	send    func(t *testing.T, w *world, id string) result // hands it a mail, and waits for the attempt if it does it itself
	queue   *queue                                         // nil: it keeps nothing, the caller is told
	restart func(t *testing.T, w *world)                   // of a daemon, so that it sees that its clock was set; nil: there is none
}

// A queue is how to find out about, and hurry, a client that keeps its mail and tries again by itself.
type queue struct {
	logs    []string // files beside syslog and standard error
	held    *regexp.Regexp
	bounced *regexp.Regexp
	retry   func(t *testing.T, w *world) // what its own timer would do later
}

// What became of a mail.
const (
	delivered = "delivered"
	later     = "kept, then delivered"
	bounced   = "BOUNCED"
)

// duplicate is in the log when the same mail was sent again and not queued again.
const duplicate = `"message":"duplicate"`

// fate follows one mail through a trouble that passes.
func fate(t *testing.T, c client, x trouble) string {
	t.Helper()
	w := newWorld(t, c.root, x.submission, x.names...)
	if x.prepare != nil {
		x.prepare(t, w)
	}
	c.setup(t, w)
	id := strings.ReplaceAll(x.name, " ", "-")
	heal := x.begin(t, w, c)
	said := c.send(t, w, id)
	arrived := func() bool { return w.arrived(id) > 0 }
	if x.unheard { // that it has arrived is not known to the client: it has to send again, and hear that all is well
		arrived = func() bool { return strings.Contains(w.server.Log(), duplicate) }
	}
	outcome := c.outcome(t, w, said, arrived)
	heal()
	if c.queue == nil && outcome != delivered {
		if again := c.send(t, w, id); again.code != 0 { // the person, or the program, tries again
			t.Errorf("%s, %s: after the trouble: exit code %d: %s", c.name, x.name, again.code, again.text)
		}
	}
	if c.queue != nil && outcome == "" {
		outcome = later
		deadline := time.After(patience)
		for !arrived() && outcome == later {
			c.queue.retry(t, w)
			select {
			case <-time.After(500 * time.Millisecond):
			case <-deadline:
				t.Errorf("%s, %s: not delivered within %v after the trouble; it said:\n%s", c.name, x.name, patience, w.seen(c.queue.logs...))
				return "STUCK"
			}
			if m := c.queue.bounced.FindString(w.seen(c.queue.logs...)); m != "" {
				outcome = bounced + ": " + m
			}
		}
	}
	if !strings.HasPrefix(outcome, bounced) {
		lab.Await(t, "the mail at the next hop", patience, arrived)
		if n := w.arrived(id); n != 1 {
			t.Errorf("%s, %s: %d copies arrived, want 1", c.name, x.name, n)
		}
	}
	if testing.Verbose() && c.queue != nil {
		t.Logf("%s", w.seen(c.queue.logs...))
	}
	return outcome
}

// outcome waits for the end of the first attempt; "" is a mail that the client keeps.
func (c client) outcome(t *testing.T, w *world, said result, arrived func() bool) string {
	t.Helper()
	if c.queue == nil {
		if said.code == 0 {
			return delivered
		}
		return fmt.Sprintf("exit code %d: %s", said.code, said.text)
	}
	if said.code != 0 {
		t.Fatalf("%s does not take the mail: exit code %d: %s", c.name, said.code, said.text)
	}
	outcome := ""
	lab.Await(t, c.name+": a first attempt", patience, func() bool {
		seen := w.seen(c.queue.logs...)
		switch {
		case c.queue.bounced.MatchString(seen):
			outcome = bounced + ": " + c.queue.bounced.FindString(seen)
		case arrived():
			outcome = delivered
		default:
			return c.queue.held.MatchString(seen)
		}
		return true
	})
	return outcome
}

// TestMatrix is the table of the README: what becomes of the mail, for each client and each passing trouble.
func TestMatrix(t *testing.T) {
	results := map[[2]string]string{}
	var mu sync.Mutex
	slots := make(chan struct{}, 8)
	t.Run("cells", func(t *testing.T) {
		for _, c := range clients {
			for _, x := range troubles {
				t.Run(c.name+"/"+x.name, func(t *testing.T) {
					t.Parallel()
					slots <- struct{}{}
					defer func() { <-slots }()
					got := fate(t, c, x)
					mu.Lock()
					defer mu.Unlock()
					results[[2]string{c.name, x.name}] = got
					if c.queue != nil && got != delivered && got != later && !excused(c, x) {
						t.Errorf("%s, %s: %s", c.name, x.name, got)
					}
				})
			}
		}
	})
	for _, c := range clients {
		for _, x := range troubles {
			t.Logf("%-22s %-28s %s", c.name, x.name, results[[2]string{c.name, x.name}])
		}
	}
}

// excused tells whether no server can keep this client from bouncing.
func excused(client, trouble) bool { return false }
