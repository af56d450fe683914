//go:build e2e

package fleet

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
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
	anew    bool                                           // each call makes another message, with a Message-ID of its own
}

// A queue is how to find out about, and hurry, a client that keeps its mail and tries again by itself.
type queue struct {
	logs    []string // files beside syslog and standard error
	held    *regexp.Regexp
	bounced *regexp.Regexp
	retry   func(t *testing.T, w *world) // what its own timer would do later
}

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
	copies := 1
	if x.unheard && c.anew { // no server can tell that it is the same
		copies = 2
		arrived = func() bool { return w.arrived(id) == copies }
	}
	outcome := c.outcome(t, w, said, arrived)
	if copies == 2 {
		outcome += twice
	}
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
		if n := w.arrived(id); n != copies {
			t.Errorf("%s, %s: %d copies arrived, want %d", c.name, x.name, n, copies)
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
		return fmt.Sprintf("exit code %d: %s", said.code, lab.Shown(said.text))
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
	all := slices.Concat(clients, commands, services)
	results := map[cell]string{}
	var mu sync.Mutex
	t.Run("cells", func(t *testing.T) {
		for _, c := range all {
			for _, x := range troubles {
				t.Run(strings.ReplaceAll(c.name, "/", " ")+"/"+x.name, func(t *testing.T) {
					t.Parallel()
					got := fate(t, c, x)
					mu.Lock()
					defer mu.Unlock()
					results[cell{c.name, x.name}] = got
					if c.queue != nil && got != delivered && got != later && !excused(c, x) {
						t.Errorf("%s, %s: %s", c.name, x.name, got)
					}
				})
			}
		}
	})
	var cells []cell
	for _, c := range all {
		for _, x := range troubles {
			cells = append(cells, cell{c.name, x.name})
			if got := results[cell{c.name, x.name}]; got != "" {
				t.Logf("%-28s %-22s %s", c.name, x.name, got)
			}
		}
	}
	compare(t, cells, results)
}

// compare holds what was seen against the golden file; cells without an outcome were not run.
func compare(t *testing.T, cells []cell, seen map[cell]string) {
	t.Helper()
	known, want := readGolden(t)
	if len(seen) == len(cells) && len(known) != len(cells) && !*update {
		t.Errorf("%s has %d cells, the matrix has %d; if that is meant, run the test with -update", golden, len(known), len(cells))
	}
	var text bytes.Buffer
	for _, c := range cells {
		got, ran := seen[c]
		switch {
		case !ran:
			got = want[c]
		case got != want[c] && !*update:
			t.Errorf("%s, %s: this is new; if it is meant, run the test with -update:\n got %s\nwant %s", c.client, c.trouble, got, want[c])
		}
		if got != "" {
			fmt.Fprintf(&text, "%s\t%s\t%s\n", c.client, c.trouble, got)
		}
	}
	if *update {
		if err := os.WriteFile(golden, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
