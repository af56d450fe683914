package deliver

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/forward/route"
)

const (
	maxIdle       = 64               // default of Deliverer.MaxIdle
	maxIdlePerHop = 16               // kept for one hop
	maxMessages   = 100              // on one connection
	maxAge        = 5 * time.Minute  // of a connection
	idleTime      = 30 * time.Second // well below the 5 minutes that a hop must wait (RFC 5321 §4.5.3.2.7)
	reapEvery     = 5 * time.Second
)

// A key says which connections are alike.
type key struct {
	host     string
	port     uint16
	relay    bool
	tls      route.TLSMode
	user     string
	password route.Secret
}

func keyOf(h route.Hop) key { return key{h.Host, h.Port, h.Relay, h.TLS, h.User, h.Password} }

// A pool keeps connections for the next message. The zero pool keeps none until it is opened.
type pool struct {
	mu    sync.Mutex
	open  bool
	idle  map[key][]*conn
	count int
}

// take returns a kept connection that suits, the one used last, or nil.
func (p *pool) take(hop route.Hop, m *Message) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := keyOf(hop)
	list := p.idle[k]
	for i, c := range slices.Backward(list) {
		if c.expired() || !c.suits(hop, m) {
			continue
		}
		p.remove(k, i)
		c.reused = true
		return c
	}
	return nil
}

func (p *pool) remove(k key, i int) {
	p.count--
	p.idle[k] = slices.Delete(p.idle[k], i, i+1)
	if len(p.idle[k]) == 0 {
		delete(p.idle, k)
	}
}

// put keeps a connection; false means that the caller still has it.
func (p *pool) put(c *conn, most int) bool {
	c.idle = time.Now()
	if most == 0 {
		most = maxIdle
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	k := keyOf(c.hop)
	if !p.open || p.count >= most || len(p.idle[k]) >= maxIdlePerHop || c.expired() {
		return false
	}
	p.idle[k] = append(p.idle[k], c)
	p.count++
	return true
}

// expel takes out what has been kept long enough, or everything.
func (p *pool) expel(all bool) (out []*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, list := range p.idle {
		for i, c := range slices.Backward(list) {
			if all || c.expired() {
				out = append(out, c)
				p.remove(k, i)
			}
		}
	}
	return out
}

// retire lets none of those that are kept now be used again; they are expelled like expired ones.
func (p *pool) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		for _, c := range list {
			c.opened = time.Time{}
		}
	}
}

// set opens or closes the pool; a closed one keeps nothing more.
func (p *pool) set(open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = open
	if p.idle == nil {
		p.idle = map[key][]*conn{}
	}
}

func (c *conn) expired() bool {
	return c.over || c.messages >= maxMessages || time.Since(c.opened) >= maxAge || time.Since(c.idle) >= idleTime
}

// suits tells whether a kept connection leads where the hop leads now, and has what the message must have.
func (c *conn) suits(hop route.Hop, m *Message) bool {
	if c.addr.IsValid() && !slices.Contains(hop.Addrs, c.addr) {
		return false
	}
	return !m.RequireTLS || c.verified && c.offers("REQUIRETLS")
}

// A memory of hops, each for a while.
type memory struct {
	mu    sync.Mutex
	until map[place]time.Time
}

type place struct {
	host string
	addr netip.Addr
	port uint16
}

const (
	memoryTime = 30 * time.Minute
	memorySize = 1024
)

func (m *memory) has(p place) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Before(m.until[p])
}

func (m *memory) add(p place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.until == nil || len(m.until) >= memorySize {
		// To forget costs one failed handshake each.
		m.until = map[place]time.Time{}
	}
	m.until[p] = now.Add(memoryTime)
}
