//go:build e2e

package lab

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Mail is what a sink has taken.
type Mail struct {
	From, Args string
	To         []string
	Content    []byte    // as received, dots unstuffed
	At         time.Time // just before its 250 was sent
}

// A sink is the next hop: it takes everything and keeps every octet.
type Sink struct {
	Addr string

	lenient bool // bare LF, bare CR and a dot between them end lines and content, as with careless servers

	mu       sync.Mutex
	changed  *sync.Cond
	mails    []Mail
	commands []string

	stop func()
}

// StartSink listens until the test ends, or Stop is called.
func StartSink(t *testing.T, addr string, lenient bool) *Sink {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	Check(t, err)
	s := &Sink{Addr: l.Addr().String(), lenient: lenient}
	s.changed = sync.NewCond(&s.mu)
	var wg sync.WaitGroup
	var conns sync.Map
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(c, nil)
			wg.Go(func() {
				defer conns.Delete(c)
				defer c.Close()
				s.serve(c)
			})
		}
	})
	s.stop = sync.OnceFunc(func() {
		l.Close()
		conns.Range(func(c, _ any) bool { return c.(net.Conn).Close() == nil || true })
		wg.Wait()
	})
	t.Cleanup(s.stop)
	return s
}

// Stop is its end: nothing listens there any more, and connections are cut.
func (s *Sink) Stop() { s.stop() }

// Wait returns all mails once there are n, or fails the test.
func (s *Sink) Wait(t *testing.T, n int, limit time.Duration) []Mail {
	t.Helper()
	late := false
	timer := time.AfterFunc(limit, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.mails) < n && !late {
		s.changed.Wait()
	}
	if len(s.mails) < n {
		t.Fatalf("%d mails arrived within %v, want %d", len(s.mails), limit, n)
	}
	return append([]Mail(nil), s.mails...)
}

// Take returns the mails and forgets them.
func (s *Sink) Take() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.mails
	s.mails = nil
	return all
}

// Peek returns the mails and keeps them.
func (s *Sink) Peek() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Heard is every command that the sink has been sent.
func (s *Sink) Heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

func (s *Sink) serve(c net.Conn) {
	r := bufio.NewReaderSize(c, 64<<10)
	say := func(line string) bool { _, err := io.WriteString(c, line+"\r\n"); return err == nil }
	say("220 sink ESMTP")
	var m Mail
	for {
		raw, err := s.line(r)
		if err != nil {
			return
		}
		line := string(bytes.TrimRight(raw, "\r\n"))
		s.mu.Lock()
		s.commands = append(s.commands, line)
		s.mu.Unlock()
		switch verb := strings.ToUpper(line[:min(4, len(line))]); verb {
		case "EHLO":
			say("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 209715200")
		case "MAIL":
			m = Mail{}
			m.From, m.Args = path(line)
			say("250 2.1.0 ok")
		case "RCPT":
			to, _ := path(line)
			m.To = append(m.To, to)
			say("250 2.1.5 ok")
		case "DATA":
			say("354 go on")
			if m.Content, err = s.content(r); err != nil {
				return
			}
			m.At = time.Now()
			s.mu.Lock()
			s.mails = append(s.mails, m)
			s.changed.Broadcast()
			s.mu.Unlock()
			if !say("250 2.0.0 taken") {
				return
			}
			m = Mail{}
		case "QUIT":
			say("221 2.0.0 bye")
			return
		default:
			say("250 2.0.0 ok")
		}
	}
}

// line reads up to and with the line end that this sink knows.
func (s *Sink) line(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		line = append(line, b)
		switch {
		case b == '\n' && (s.lenient || bytes.HasSuffix(line, []byte("\r\n"))):
			return line, nil
		case b == '\r' && s.lenient:
			if next, err := r.Peek(1); err == nil && next[0] != '\n' {
				return line, nil
			}
		}
	}
}

func (s *Sink) content(r *bufio.Reader) ([]byte, error) {
	var all bytes.Buffer
	for {
		line, err := s.line(r)
		if err != nil {
			return nil, err
		}
		if len(bytes.Trim(line, "\r\n\x00")) == 1 && line[0] == '.' && (s.lenient || len(line) == 3) {
			return all.Bytes(), nil
		}
		all.Write(bytes.TrimPrefix(line, []byte(".")))
	}
}

func path(line string) (address, rest string) {
	_, after, _ := strings.Cut(line, "<")
	i := strings.LastIndexByte(after, '>')
	if i < 0 {
		return after, ""
	}
	return after[:i], strings.TrimSpace(after[i+1:])
}
