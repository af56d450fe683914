package smarthosttest

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// send sends one message as a client that does all right.
func send(t testing.TB, s *Server, user, from string, to []string, content string) error {
	t.Helper()
	conn, err := s.DialContext(t.Context(), "tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(conn, host(s.Addr))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.StartTLS(s.ClientTLS()); err != nil {
		return err
	}
	if err := c.Auth(s.Auth(user)); err != nil {
		return err
	}
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, r := range to {
		if err := c.Rcpt(r); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

func host(addr string) string {
	h, _, _ := net.SplitHostPort(addr)
	return h
}

const letter = "From: app@example.com\r\nTo: bob@example.net\r\nBcc: eve@example.org\r\nSubject: hello\r\n\r\n.dot\r\nbody\r\n"

func TestSendAndKeep(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]Option{"loopback": nil, "memory": {InMemory()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewServer(t, options...)
			if err := send(t, s, "app", "app@example.com", []string{"bob@example.net", "eve@example.org"}, letter); err != nil {
				t.Fatal(err)
			}
			m := s.One(To("bob@*"), From("app@example.com"), By("APP"))
			if string(m.Raw) != letter {
				t.Errorf("kept %q", m.Raw)
			}
			if f := string(m.Forwarded()); strings.Contains(f, "Bcc") || !strings.Contains(f, "Received: ") {
				t.Errorf("would be forwarded as %q", f)
			}
			if len(s.Inbox("other").Messages()) != 0 || len(s.Inbox("app").Messages()) != 1 {
				t.Error("the inboxes are wrong")
			}
			transcript := s.Inbox("app").Sessions()[0].Transcript()
			for _, line := range []string{"C: AUTH PLAIN *** (app)\n", "S: 354 End", "* : "[:0], "*: TLS 1.3, ", "*: logged in as app\n"} {
				if !strings.Contains(transcript, line) {
					t.Errorf("%q is not in the transcript\n%s", line, transcript)
				}
			}
		})
	}
}

func TestSynctest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, InMemory())
		begin := time.Now()
		go func() {
			time.Sleep(time.Hour)
			send(t, s, "app", "app@example.com", []string{"bob@example.net"}, letter)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		if _, err := s.WaitFor(ctx, To("bob@example.net")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < time.Hour || took > time.Hour+time.Minute {
			t.Errorf("took %s", took)
		}
		if err := s.Quiet(ctx, time.Minute, To("nobody@*")); err != nil {
			t.Error(err)
		}
	})
}

func TestClientTLSTrustsAlone(t *testing.T) {
	t.Parallel()
	s, other := NewServer(t), NewServer(t)
	conn, err := tls.Dial("tcp", s.TLSAddr, s.ClientTLS())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if conn, err := tls.Dial("tcp", s.TLSAddr, other.ClientTLS()); err == nil {
		conn.Close()
		t.Error("another server's root was good enough")
	}
}
