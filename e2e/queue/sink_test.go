//go:build e2e

package queue

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// A sink takes mail, and counts what it took by Subject and recipient.
type sink struct {
	rcpt func(to string) error // what it says to a recipient; nil is yes

	mu    sync.Mutex
	taken map[string]int
}

// startSink starts one; rcpt is asked for each recipient, by one conversation at a time.
func startSink(t *testing.T, addr string, rcpt func(to string) error) *sink {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	lab.Check(t, err)
	s := &sink{rcpt: rcpt, taken: map[string]int{}}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }))
	server.Domain = "sink.test"
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		wg.Wait()
	})
	return s
}

// copies is how often each mail was taken.
func (s *sink) copies() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int{}
	for key, n := range s.taken {
		all[key] = n
	}
	return all
}

type sinkSession struct {
	sink *sink
	to   []string
}

func (s *sinkSession) Mail(string, *smtp.MailOptions) error { s.to = nil; return nil }

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	err := s.sink.rcpt(to)
	if err == nil {
		s.to = append(s.to, to)
	}
	return err
}

func (s *sinkSession) Data(r io.Reader) error {
	in, subject := bufio.NewReader(r), ""
	for {
		line, err := in.ReadString('\n')
		if text, found := strings.CutPrefix(line, "Subject: "); found {
			subject = strings.TrimSpace(text)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, to := range s.to {
		s.sink.taken[subject+" "+to]++
	}
	return nil
}

func (s *sinkSession) Reset()        { s.to = nil }
func (s *sinkSession) Logout() error { return nil }

// byName refuses gone@ for good and busy@ for now.
func byName(to string) error {
	switch name, _, _ := strings.Cut(to, "@"); name {
	case "gone":
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	case "busy":
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "mailbox busy"}
	}
	return nil
}
