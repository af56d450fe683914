//go:build e2e

package reload

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// senders send all the time, and any failure of theirs is one of the test.
type senders struct {
	t            *testing.T
	server       *lab.Smarthost
	stop         chan struct{}
	wg           sync.WaitGroup
	number       atomic.Int64 // of mails acknowledged, and so far their ids
	acknowledged sync.Map
	kept, made   atomic.Int64 // connections that lasted all the time, and those for one mail
}

// send begins with some clients that keep their connection, and some that make one for each mail.
func send(t *testing.T, server *lab.Smarthost, keep, fresh int) *senders {
	s := &senders{t: t, server: server, stop: make(chan struct{})}
	for range keep {
		s.wg.Go(func() {
			if s.talk(func() bool { return !s.ended(100 * time.Millisecond) }) {
				s.kept.Add(1)
			}
		})
	}
	for range fresh {
		s.wg.Go(func() {
			for !s.ended(20*time.Millisecond) && s.talk(func() bool { return false }) {
				s.made.Add(1)
			}
		})
	}
	return s
}

// talk sends mails over one connection as long as it goes on, and takes leave.
func (s *senders) talk(goesOn func() bool) bool {
	d, err := s.server.Dial()
	if err != nil {
		s.t.Errorf("a client cannot connect: %v", err)
		return false
	}
	defer d.Close()
	for {
		id := fmt.Sprintf("%d@reload.test", s.number.Add(1))
		body := strings.Repeat(id+"\r\n", 40)
		content := fmt.Appendf(nil, "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nFrom: alice@client.test\r\nMessage-ID: <%s>\r\nSubject: %x\r\n\r\n%s", id, sha256.Sum256([]byte(body)), body)
		if _, err := d.Send("alice@client.test", "bob@dest.test", "", content, "250 2.0.0 queued"); err != nil {
			s.t.Errorf("a session was cut, or a mail refused: %v", err)
			return false
		}
		s.acknowledged.Store(id, nil)
		if !goesOn() {
			_, err := d.Say("QUIT", "221")
			return err == nil
		}
	}
}

// ended waits for a moment, and tells whether the senders shall stop.
func (s *senders) ended(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-s.stop:
		return true
	case <-timer.C:
		return false
	}
}

// end waits for the senders and returns how many mails were acknowledged.
func (s *senders) end() (n int) {
	close(s.stop)
	s.wg.Wait()
	s.acknowledged.Range(func(any, any) bool { n++; return true })
	return n
}

// judge wants each acknowledged mail once, as it was sent, and no other.
func (s *senders) judge(mails []lab.Mail) {
	s.t.Helper()
	copies := map[string]int{}
	for _, m := range mails {
		header, body, _ := bytes.Cut(m.Content, []byte("\r\n\r\n"))
		_, after, _ := bytes.Cut(header, []byte("\r\nMessage-ID: <"))
		id, _, _ := strings.Cut(string(after), ">")
		_, sum, _ := bytes.Cut(header, []byte("\r\nSubject: "))
		if copies[id]++; copies[id] > 1 {
			s.t.Errorf("%s came %d times", id, copies[id])
		}
		if string(sum) != fmt.Sprintf("%x", sha256.Sum256(body)) {
			s.t.Errorf("%s is torn", id)
		}
		if _, ok := s.acknowledged.Load(id); !ok {
			s.t.Errorf("%s came without having been acknowledged", id)
		}
	}
	s.acknowledged.Range(func(id, _ any) bool {
		if copies[id.(string)] == 0 {
			s.t.Errorf("%s is lost", id)
		}
		return true
	})
}
