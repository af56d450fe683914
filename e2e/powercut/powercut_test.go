//go:build e2e

package powercut

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const (
	clients  = 32
	runMails = 450 // in each of two runs at least, with those that are broken off
	moments  = 200 // cuts at any moment, besides those at each sync
	restarts = 4   // of the server itself on what a cut has left
)

// TestPowerCut records two runs under load, of which the first ends by a kill, so that the second begins with a recovery. Then it cuts the
// power at each sync and at many other moments, and looks at what is left.
func TestPowerCut(t *testing.T) {
	h := startHop(t, "127.0.0.1:2525")
	s := lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`)
	l := &load{server: s, token: s.Token(t), turns: map[int]int{}}
	d, err := newDisk(s.Data)
	lab.Check(t, err)
	c := &cuts{disk: d, folder: memory(t), luck: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}

	began := time.Now()
	s.Under = tracer(filepath.Join(s.Folder, "first"))
	s.Start(t)
	created := modified(t, s)
	l.run(t, 1, 3) // that are answered when nothing has been written besides mail
	l.run(t, clients, runMails)
	half, err := l.half(0)
	lab.Check(t, err)
	defer half.Close()
	quiet(t, s.Under[len(s.Under)-1])
	s.Kill()
	c.record(t, s, l.mails)

	before := len(l.mails)
	l.number.Store(runMails)
	clear(l.turns)
	s.Under = tracer(filepath.Join(s.Folder, "second"))
	s.Start(t)
	l.run(t, clients, 2*runMails)
	for range 5 {
		if !modified(t, s).Equal(created) {
			break
		}
		l.run(t, clients, l.number.Load()+runMails/2)
	}
	l.run(t, clients, l.number.Load()+runMails/5) // into a log that was begun anew
	s.Stop(t, time.Minute)
	c.record(t, s, l.mails[before:])
	s.Under = nil

	recorded := time.Now()
	c.judge = &judge{l.mails, l.devices, h.forget()}
	lab.Check(t, c.all())
	t.Logf("%d mails answered with 250, %d calls of the server recorded in %v; power cut %d times at %d of its moments, %d of them at a sync, judged in %v; %d checkpoints under load",
		len(l.mails), len(c.trace.calls), recorded.Sub(began).Round(time.Millisecond), c.made, c.moments, c.syncs, time.Since(recorded).Round(time.Millisecond), c.checkpoints)
	for _, f := range c.faults[:min(len(c.faults), 20)] {
		t.Error(f)
	}
	if n := len(c.faults); n > 20 {
		t.Errorf("and %d more", n-20)
	}
	if c.checkpoints == 0 {
		t.Error("with all the load the log was not moved into the database")
	}
	for i := range c.chosen {
		c.judge.restart(t, s, h, &c.chosen[i])
	}
	if len(h.torn) > 0 {
		t.Errorf("%d mails arrived torn, one of them is number %d", len(h.torn), h.torn[0])
	}
}

// quiet returns when the server has done nothing for longer than it takes to write down what it remembers.
func quiet(t *testing.T, file string) {
	t.Helper()
	size, since := int64(0), time.Now()
	lab.Await(t, "a server that does nothing", time.Minute, func() bool {
		info, err := os.Stat(file)
		if err != nil || info.Size() != size {
			size, since = info.Size(), time.Now()
		}
		return time.Since(since) > 1500*time.Millisecond
	})
}

// modified is when the log was moved into the database last.
func modified(t *testing.T, s *lab.Smarthost) time.Time {
	t.Helper()
	info, err := os.Stat(filepath.Join(s.Data, "queue", "queue.db"))
	lab.Check(t, err)
	return info.ModTime()
}

// memory is a folder in memory, where a sync costs nothing.
func memory(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	lab.Check(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=700"))
	t.Cleanup(func() { lab.Check(t, syscall.Unmount(folder, 0)) })
	return folder
}
