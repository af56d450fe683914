//go:build e2e

package capture

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/smtp"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
	"github.com/seed-1397b510/smarthost/server/capture"
	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// A house is a test double and its pages.
type house struct {
	mail *smarthosttest.Server
	base string // of its pages
}

// newHouse serves what around makes of the pages; nil is the pages themselves.
func newHouse(t *testing.T, around func(*smarthosttest.Server, http.Handler) http.Handler) *house {
	t.Helper()
	mail := smarthosttest.NewServer(t,
		smarthosttest.WithUser(smarthosttest.User{Name: "app", Password: "secret", Senders: []string{"*"}}),
		smarthosttest.WithUser(smarthosttest.User{Name: "shop", Password: "secret", Senders: []string{"shop@example.com"}}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	lab.Check(t, err)
	s := &capture.Server{Mail: mail}
	done := make(chan error, 1)
	if around == nil {
		ctx, stop := context.WithCancel(context.Background())
		go func() { done <- s.Run(ctx, l) }()
		t.Cleanup(func() { stop(); <-done })
	} else {
		h := &http.Server{Handler: around(mail, s.Handler())}
		go func() { done <- h.Serve(l) }()
		t.Cleanup(func() { h.Close(); <-done })
	}
	return &house{mail, "http://" + l.Addr().String()}
}

// send sends a message as a user, and returns its id.
func (h *house) send(t *testing.T, user, from string, to []string, content string) string {
	t.Helper()
	before := len(h.mail.Messages())
	lab.Check(t, h.try(user, from, to, content))
	return h.mail.Messages()[before].ID
}

// try is send that may be refused.
func (h *house) try(user, from string, to []string, content string) error {
	c, err := smtp.Dial(h.mail.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	host, _, _ := net.SplitHostPort(h.mail.Addr)
	if err := c.StartTLS(h.mail.ClientTLS()); err != nil {
		return err
	}
	if err := c.Auth(smtp.PlainAuth("", user, "secret", host)); err != nil {
		return err
	}
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, address := range to {
		if err := c.Rcpt(address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(strings.ReplaceAll(content, "\n", "\r\n"))); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// sendHTML sends a message that is nothing but HTML.
func (h *house) sendHTML(t *testing.T, subject, html string) string {
	t.Helper()
	return h.send(t, "app", "app@example.com", []string{"bob@example.net"}, fmt.Sprintf(
		"From: app@example.com\nTo: bob@example.net\nSubject: %s\nMessage-ID: <%s@example.com>\nDate: Tue, 24 Nov 2026 10:00:00 +0000\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n%s\n", subject, subject, html))
}
