package spooltest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

const (
	childVariable = "SPOOLTEST_CHILD" // the directory, in the child's environment
	killRounds    = 6
	killWriters   = 64
)

// Child makes this process the crash test's child if it was started as one, and then does not return:
// 64 writers keep mail, a worker settles some of it, and an operator gives orders, until the process is killed.
// open is like an Opener's, without a test.
func Child(open func(dir string) (spool.Store, error)) {
	dir := os.Getenv(childVariable)
	if dir == "" {
		return
	}
	s, err := open(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	say := func(word, id string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(word, id) // one write: what arrives is whole lines
	}
	var wg sync.WaitGroup
	for range killWriters {
		wg.Go(func() {
			for {
				dieOf(keepOne(s, say))
			}
		})
	}
	wg.Go(func() { work(s, say) })
	wg.Go(func() { operate(s, say) })
	wg.Wait()
}

func dieOf(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func keepOne(s spool.Store, say func(word, id string)) error {
	e := letter("bob@a.example")
	d, err := s.Create(context.Background(), e)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(d, pattern(500+rand.IntN(120_000))); err != nil {
		return err
	}
	if err := d.Commit(context.Background(), spool.Seal{Top: []byte(e.ID + "\r\n")}); err != nil {
		return err
	}
	say("kept", e.ID)
	return nil
}

// work settles one in a while, and says so before: from then on the message may be gone.
func work(s spool.Store, say func(word, id string)) {
	for {
		ds, err := s.Claim(context.Background(), spool.Query{Max: 1, Lease: time.Minute})
		dieOf(err)
		say("settling", ds[0].ID)
		dieOf(s.Settle(context.Background(), spool.Settlement{Delivery: ds[0], Results: results(ds[0], 250)}))
		say("settled", ds[0].ID)
	}
}

// operate orders one thing after another for all that waits, and removes one message.
func operate(s spool.Store, say func(word, id string)) {
	for {
		for _, v := range []spool.Verb{spool.Hold, spool.Reroute, spool.Unhold, spool.Retry} {
			out, err := s.Change(context.Background(), spool.Order{Verb: v, Relay: "smtp://relay.example"}, nil)
			dieOf(err)
			if v != spool.Reroute || len(out.IDs) == 0 {
				continue
			}
			id := out.IDs[rand.IntN(len(out.IDs))]
			say("settling", id)
			out, err = s.Change(context.Background(), spool.Order{Verb: spool.Remove, Filter: spool.Filter{IDs: []string{id}}}, nil)
			dieOf(err)
			if out.Changed == 1 {
				say("settled", id)
			}
		}
	}
}

// checklist 76: what was acknowledged is there after kill -9 at any moment, whole; what was settled is not.
func runKill(t *testing.T, open Opener) {
	dir := t.TempDir()
	kept, settling, settled := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for range killRounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childVariable+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		// What the child says after the kill was sent, and before it died, counts as well.
		killed, most := false, len(kept)+20+rand.IntN(150)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			word, id, _ := strings.Cut(lines.Text(), " ")
			map[string]map[string]bool{"kept": kept, "settling": settling, "settled": settled}[word][id] = true
			if len(kept) >= most && !killed {
				killed = true
				child.Process.Kill()
			}
		}
		if child.Wait(); !killed {
			t.Fatal("the child ended by itself")
		}
		verify(t, open, dir, kept, settling, settled)
	}
}

func verify(t *testing.T, open Opener, dir string, kept, settling, settled map[string]bool) {
	t.Helper()
	h := &harness{T: t, open: open, dir: dir}
	h.Store = open(t, dir)
	defer h.close()
	there, states := map[string]bool{}, map[spool.State]int{}
	for e, err := range h.List(context.Background(), spool.Filter{}) {
		h.check(err)
		there[e.ID] = true
		if body := h.body(e.ID); int64(len(body)) != e.Size || body != e.ID+"\r\n"+pattern(len(body)-len(e.ID)-2) {
			t.Errorf("%s came back with another body", e.ID)
		}
		if e.State != spool.Queued && e.State != spool.Held {
			t.Errorf("%s is %s", e.ID, e.State)
		}
		states[e.State]++
	}
	for id := range kept {
		if !there[id] && !settling[id] {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
	for id := range settled {
		if there[id] {
			t.Errorf("%s was settled and is there again", id)
		} else if s := h.story(id); s.Ended.IsZero() || len(s.Attempts) != 1 {
			t.Errorf("the history of %s, which was settled: %+v", id, s)
		}
	}
	messages, _, byState := h.counts()
	h.same("messages counted", messages, len(there))
	h.same("deliveries counted", byState, states)
}
