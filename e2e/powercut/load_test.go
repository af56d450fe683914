//go:build e2e

package powercut

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// A mail is one that was answered with 250.
type mail struct {
	number     int
	id         string // in the queue
	recipients []string
	port, turn int // of the client, and how many connections it had made from this port
	octets     int // that the client had received when it had the 250
	answered   int // the line of the record at which the server begins to write the 250
}

// A device is one that the server has said is kept.
type device struct {
	name string
	said time.Time
}

// A load is what clients do to a server.
type load struct {
	server *lab.Smarthost
	token  string
	number atomic.Int64 // of the last mail

	mu      sync.Mutex
	turns   map[int]int // in this run of the server, by port
	mails   []*mail
	devices []device
}

// counted is a connection that counts what is received.
type counted struct {
	net.Conn
	octets     int
	port, turn int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.octets += n
	return n, err
}

// run has clients send until there were so many mails since the beginning.
func (l *load) run(t *testing.T, clients int, until int64) {
	t.Helper()
	var wg sync.WaitGroup
	failed := make(chan error, clients)
	for range clients {
		wg.Go(func() { failed <- l.send(until) })
	}
	wg.Wait()
	for range clients {
		lab.Check(t, <-failed)
	}
}

func (l *load) connect() (*lab.Dialogue, *counted, error) {
	c, err := net.Dial("tcp", l.server.Submission)
	if err != nil {
		return nil, nil, err
	}
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	raw := l.count(c)
	d := &lab.Dialogue{Conn: raw, R: bufio.NewReader(raw)}
	if err := l.server.Begin(d); err != nil {
		c.Close()
		return nil, nil, err
	}
	return d, raw, nil
}

func (l *load) count(c net.Conn) *counted {
	l.mu.Lock()
	defer l.mu.Unlock()
	port := c.LocalAddr().(*net.TCPAddr).Port
	l.turns[port]++
	return &counted{Conn: c, port: port, turn: l.turns[port]}
}

// send sends over one connection; some mails are broken off, over another one, and sometimes it adds a device.
func (l *load) send(until int64) error {
	d, raw, err := l.connect()
	if err != nil {
		return err
	}
	defer d.Close()
	for n := l.number.Add(1); n <= until; n = l.number.Add(1) {
		switch {
		case n%30 == 11:
			err = l.breakOff(int(n))
		case n%30 == 21:
			err = l.addDevice(fmt.Sprintf("laptop%d", n))
		default:
			err = l.sendOne(d, raw, int(n))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *load) sendOne(d *lab.Dialogue, raw *counted, n int) error {
	m := &mail{number: n, recipients: recipients(n), port: raw.port, turn: raw.turn}
	if err := begin(d, m.recipients); err != nil {
		return err
	}
	if _, err := d.Write(lab.Stuff(hashed(n))); err != nil {
		return err
	}
	const kept = "250 2.0.0 queued as "
	reply, err := d.Reply(kept)
	if err != nil {
		return err
	}
	m.id, m.octets = strings.TrimSpace(strings.TrimPrefix(reply, kept)), raw.octets
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mails = append(l.mails, m)
	return nil
}

func begin(d *lab.Dialogue, to []string) error {
	if _, err := d.Say("MAIL FROM:<alice@client.test>", "250"); err != nil {
		return err
	}
	for _, r := range to {
		if _, err := d.Say("RCPT TO:<"+r+">", "250"); err != nil {
			return err
		}
	}
	_, err := d.Say("DATA", "354")
	return err
}

// breakOff goes away in the middle of a large mail.
func (l *load) breakOff(n int) error {
	d, err := l.half(n)
	if err != nil {
		return err
	}
	return d.Close()
}

// half sends the first half of a large mail.
func (l *load) half(n int) (*lab.Dialogue, error) {
	d, _, err := l.connect()
	if err != nil {
		return nil, err
	}
	if err := begin(d, recipients(n)); err != nil {
		return nil, err
	}
	content := content(n, 4000)
	_, err = d.Write(content[:len(content)/2])
	return d, err
}

// addDevice has the server write the file of accounts.
func (l *load) addDevice(name string) error {
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:8587/api/v1/users/"+lab.User+"/devices", strings.NewReader(fmt.Sprintf("{%q: %q}", "device", name)))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+l.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("add the device %s: %s", name, answer.Status)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.devices = append(l.devices, device{name, time.Now()})
	return nil
}

// Recipients, by what the next hop says to them.
const (
	known   = "bob@dest.test"
	unknown = "gone@dest.test"
	busy    = "busy@dest.test"
)

func recipients(n int) []string {
	to := []string{known}
	if n%10 == 3 {
		to = append(to, unknown)
	}
	if n%15 == 7 {
		to = append(to, busy)
	}
	return to
}

// hashed is a mail that shows whether it is whole. One in 12 is large, so that it is kept in a file, and about half are nearly so.
func hashed(n int) []byte {
	lines := 1 + rand.IntN(100)
	switch {
	case n%12 == 5:
		lines = 1500 + rand.IntN(3000)
	case n%2 == 0:
		lines = 1 + rand.IntN(900)
	}
	return content(n, lines)
}

func content(n, lines int) []byte {
	body := strings.Repeat(fmt.Sprintf("%064x\r\n", rand.Uint64()), lines)
	return fmt.Appendf(nil, "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nFrom: alice@client.test\r\nBcc: carol@dest.test\r\nMessage-ID: <%d@power.test>\r\nSubject: %x\r\n\r\n%s",
		n, sha256.Sum256([]byte(body)), body)
}

func whole(content []byte) bool {
	header, body, found := bytes.Cut(content, []byte("\r\n\r\n"))
	_, after, hashed := bytes.Cut(header, []byte("\r\nSubject: "))
	return found && hashed && string(after) == fmt.Sprintf("%x", sha256.Sum256(body))
}

var number = regexp.MustCompile(`Message-ID: <(\d+)@power\.test>`)

// numbered is the number of the mail that content is, or that a report speaks of; 0 if there is none.
func numbered(content []byte) int {
	found := number.FindSubmatch(content)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(found[1]))
	return n
}
