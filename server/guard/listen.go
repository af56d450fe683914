package guard

import (
	"errors"
	"net"
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
}

// Limits of the wait after an Accept that failed.
const (
	minBackOff = 5 * time.Millisecond
	maxBackOff = time.Second
)

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

// passing tells whether accept(2) may succeed later: the client was gone already, or the system is short of something.
func passing(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.EINTR, syscall.EPERM,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
