package guard

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base32"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Reasons for the end of a connection, for Hooks.Closed.
var (
	errGone     = errors.New("the client closed the connection")
	errLost     = errors.New("the connection was lost")
	errLate     = errors.New("the client did not log in in time")
	errLong     = errors.New("the session lasted too long")
	errDrained  = errors.New("the server is shutting down")
	errRefused  = errors.New("refused by a limit")
	errBad      = errors.New("too many bad commands")
	errGuessing = errors.New("too many failed logins")
	errHTTP     = errors.New("the client speaks HTTP")
	errTLS      = errors.New("the TLS handshake failed")
	errNoTLS    = errors.New("no certificate")
	errEarly    = errors.New("octets were sent along with STARTTLS")
	errBare     = errors.New("malformed content")
	errServer   = errors.New("closed by the server")
	errFault    = errors.New("closed by an interceptor")
	errProtocol = errors.New("the client broke the protocol")
)

// Limits of the wait for the client to read a last reply before the socket is closed: a reset would take the reply away.
const (
	lingerTime = time.Second
	lingerSize = 1 << 20 // octets read and thrown away
	closeTime  = 2 * time.Second
)

// Conn is one client's connection as go-smtp sees it. Read and Write belong to one goroutine, go-smtp's;
// the other methods may be called from any.
type Conn struct {
	// User is the server's own state of this connection; the guard does not look at it.
	User any

	g        *Guard
	t        *Timeouts
	implicit bool
	id       string
	born     time.Time
	ctx      context.Context
	cancel   context.CancelFunc

	interceptor Interceptor // nil in service

	raw  net.Conn // the socket
	tls  atomic.Pointer[tls.Conn]
	rw   net.Conn // raw, or TLS on top of it; changed with wmu held
	cork cork     // between TLS and the socket

	mu       sync.Mutex // guards what follows
	peer     netip.AddrPort
	waiting  bool // for the client, where Drain may interrupt
	shaking  bool // hands, for which Drain leaves some time
	draining bool
	closed   bool
	until    time.Time // the deadline of what is read

	counted bool         // guarded by the Guard's mu
	origin  netip.Prefix // the same

	loggedIn atomic.Bool

	// What is read.
	in        *buffer // nil while there is nothing
	one       [1]byte
	swallowed int  // octets of a line that is too long
	longAuth  bool // which is one of AUTH
	tainted   bool // a bare LF was seen, the rest of the line does not count
	stash     []byte

	// What is written.
	wmu      sync.Mutex
	out      *[]byte // nil while there is nothing
	writeErr error

	// go-smtp's side.
	opened bool   // greeting and TLS are done
	give   []byte // what go-smtp reads next
	reply  []byte // a part of a reply
	asked  verb   // what go-smtp has been handed and not yet answered
	verb   verb   // of the command at hand
	greets bool   // go-smtp has said its own greeting

	state
	body body

	dead   atomic.Bool
	reason error // why dead
	over   bool  // the end was seen off
	gone   bool  // the client cannot be reached any more
}

// state is what the guard knows of the session.
type state struct {
	hello     bool // EHLO or HELO was accepted
	ext       extensions
	auth      bool // logged in, by AUTH
	sasl      bool // inside AUTH, the next line is not a command
	badBase64 bool // AUTH is being given up because of that
	saslLong  bool // or of a line too long
	failures  int  // of AUTH
	bad       int  // lines that were no commands

	mail  bool // inside a transaction
	utf8  bool // with SMTPUTF8
	rcpts int
}

func (s *state) reset() { s.mail, s.utf8, s.rcpts = false, false, 0 }

func newConn(l *listener, raw net.Conn) *Conn {
	c := &Conn{g: l.g, t: &l.t, implicit: l.implicit, id: newID(), born: time.Now(), raw: raw, rw: raw}
	if a, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		addr := a.AddrPort()
		c.peer = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if f := c.g.Intercept; f != nil {
		c.interceptor = f(c)
	}
	c.g.add(c)
	return c
}

// newID is 60 random bits as 12 signs.
func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:])[:12])
}

// Session is the id of the session: 12 signs, in the log and in replies.
func (c *Conn) Session() string { return c.id }

// Context ends with the connection.
func (c *Conn) Context() context.Context { return c.ctx }

// Secure tells whether the TLS handshake is complete.
func (c *Conn) Secure() bool { return c.tls.Load() != nil }

// TLS is the state of the TLS connection, nil before the handshake is complete.
func (c *Conn) TLS() *tls.ConnectionState {
	t := c.tls.Load()
	if t == nil {
		return nil
	}
	state := t.ConnectionState()
	return &state
}

// Addr is the client's address, after PROXY protocol; the zero Addr if it has none, as on a pipe.
func (c *Conn) Addr() netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer.Addr()
}

// LoggedIn tells the guard that AUTH succeeded, which ends Timeouts.Login.
func (c *Conn) LoggedIn() { c.loggedIn.Store(true) }

// Read gives go-smtp what it may see: one command line at a time, or the end of content.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.give) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.give)
	c.give = c.give[n:]
	return n, nil
}

// Write takes go-smtp's replies.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.dead.Load() {
		c.gather(p)
	}
	return len(p), nil
}

// Close writes what waits to be written, says good-bye to TLS and closes the socket.
func (c *Conn) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	c.cancel()
	c.raw.SetWriteDeadline(time.Now().Add(closeTime))
	c.flush()
	var err error
	if t := c.tls.Load(); t != nil {
		err = t.Close()
	} else {
		err = c.raw.Close()
	}
	c.g.mu.Lock()
	opened := c.counted
	c.g.mu.Unlock()
	reason := errServer
	if c.dead.Load() {
		reason = c.reason
	}
	if f := c.g.Hooks.Closed; f != nil && opened {
		f(c, reason)
	}
	if c.interceptor != nil {
		c.interceptor.Closed(reason)
	}
	c.g.remove(c)
	return err
}

// LocalAddr is the socket's own address.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the client's address and port, after PROXY protocol.
func (c *Conn) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.peer.IsValid() {
		return c.raw.RemoteAddr()
	}
	return net.TCPAddrFromAddrPort(c.peer)
}

// SetDeadline does nothing: all deadlines are the guard's.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing: all deadlines are the guard's.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: all deadlines are the guard's.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// past is a deadline that is over.
var past = time.Unix(1, 0)

// arm sets the deadline of what is read next. If interruptible, Drain may cut the wait short.
func (c *Conn) arm(deadline time.Time, interruptible bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until, c.shaking = deadline, false
	if c.waiting = interruptible; interruptible && c.draining {
		deadline = past
	}
	c.raw.SetReadDeadline(deadline)
}

// drainHandshake is how long a TLS handshake may still take when the server shuts down: a client whose handshake is cut cannot
// be told why, and many go on in clear; one that has finished it hears 421.
const drainHandshake = 2 * time.Second

// armHandshake sets the deadline of a TLS handshake.
func (c *Conn) armHandshake(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until, c.waiting, c.shaking = deadline, false, true
	if c.draining {
		deadline = time.Now().Add(drainHandshake)
	}
	c.raw.SetReadDeadline(deadline)
}

// wake tells c that the server is shutting down.
func (c *Conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	switch {
	case c.waiting:
		c.raw.SetReadDeadline(past)
	case c.shaking:
		c.raw.SetReadDeadline(time.Now().Add(drainHandshake))
	}
}

// shuttingDown tells whether the connection has to end at the next command.
func (c *Conn) shuttingDown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// deadline is when a wait that begins now and may take d is over, and why.
func (c *Conn) deadline(now time.Time, d time.Duration) (time.Time, error) {
	at, why := now.Add(d), ErrSilent
	if login := c.born.Add(c.t.Login); !c.loggedIn.Load() && login.Before(at) {
		at, why = login, errLate
	}
	if session := c.born.Add(c.t.Session); session.Before(at) {
		at, why = session, errLong
	}
	return at, why
}

// allowWrites moves the deadline of writes behind that of the read to come: TLS may have to answer a KeyUpdate then (RFC 8446 §4.6.3).
func (c *Conn) allowWrites() {
	if c.tls.Load() == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.raw.SetWriteDeadline(c.until.Add(c.t.Write))
	}
}

// stack puts a layer on top of the socket.
func (c *Conn) stack(layer net.Conn) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.rw = layer
}

// flush writes what waits to be written. An error is final.
func (c *Conn) flush() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.flushLocked()
}

func (c *Conn) flushLocked() error {
	if c.out == nil {
		return c.writeErr
	}
	if c.writeErr == nil {
		c.mu.Lock()
		if !c.closed {
			c.raw.SetWriteDeadline(time.Now().Add(c.t.Write))
		}
		c.mu.Unlock()
		_, c.writeErr = c.rw.Write(*c.out)
	}
	*c.out = (*c.out)[:0]
	if cap(*c.out) <= 2*outSize {
		c.g.outs.Put(c.out)
	}
	c.out = nil
	return c.writeErr
}

// readFailed gives err a name.
func (c *Conn) readFailed(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.gone = true
		return errGone
	}
	c.gone = true
	return errLost
}

// die ends the connection: after reply, if there is one, nothing is said or heard any more.
func (c *Conn) die(reply string, reason error) {
	if c.dead.Load() {
		return
	}
	c.end(reply, reason)
	c.flush()
}

// end is what die does, but that the reply is left to seeOff.
func (c *Conn) end(reply string, reason error) {
	if reply != "" {
		c.say(reply)
	}
	c.reason = reason
	c.dead.Store(true)
	c.cancel()
}

// seeOff sees that the last reply is not lost to a reset, which a close with unread octets would send.
func (c *Conn) seeOff() {
	if c.over {
		return
	}
	c.over = true
	t := c.tls.Load()
	if t != nil && !c.gone {
		c.cork.hold() // the last reply goes out along with the end of TLS
	}
	c.flush()
	if c.in != nil {
		c.in.r, c.in.w = 0, 0
		c.release()
	}
	if c.gone || c.writeErr != nil {
		return
	}
	if t != nil {
		t.CloseWrite() // also ends the time for writing
		c.raw.SetWriteDeadline(time.Now().Add(closeTime))
		c.cork.release()
	}
	if w, ok := c.raw.(interface{ CloseWrite() error }); ok {
		w.CloseWrite()
		wait := lingerTime
		if c.shuttingDown() {
			wait /= 10 // those who are idle have nothing under way
		}
		c.arm(time.Now().Add(wait), false)
		io.CopyN(io.Discard, c.raw, lingerSize)
	}
}
