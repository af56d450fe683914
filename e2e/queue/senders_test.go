//go:build e2e

package queue

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// senders send all the time. A refusal is a failure of the test.
type senders struct {
	t       *testing.T
	server  *lab.Smarthost
	stop    chan struct{}
	wg      sync.WaitGroup
	number  atomic.Int64 // of mails, all of which were taken in the end
	longest atomic.Int64 // nanoseconds that a 250 was waited for, since it was set to 0
}

func send(t *testing.T, server *lab.Smarthost, n int) *senders {
	s := &senders{t: t, server: server, stop: make(chan struct{})}
	for range n {
		s.wg.Go(s.talk)
	}
	return s
}

func (s *senders) talk() {
	d, err := s.server.Dial()
	if err != nil {
		s.t.Errorf("a client cannot connect: %v", err)
		return
	}
	defer d.Close()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-pace.C:
		}
		content := fmt.Appendf(nil, "Subject: load-%d\r\n\r\nbody\r\n", s.number.Add(1))
		began := time.Now()
		if _, err := d.Send("alice@client.test", "bob@load.test", "", content, "250 2.0.0 queued"); err != nil {
			s.t.Errorf("a session was cut, or a mail refused: %v", err)
			return
		}
		took := int64(time.Since(began))
		for before := s.longest.Load(); took > before && !s.longest.CompareAndSwap(before, took); before = s.longest.Load() {
		}
	}
}

// end waits for the senders.
func (s *senders) end() {
	close(s.stop)
	s.wg.Wait()
}
