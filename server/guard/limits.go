package guard

import (
	"fmt"
	"net/netip"

	"github.com/emersion/go-smtp"
)

// maxBad is how many lines that are no commands are answered before the guard hangs up (RFC 5321 §4.3.2 leaves the number open).
const maxBad = 10

// defaultAuthFailures is Guard.MaxAuthFailures when it is 0.
const defaultAuthFailures = 10

// origin is whom a connection is counted for: an IPv4 address, or the IPv6 /64 that one customer has.
func origin(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the zero Prefix for what is not an IP address
	return p
}

// exempt tells that c is the server's own probe.
func (c *Conn) exempt() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.g.Exempt != nil && c.g.Exempt(c.peer)
}

// Probe tells that the connection is the server's own probe, see [Guard.Exempt].
func (c *Conn) Probe() bool { return c.exempt() }

// Admitted is how many connections count for the limits just now.
func (g *Guard) Admitted() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.admitted
}

// admit is Guard.admit for all but probes.
func (c *Conn) admit(probe bool) *smtp.SMTPError {
	if probe {
		return nil
	}
	return c.g.admit(c)
}

// statusBusy is for a load that is too high as a whole (RFC 3463 §3.4), whoever the client is.
var statusBusy = smtp.EnhancedCode{4, 3, 2}

// admit counts c, or says why it cannot be served.
func (g *Guard) admit(c *Conn) *smtp.SMTPError {
	from := origin(c.Addr())
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.MaxConnections > 0 && g.admitted >= g.MaxConnections:
		return &smtp.SMTPError{Code: 421, EnhancedCode: statusBusy,
			Message: fmt.Sprintf("%s serves %d connections already; try again in a minute", g.Hostname, g.MaxConnections)}
	case g.PerAddress > 0 && from.IsValid() && g.origins[from] >= g.PerAddress:
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0},
			Message: fmt.Sprintf("%s takes no more than %d connections at a time from one address; close some, or try again in a minute", g.Hostname, g.PerAddress)}
	}
	if g.origins == nil {
		g.origins = make(map[netip.Prefix]int)
	}
	g.admitted++
	g.origins[from]++
	c.origin, c.counted = from, true
	return nil
}

// add begins to keep track of c.
func (g *Guard) add(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns == nil {
		g.conns = make(map[*Conn]struct{})
	}
	g.conns[c] = struct{}{}
	c.draining = g.draining
}

// remove undoes add and admit.
func (g *Guard) remove(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
	if c.counted {
		c.counted = false
		g.admitted--
		if g.origins[c.origin]--; g.origins[c.origin] == 0 {
			delete(g.origins, c.origin)
		}
	}
	if len(g.conns) == 0 && g.gone != nil {
		close(g.gone)
		g.gone = nil
	}
}
