package guard

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

var errProxy = errors.New("no valid PROXY header from a listed proxy")

// proxied tells whether c comes from a peer that must send a PROXY header.
func (c *Conn) proxied() bool {
	addr := c.Addr().Unmap()
	for _, p := range c.g.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// readProxy reads the PROXY header, version 1 or 2, and takes the client's address from it. A proxy that speaks for itself
// (LOCAL, UNKNOWN) keeps its own.
func (c *Conn) readProxy() error {
	c.arm(time.Now().Add(c.t.Handshake), true)
	r := bufio.NewReader(c.raw)
	header, err := proxyproto.Read(r)
	if err != nil {
		return errProxy
	}
	if n := r.Buffered(); n > 0 {
		early, _ := r.Peek(n)
		c.stack(&earlyConn{Conn: c.raw, early: early})
	}
	if src, _, ok := header.TCPAddrs(); ok && header.Command.IsProxy() {
		addr := src.AddrPort()
		c.mu.Lock()
		c.peer = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		c.mu.Unlock()
	}
	return nil
}

// An earlyConn gives first what was read from its Conn too early.
type earlyConn struct {
	net.Conn
	early []byte
}

func (e *earlyConn) Read(p []byte) (int, error) {
	if len(e.early) == 0 {
		return e.Conn.Read(p)
	}
	n := copy(p, e.early)
	if e.early = e.early[n:]; len(e.early) == 0 {
		e.early = nil
	}
	return n, nil
}
