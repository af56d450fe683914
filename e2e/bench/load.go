package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	user     = "alice"
	password = "correct-horse-battery-staple"
	sender   = "alice@laptop.example"
)

// body is a message of 4 KB.
var body = "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nFrom: " + sender + "\r\nTo: bob@dest.example\r\nSubject: a message\r\n\r\n" +
	strings.Repeat(strings.Repeat("x", 70)+"\r\n", 55)

// A load is a way of sending.
type load struct {
	name          string
	clients       int
	perConnection int
	messages      int
}

// A measurement is what a load cost.
type measurement struct {
	cpu      float64 // seconds for each 1000 messages
	rate     float64 // messages in a second, until all have arrived at the sink
	p50, p99 time.Duration
	refused  int64
	rss      int64 // octets, all processes
}

// run sends the load and waits until the sink has it all.
func (l load) run(ctx context.Context, t *target, s *sink) (measurement, error) {
	before, err := t.group.cpu()
	if err != nil {
		return measurement{}, err
	}
	start, had := time.Now(), s.count.Load()
	var left, refused, sent atomic.Int64
	left.Store(int64(l.messages))
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	for range l.clients {
		wg.Go(func() {
			for ctx.Err() == nil && left.Add(-int64(l.perConnection)) >= 0 {
				times, err := l.connection(t.addr)
				if err != nil {
					refused.Add(1)
					fmt.Println(t.name, err)
				}
				sent.Add(int64(len(times)))
				mu.Lock()
				took = append(took, times...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s.wait(had + sent.Load())
	elapsed := time.Since(start)
	after, err := t.group.cpu()
	if err != nil {
		return measurement{}, err
	}
	n := float64(sent.Load())
	slices.Sort(took)
	if len(took) == 0 {
		return measurement{}, fmt.Errorf("no message was taken")
	}
	return measurement{
		cpu: (after - before).Seconds() / n * 1000, rate: n / elapsed.Seconds(),
		p50: took[len(took)/2], p99: took[len(took)*99/100], refused: refused.Load(), rss: t.group.rss(),
	}, ctx.Err()
}

// connection logs in and sends perConnection messages. The first one's time begins with the connection.
func (l load) connection(addr string) (times []time.Duration, err error) {
	begin := time.Now()
	c, err := net.DialTimeout("tcp", addr, 30*time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(begin.Add(2 * time.Minute))
	x := &talk{c, bufio.NewReader(c)}
	if err := x.hello(addr); err != nil {
		return nil, err
	}
	for range l.perConnection {
		for _, step := range []struct {
			line string
			code string
		}{{"MAIL FROM:<" + sender + ">", "250"}, {"RCPT TO:<bob@dest.example>", "250"}, {"DATA", "354"}, {body + ".", "250"}} {
			if err := x.say(step.line, step.code); err != nil {
				return times, err
			}
		}
		times = append(times, time.Since(begin))
		begin = time.Now()
	}
	return times, x.say("QUIT", "221")
}

// talk is one conversation.
type talk struct {
	net.Conn
	r *bufio.Reader
}

func (x *talk) hello(addr string) error {
	if err := x.expect("220"); err != nil {
		return err
	}
	if err := x.say("EHLO laptop.example", "250"); err != nil {
		return err
	}
	if err := x.say("STARTTLS", "220"); err != nil {
		return err
	}
	// The key exchange is one that both servers know, so that neither pays for a better one.
	c := tls.Client(x.Conn, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}})
	x.Conn, x.r = c, bufio.NewReader(c)
	if err := x.say("EHLO laptop.example", "250"); err != nil {
		return err
	}
	login := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	return x.say("AUTH PLAIN "+login, "235")
}

func (x *talk) say(line, code string) error {
	if _, err := x.Write([]byte(line + "\r\n")); err != nil {
		return err
	}
	return x.expect(code)
}

func (x *talk) expect(code string) error {
	for {
		line, err := x.r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("got %q, want %s", line, code)
		}
		if len(line) > 3 && line[3] == ' ' {
			return nil
		}
	}
}
