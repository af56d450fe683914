package deliver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/route"
)

// A conn is a connection to a hop that has said hello. One goroutine uses it at a time.
type conn struct {
	nc       net.Conn // the TLS connection when there is TLS
	br       *bufio.Reader
	hop      route.Hop
	addr     netip.Addr // the hop's address; zero if it was dialled by name
	label    string     // "host [address]:port"
	timeouts Timeouts
	metrics  *metrics

	ext       map[string]string // what EHLO offered: keyword in upper case → parameters
	tls       bool
	verified  bool // the certificate verifies for the host
	tlsBroken bool // STARTTLS was offered and failed, so this goes in clear
	utf8      bool // SMTPUTF8 is used for the message at hand

	opened   time.Time
	idle     time.Time // when it was put into the pool
	messages int       // transactions begun
	reused   bool      // taken from the pool, and the hop has not answered since
	over     bool      // nothing more can be said on it

	mu    sync.Mutex
	limit time.Time // no deadline is later than this; zero = no limit
	sent  bool      // the final dot may be out
}

func (c *conn) offers(keyword string) bool {
	_, ok := c.ext[keyword]
	return ok
}

// watch makes the end of ctx break off what the connection is doing. What it returns ends that,
// and tells whether the connection is unharmed.
func (c *conn) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.limit = time.Unix(1, 0)
		if c.sent {
			c.limit = time.Now().Add(c.timeouts.Grace)
		}
		c.nc.SetDeadline(c.limit)
	})
}

// secure puts TLS in the place of the clear connection. What the end of ctx asks of the one holds for the other.
func (c *conn) secure(t *tls.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc, c.tls = t, true
	if !c.limit.IsZero() {
		c.nc.SetDeadline(c.limit)
	}
}

// version names the TLS that the connection has; "" = none.
func (c *conn) version() string {
	if t, ok := c.nc.(*tls.Conn); ok {
		return tls.VersionName(t.ConnectionState().Version)
	}
	return ""
}

// lastWords is how long a hop that takes no more commands may still say why.
const lastWords = 5 * time.Second

// giveUp ends a conversation in which commands could not be written: replies to them will not come.
func (c *conn) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit := time.Now().Add(lastWords); c.limit.IsZero() || limit.Before(c.limit) {
		c.limit = limit
		c.nc.SetDeadline(c.limit)
	}
}

// dot marks that the hop may have the whole message from now on.
func (c *conn) dot(sent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = sent
}

// within sets a deadline with one of the methods of net.Conn, not later than the end of ctx allows.
func (c *conn) within(set func(time.Time) error, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := time.Now().Add(d)
	if !c.limit.IsZero() && c.limit.Before(t) {
		t = c.limit
	}
	set(t)
}

func (c *conn) write(p []byte, d time.Duration) error {
	c.within(c.nc.SetWriteDeadline, d)
	_, err := c.nc.Write(p)
	return err
}

// read reads one reply; d is for the whole of it.
func (c *conn) read(d time.Duration) (reply, error) {
	c.within(c.nc.SetReadDeadline, d)
	r, err := readReply(c.br)
	if err != nil {
		c.over = true
		return reply{}, err
	}
	// RFC 5321 §3.8: after 421 the hop closes.
	c.over = c.over || r.code == 421
	return r, nil
}

// command sends a line and reads the reply.
func (c *conn) command(line string, d time.Duration) (reply, error) {
	if err := c.write([]byte(line+"\r\n"), d); err != nil {
		c.over = true
		return reply{}, err
	}
	return c.read(d)
}

// quit ends the conversation and closes the connection.
func (c *conn) quit() {
	if c.over {
		c.close()
		return
	}
	c.command("QUIT", c.timeouts.Quit)
	c.nc.Close()
}

// close closes the connection without a word. TLS would first wait for its alert to be sent.
func (c *conn) close() {
	c.over = true
	if t, ok := c.nc.(*tls.Conn); ok {
		t.NetConn().Close()
		return
	}
	c.nc.Close()
}

// lost says in words that a conversation broke at a stage.
func (c *conn) lost(stage string, err error) *smtp.SMTPError {
	return lost(c.label, stage, err)
}

func lost(label, stage string, err error) *smtp.SMTPError {
	if errors.Is(err, errReply) {
		return temporary(smtp.EnhancedCode{4, 5, 0}, "%s: %s: the answer is no SMTP reply", label, stage)
	}
	if stage == stageConnect {
		return temporary(smtp.EnhancedCode{4, 4, 1}, "%s: %s: %s", label, stage, cause(err))
	}
	return temporary(smtp.EnhancedCode{4, 4, 2}, "%s: %s: %s", label, stage, cause(err))
}

const stageConnect = "connect"

// cause says why a connection failed, in words of ours: what the system or a peer says may hold anything.
func cause(err error) string {
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "not reachable"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), ok && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "broken off here"
	default:
		return "connection lost"
	}
}

// refused says in words that the hop gave a reply that makes it unusable now.
func (c *conn) refused(enhanced smtp.EnhancedCode, stage string, r reply) *smtp.SMTPError {
	e := r.smtpError()
	return temporary(enhanced, "%s: %s: %d %s", c.label, stage, e.Code, e.Message)
}

// label names a hop for people.
func label(hop route.Hop, addr netip.Addr) string {
	var b strings.Builder
	b.WriteString(hop.Host)
	if addr.IsValid() && addr.String() != hop.Host {
		b.WriteString(" [" + addr.String() + "]")
	}
	b.WriteString(":" + portText(hop.Port))
	return b.String()
}
