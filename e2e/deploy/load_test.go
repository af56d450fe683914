//go:build e2e

package deploy

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const (
	clients     = 8
	connections = 1000 // at least so many while the server is restarted
	restarts    = 20
	patience    = time.Minute
)

// A load is clients that send mail after mail, each over a connection of its own, for as long as the server is restarted.
// A mail that was not taken is sent again, as a mail program with a queue does.
type load struct {
	server *lab.Smarthost           // its certificate and its account
	dial   func() (net.Conn, error) // connects

	made    atomic.Int64 // connections
	again   atomic.Int64 // those that were told to come again, at the greeting or between two commands
	refused atomic.Int64 // those that ended in any other way before their mail was taken
	first   atomic.Value // why, once
	mails   atomic.Int64
	stop    chan struct{}
	wg      sync.WaitGroup
}

// start begins to send as the account that the server has.
func (l *load) start() {
	l.stop = make(chan struct{})
	for range clients {
		l.wg.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				l.deliver(l.mails.Add(1))
			}
		})
	}
}

// deliver sends one mail until it is taken.
func (l *load) deliver(n int64) {
	content := fmt.Appendf(nil, "Message-ID: <%d@load.test>\r\nSubject: %[1]d\r\n\r\nbody\r\n", n)
	for {
		l.made.Add(1)
		err := l.attempt(content)
		switch {
		case err == nil:
			return
		case strings.Contains(err.Error(), "421 4.3.2"):
			l.again.Add(1)
		default:
			l.refused.Add(1)
			l.first.CompareAndSwap(nil, err.Error())
			select {
			case <-l.stop:
				return // it has failed already, and might do so for ever
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

func (l *load) attempt(content []byte) error {
	c, err := l.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	d := &lab.Dialogue{Conn: c, R: bufio.NewReader(c)}
	if _, err := d.R.Peek(1); err != nil {
		return fmt.Errorf("no greeting: %w", err)
	}
	if err := l.server.Begin(d); err != nil {
		return err
	}
	if _, err := d.Send("alice@client.test", "bob@dest.test", "", content, "250"); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// end waits for enough connections, and tells what became of all of them: none was refused, each mail arrived, none twice.
func (l *load) end(t *testing.T, upstream *lab.Sink) {
	t.Helper()
	lab.Await(t, "enough connections", patience, func() bool { return l.made.Load() >= connections })
	close(l.stop)
	l.wg.Wait()
	if n := l.refused.Load(); n > 0 {
		t.Fatalf("%d of %d connections were refused; the first: %v", n, l.made.Load(), l.first.Load())
	}
	mails := int(l.mails.Load())
	seen := map[string]int{}
	for _, m := range upstream.Wait(t, mails, patience) {
		seen[string(lab.AfterField(m.Content))]++
	}
	t.Logf("%d connections, %d refused, %d told to try again; %d mails", l.made.Load(), l.refused.Load(), l.again.Load(), mails)
	for content, n := range seen {
		if n != 1 {
			t.Errorf("arrived %d times: %q", n, content)
		}
	}
}
