package guard

import (
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Listen wraps l for [smtp.Server.Serve]. With implicit, TLS begins at the first octet (RFC 8314 §3.3).
//
// Accept never waits for a client. What is wrong for a while only, such as too few file descriptors, it waits out.
func (g *Guard) Listen(l net.Listener, implicit bool) net.Listener {
	return &listener{Listener: l, g: g, t: g.Timeouts.withDefaults(), implicit: implicit, closed: make(chan struct{})}
}

type listener struct {
	net.Listener
	g        *Guard
	t        Timeouts
	implicit bool
	closed   chan struct{}
	once     sync.Once
	told     time.Time // when Hooks.Starved was last called; for Accept alone
}

// Limits of the wait after an Accept that failed.
const (
	minBackOff = 5 * time.Millisecond
	maxBackOff = time.Second
)

// tellStarved is the least time between two calls of Hooks.Starved for one listener.
const tellStarved = time.Minute

// Accept returns the next connection at once; all waiting for the client is done in the Conn's Read.
func (l *listener) Accept() (net.Conn, error) {
	for wait := minBackOff; ; wait = min(2*wait, maxBackOff) {
		raw, err := l.Listener.Accept()
		if err == nil {
			return newConn(l, raw), nil
		}
		if !passing(err) {
			return nil, err
		}
		l.starved(err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.closed:
			timer.Stop()
			return nil, net.ErrClosed
		}
	}
}

// Close stops Accept; connections go on.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// starved tells the server if clients cannot be let in because the system is short of something.
func (l *listener) starved(err error) {
	if f := l.g.Hooks.Starved; f != nil && isAny(err, shortages) && time.Since(l.told) >= tellStarved {
		l.told = time.Now()
		f(err)
	}
}

// What accept(2) may say though it can succeed later: the system is short of something, or the client was gone already.
var (
	shortages = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}
	mishaps   = []error{syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.EINTR, syscall.EPERM}
)

func passing(err error) bool { return isAny(err, shortages) || isAny(err, mishaps) }

func isAny(err error, of []error) bool {
	return slices.ContainsFunc(of, func(e error) bool { return errors.Is(err, e) })
}
