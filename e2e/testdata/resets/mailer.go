package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"time"
)

// A Mailer hands mail to a submission server.
type Mailer struct {
	Host, Port, User, Password string
	TLS                        *tls.Config                                                          // nil: the system's roots
	Dial                       func(ctx context.Context, network, address string) (net.Conn, error) // nil: the network
}

const (
	sender    = "noreply@example.com"
	attempts  = 4
	firstWait = 5 * time.Minute // doubled each time
)

// SendReset sends somebody a link, and tries again while the server says that it cannot take it now.
func (m *Mailer) SendReset(ctx context.Context, to, token string) error {
	// All attempts send the same message, so that a copy is known by its Message-ID.
	text := fmt.Sprintf("Date: %s\r\nMessage-ID: <%s@app.example.com>\r\nFrom: %s\r\nTo: %s\r\nSubject: Set a new password\r\n\r\nhttps://app.example.com/reset/%s\r\n",
		time.Now().Format(time.RFC1123Z), rand.Text(), sender, to, token)
	wait := firstWait
	for n := 1; ; n++ {
		err := m.deliver(ctx, to, text)
		if err == nil || n == attempts || !passing(err) {
			return err
		}
		select {
		case <-time.After(wait):
			wait *= 2
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// passing tells a trouble that may be over the next time: a 4xx, or a connection that broke. A certificate that is not right does not pass.
func passing(err error) bool {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return reply.Code/100 == 4
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	return !errors.Is(err, errNoTLS)
}

var errNoTLS = errors.New("the server does not offer STARTTLS, and without it nothing is sent")

func (m *Mailer) deliver(ctx context.Context, to, text string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Auth(smtp.PlainAuth("", m.User, m.Password, m.Host)); err != nil {
		return err
	}
	if err := c.Mail(sender); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		c.Quit()
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// connect goes on to where AUTH is possible.
func (m *Mailer) connect(ctx context.Context) (*smtp.Client, error) {
	dial := m.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(m.Host, m.Port))
	if err != nil {
		return nil, err
	}
	c, err := smtp.NewClient(conn, m.Host)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if err := m.begin(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (m *Mailer) begin(c *smtp.Client) error {
	if err := c.Hello("app.example.com"); err != nil {
		return err
	}
	if ok, _ := c.Extension("STARTTLS"); !ok {
		c.Quit()
		return errNoTLS
	}
	config := m.TLS.Clone()
	if config == nil {
		config = &tls.Config{ServerName: m.Host, MinVersion: tls.VersionTLS12}
	}
	return c.StartTLS(config)
}
