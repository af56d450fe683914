//go:build e2e

package powercut

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// cuts cuts the power again and again in one record.
type cuts struct {
	trace  trace
	disk   *disk
	judge  *judge
	folder string
	luck   *rand.Rand
	ends   []end

	syncs, checkpoints, moments, made int
	chosen                            []left // what the server itself is to be started on

	mu     sync.Mutex
	faults []string
}

// An end is what was really in the folder when a run was over.
type end struct {
	line  int // the first that is not the run's
	found *folder
}

// left is what a cut has left.
type left struct {
	image image
	line  int       // of the record, before which the cut was
	at    time.Time // when that was
}

// An event is the beginning of a call, or the end of a sync.
type event struct {
	line int
	call *call
	end  bool
}

func (c *cuts) events() (all []event) {
	for _, x := range c.trace.calls {
		all = append(all, event{x.begin, x, false})
		if (x.name == "fsync" || x.name == "fdatasync") && x.ok() {
			all = append(all, event{x.end, x, true})
		}
	}
	slices.SortStableFunc(all, func(a, b event) int { return cmp.Compare(a.line, b.line) })
	return all
}

// record reads what the server did in a run that is over, and finds where it answered the mails.
func (c *cuts) record(t *testing.T, s *lab.Smarthost, mails []*mail) {
	t.Helper()
	before := len(c.trace.calls)
	lab.Check(t, c.trace.read(s.Under[len(s.Under)-1]))
	_, door, err := net.SplitHostPort(s.Submission)
	lab.Check(t, err)
	lab.Check(t, answers(c.trace.calls[before:], door, mails))
	found, err := newDisk(c.disk.path)
	lab.Check(t, err)
	c.ends = append(c.ends, end{len(c.trace.times), found.root})
}

// all goes through the record once, and cuts the power on the way.
func (c *cuts) all() error {
	some := map[int]bool{} // lines
	for range moments {
		some[c.luck.IntN(len(c.trace.times))] = true
	}
	judgements := make(chan func())
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			for one := range judgements {
				one()
			}
		})
	}
	defer wg.Wait()
	defer close(judgements)
	syncing := map[*call]any{}
	events := c.events()
	for i, e := range events {
		if err := c.checkEnds(e.line); err != nil {
			return err
		}
		if e.end {
			if what := syncing[e.call]; what != nil {
				c.atSync(judgements, e, what, i*restarts/len(events) >= len(c.chosen))
				c.disk.sync(e.call, what)
			}
			continue
		}
		if err := c.disk.change(e.call); err != nil {
			return fmt.Errorf("line %d: %w", e.line+1, err)
		}
		if e.call.name == "fsync" || e.call.name == "fdatasync" {
			syncing[e.call] = c.disk.find(e.call.file(0))
		}
		if some[e.line] {
			c.moments++
			c.cut(judgements, e.line+1, c.share())
		}
	}
	return c.checkEnds(len(c.trace.times))
}

// atSync cuts the power just before a sync has come to its end: most is at stake then, and most has been promised since the one before.
func (c *cuts) atSync(judgements chan<- func(), e event, what any, choose bool) {
	c.syncs++
	c.moments++
	c.cut(judgements, e.line, 0)
	c.cut(judgements, e.line, c.share())
	found := c.cut(judgements, e.line, c.share())
	if choose {
		c.chosen = append(c.chosen, found)
	}
	mails := c.judge.mails
	if what == c.disk.find(filepath.Join(c.disk.path, "queue", "queue.db")) && e.line > mails[0].answered && e.line < mails[len(mails)-1].answered {
		c.checkpoints++
	}
}

// share is how much of what was not synced is on the disk.
func (c *cuts) share() float64 { return []float64{0.02, 0.2, 0.5, 0.8, 0.98, 1}[c.luck.IntN(6)] }

// cut cuts the power before a line of the record, and has what is left judged.
func (c *cuts) cut(judgements chan<- func(), line int, share float64) left {
	c.made++
	n := c.made
	cut := &cut{Rand: c.luck, share: share, sector: []int{512, 4096}[c.luck.IntN(2)], stale: c.luck.IntN(2) == 0}
	found := left{cut.take(c.disk), line, c.trace.times[min(line, len(c.trace.times)-1)]}
	judgements <- func() {
		f := &find{left: found, folder: filepath.Join(c.folder, strconv.Itoa(n))}
		if err := found.image.write(f.folder); err != nil {
			f.fault("%v", err)
		} else {
			c.judge.judge(f, n%10 == 0)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, fault := range f.faults {
			c.faults = append(c.faults, fmt.Sprintf("the power is cut before line %d; on the disk is %v: %s", line+1, cut, fault))
		}
		if err := os.RemoveAll(f.folder); err != nil {
			c.faults = append(c.faults, err.Error())
		}
	}
	return found
}

// checkEnds compares what was found with what the record has come to before a line.
func (c *cuts) checkEnds(line int) error {
	for ; len(c.ends) > 0 && c.ends[0].line <= line; c.ends = c.ends[1:] {
		if difference := compare(c.disk.path, c.ends[0].found, c.disk.root); difference != "" {
			return fmt.Errorf("line %d: the record is not all that was done: %s", c.ends[0].line, difference)
		}
	}
	return nil
}
