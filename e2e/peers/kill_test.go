//go:build e2e

package peers

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const (
	kills   = 200
	senders = 64
)

// TestKill ends the process with kill -9 again and again while 64 clients send: what was acknowledged arrives, nothing arrives
// torn, and a second copy has a kill after the first one's 250 as its reason (checklist 76, 80).
func TestKill(t *testing.T) {
	upstream := lab.StartSink(t, "127.0.0.1:2525", false)
	s := lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`)
	s.Start(t)
	var acknowledged sync.Map
	var number atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for !ended(stop) {
				sendUntilCut(s, &number, &acknowledged, stop)
			}
		})
	}
	var killed []outage
	for range kills {
		<-time.After(time.Duration(20+rand.IntN(400)) * time.Millisecond)
		begin := time.Now()
		s.Kill()
		s.Start(t)
		killed = append(killed, outage{begin, time.Now()})
	}
	close(stop)
	wg.Wait()
	count := 0
	acknowledged.Range(func(id, _ any) bool { count++; return true })
	arrived := func() (n int) {
		seen := map[string]bool{}
		for _, m := range upstream.Peek() {
			seen[messageID(m.Content)] = true
		}
		acknowledged.Range(func(id, _ any) bool {
			if seen[id.(string)] {
				n++
			}
			return true
		})
		return n
	}
	lab.Await(t, "every acknowledged mail at the sink", 3*time.Minute, func() bool { return arrived() == count })
	lab.Await(t, "an empty queue", time.Minute, func() bool { out, err := s.Command("queue", "--json").Output(); return err == nil && noMail(out) })
	judge(t, upstream.Take(), killed, count)
}

// noMail tells whether the queue's listing as JSON is empty.
func noMail(listing []byte) bool {
	text := strings.TrimSpace(string(listing))
	return text == "" || text == "[]"
}

// An outage is the time from before a kill until the next process is ready. What the killed one had sent may still be on its
// way to the sink in it.
type outage struct{ begin, end time.Time }

// judge looks for torn mails, and for copies that no kill explains.
func judge(t *testing.T, mails []lab.Mail, killed []outage, acknowledged int) {
	t.Helper()
	copies, torn, unexplained := 0, 0, 0
	first := map[string]time.Time{}
	for _, m := range mails {
		id := messageID(m.Content)
		if !whole(m.Content) {
			torn++
			t.Errorf("torn: %s", id)
		}
		before, again := first[id]
		if !again {
			first[id] = m.At
			continue
		}
		copies++
		explained := false
		for _, k := range killed {
			explained = explained || (before.Before(k.end) && m.At.After(k.begin))
		}
		if !explained {
			unexplained++
			t.Errorf("%s came at %v and %v, and nothing was killed in between", id, before, m.At)
		}
	}
	t.Logf("%d kills: %d acknowledged, %d different mails arrived, %d copies explained by a kill, %d unexplained, %d torn",
		len(killed), acknowledged, len(first), copies-unexplained, unexplained, torn)
	if acknowledged == 0 {
		t.Error("nothing was acknowledged: this showed nothing")
	}
}

// sendUntilCut sends mails over one connection until it is cut.
func sendUntilCut(s *lab.Smarthost, number *atomic.Int64, acknowledged *sync.Map, stop chan struct{}) {
	d, err := s.Dial()
	if err != nil {
		select {
		case <-stop:
		case <-time.After(10 * time.Millisecond): // it is being started again
		}
		return
	}
	defer d.Close()
	for !ended(stop) {
		id := fmt.Sprintf("%d@kill.test", number.Add(1))
		if _, err := d.Send("alice@client.test", "bob@dest.test", "", hashed(id), "250 2.0.0"); err != nil {
			return
		}
		acknowledged.Store(id, nil)
		select {
		case <-stop:
		case <-time.After(time.Duration(rand.IntN(150)) * time.Millisecond): // so that the queue is not drained for minutes afterwards
		}
	}
}

func ended(stop chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// hashed is a mail that shows whether it is whole. One in 20 is large, so that it is kept in a file.
func hashed(id string) []byte {
	lines := 1 + rand.IntN(100)
	if rand.IntN(20) == 0 {
		lines = 2000
	}
	body := strings.Repeat(fmt.Sprintf("%064x\r\n", rand.Uint64()), lines)
	return fmt.Appendf(nil, "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nFrom: alice@client.test\r\nMessage-ID: <%s>\r\nSubject: %x\r\n\r\n%s", id, sha256.Sum256([]byte(body)), body)
}

func whole(content []byte) bool {
	header, body, found := bytes.Cut(content, []byte("\r\n\r\n"))
	_, after, hasHash := bytes.Cut(header, []byte("\r\nSubject: "))
	return found && hasHash && string(after) == fmt.Sprintf("%x", sha256.Sum256(body))
}

func messageID(content []byte) string {
	_, after, _ := bytes.Cut(content, []byte("\r\nMessage-ID: <"))
	id, _, _ := bytes.Cut(after, []byte(">"))
	return string(id)
}
