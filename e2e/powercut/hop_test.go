//go:build e2e

package powercut

import (
	"io"
	"log"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// A hop is the next one. It takes mail, and keeps when it took what.
type hop struct {
	mu    sync.Mutex
	taken map[handed]time.Time
	torn  []int
}

// handed is a mail for a recipient; the recipient of a report about it is "".
type handed struct {
	number int
	to     string
}

func startHop(t *testing.T, address string) *hop {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	lab.Check(t, err)
	h := &hop{taken: map[handed]time.Time{}}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{hop: h}, nil }))
	server.Domain = "hop.test"
	server.ErrorLog = log.New(io.Discard, "", 0) // whoever is killed says no good-bye
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(listener) })
	t.Cleanup(func() {
		server.Close()
		wg.Wait()
	})
	return h
}

func (h *hop) took(what handed) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, taken := h.taken[what]
	return taken
}

// forget returns what it took, and begins anew.
func (h *hop) forget() map[handed]time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := h.taken
	h.taken = map[handed]time.Time{}
	return taken
}

func (h *hop) take(from string, to []string, content []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := numbered(content)
	if from == "" {
		to = []string{""}
	} else if !whole(content) {
		h.torn = append(h.torn, n)
	}
	for _, r := range to {
		if _, again := h.taken[handed{n, r}]; !again {
			h.taken[handed{n, r}] = time.Now()
		}
	}
}

type session struct {
	hop  *hop
	from string
	to   []string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from, s.to = from, nil; return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch to {
	case unknown:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	case busy:
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "mailbox busy"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err == nil {
		s.hop.take(s.from, s.to, content)
	}
	return err
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }
