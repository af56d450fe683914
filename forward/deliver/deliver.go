package deliver

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/route"
)

// A Deliverer talks to hops. Its methods may be called from many goroutines at once; its fields do not change meanwhile.
type Deliverer struct {
	Hostname string         // name for EHLO; required, and should be what the address resolves to
	RootCAs  *x509.CertPool // for hops whose certificate must verify, until Trust is called; nil = those of the system
	Timeouts Timeouts
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // one address; nil = net.Dialer
	MaxIdle  int                                                                  // connections kept open for the next message while Run runs; 0 = 64, negative = none
	Metrics  prometheus.Registerer                                                // where conversations are counted; nil: nowhere
	Log      zerolog.Logger

	once     sync.Once
	metrics  *metrics
	trust    atomic.Pointer[trust]
	buffers  sync.Pool // *buffers
	families families
	idle     pool
	clear    memory // hops whose TLS is broken
}

// A Message is what is to be delivered, as far as the hop needs to know.
type Message struct {
	From       string // reverse-path without angle brackets; "" is the null reverse-path
	Recipients []Recipient
	Return     smtp.DSNReturn // RET (RFC 3461 §4.3); "" = not given
	EnvelopeID string         // ENVID, decoded
	Body       smtp.BodyType  // BODY (RFC 6152); "" = not given
	UTF8       bool           // SMTPUTF8 (RFC 6531)
	RequireTLS bool           // REQUIRETLS (RFC 8689)
	Size       int64          // octets of the content; 0 = unknown
	// Open returns the content from its beginning. It may be called several times.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// A Recipient is one forward-path with its DSN parameters (RFC 3461 §4.1, §4.2).
type Recipient struct {
	Address      string // without angle brackets, quoted local part kept
	Notify       []smtp.DSNNotify
	OriginalType smtp.DSNAddressType
	Original     string // ORCPT, decoded
}

// A Result is what became of one recipient. The reply's code says all: 2xx delivered, 4xx again later, 5xx failed for good.
type Result struct {
	Address      string // Recipient.Address
	Hop          string // who answered: "host [address]:port"
	TLS          string // version of TLS that it was said in, like "TLS 1.3"; "" = in clear, or nothing was said there
	Reply        smtp.SMTPError
	RelayedToDSN bool // the hop took the DSN parameters over, so a report of success is its task (RFC 3461 §5.2.2)
	Unfit        bool // the reply is our own: this hop lacks what the message needs, and another may have it (RFC 8689 §4.2.1)
	Lost         bool // the reply to the final dot was lost: the message may be there, so that no other hop is tried at once (RFC 1047)
}

// errHostname is a fault of the set-up.
var errHostname = errors.New("deliver: Hostname is missing or no host name")

// Deliver hands a message to one hop and returns a result for each recipient, in their order.
//
// A *smtp.SMTPError as error, always 4xx, means that the hop could not be talked to (connection, greeting, TLS, login)
// and nothing was said about any recipient: try the next hop. Any other error is ours (the content cannot be read, or ctx
// has ended); the results then hold those recipients that were done before.
//
// When ctx ends, the conversation is broken off at once. Only when the final dot has been sent, Deliver waits up to
// Timeouts.Grace for the reply, because without it the message would be sent twice.
// A connection that is lost between the final dot and the reply gives 4xx: a second copy is better than none (RFC 1047).
func (d *Deliverer) Deliver(ctx context.Context, hop route.Hop, m Message) ([]Result, error) {
	if err := d.prepare(); err != nil {
		return nil, err
	}
	t := newTask(&m)
	t.check()
	if len(t.pending()) == 0 {
		return t.results, nil
	}
	buf := d.buffers.Get().(*buffers)
	defer d.buffers.Put(buf)
	t.bufs = *buf
	fresh := false
	for {
		c, err := d.connection(ctx, hop, &m, fresh)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
				d.metrics.tried(endBroken, nil)
			} else {
				d.metrics.tried(endUnreachable, nil)
			}
			return nil, err
		}
		err = d.converse(ctx, c, t)
		switch {
		case errors.Is(err, errStale):
			// The hop has closed a kept connection, which says nothing about the hop.
			fresh = true
		case err != nil:
			d.metrics.tried(endBroken, c)
			return t.settled(), err
		default:
			d.metrics.tried(endOf(t.results), c)
			return t.results, nil
		}
	}
}

// prepare brings about what the zero value lacks.
func (d *Deliverer) prepare() error {
	if d.Hostname == "" || !writable(d.Hostname) {
		return errHostname
	}
	d.once.Do(func() {
		d.metrics = newMetrics(d.Metrics)
		d.trust.CompareAndSwap(nil, newTrust(d.RootCAs))
		d.buffers.New = func() any { return &buffers{in: make([]byte, blockSize), out: make([]byte, 0, blockSize)} }
	})
	return nil
}

// buffers are what one conversation reads and writes content with.
type buffers struct{ in, out []byte }

// converse uses a connection for a task, and then keeps or ends it.
func (d *Deliverer) converse(ctx context.Context, c *conn, t *task) error {
	stop := c.watch(ctx)
	err := t.talk(ctx, c)
	if !stop() {
		c.over = true
	}
	if !c.over {
		c.nc.SetDeadline(time.Time{})
	}
	if c.over || !d.idle.put(c, d.MaxIdle) {
		c.quit()
	}
	return err
}

// connection returns a connection that has said hello: a kept one, unless a fresh one is wanted, or a new one.
func (d *Deliverer) connection(ctx context.Context, hop route.Hop, m *Message, fresh bool) (*conn, error) {
	if !fresh {
		if c := d.idle.take(hop, m); c != nil {
			return c, nil
		}
	}
	// RFC 5321 §5.1: an address that does not serve is no reason to give its siblings up.
	addrs := hop.Addrs
	var first error
	for range maxGreetings {
		c, addr, err := d.open(ctx, hop, addrs, m.RequireTLS)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
		addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return a == addr })
		if _, final := errors.AsType[errLogin](err); final || !addr.IsValid() || len(addrs) == 0 {
			break
		}
	}
	// The kinds of errors are ours; the caller is promised the bare value.
	if e, ok := errors.AsType[errTLS](first); ok {
		return nil, e.SMTPError
	}
	if e, ok := errors.AsType[errLogin](first); ok {
		return nil, e.SMTPError
	}
	return nil, first
}

// maxGreetings is how many addresses of a hop may keep us waiting for a greeting in one attempt.
const maxGreetings = 3

// open makes a new connection. The address is that which was reached, invalid if none was.
func (d *Deliverer) open(ctx context.Context, hop route.Hop, addrs []netip.Addr, strict bool) (*conn, netip.Addr, error) {
	nc, addr, err := d.dial(ctx, hop, addrs)
	if err != nil {
		return nil, netip.Addr{}, lost(label(hop, netip.Addr{}), stageConnect, err)
	}
	at := place{hop.Host, addr, hop.Port}
	optional := hop.TLS == route.Opportunistic && !strict
	c, err := d.greet(ctx, nc, newcomer{hop, addr, optional && d.clear.has(at)})
	if _, broken := errors.AsType[errTLS](err); !broken || !optional || ctx.Err() != nil {
		return c, addr, err
	}
	// RFC 7435: TLS was only hoped for. Whoever breaks it has the mail in clear, as if the hop did not know TLS.
	d.Log.Warn().Str("hop", label(hop, addr)).Str("cause", err.Error()).Msg("TLS failed, going on without")
	d.clear.add(at)
	d.metrics.fallback.Inc()
	if addr.IsValid() {
		addrs = []netip.Addr{addr}
	}
	if nc, _, err = d.dial(ctx, hop, addrs); err != nil {
		return nil, addr, lost(label(hop, addr), stageConnect, err)
	}
	c, err = d.greet(ctx, nc, newcomer{hop, addr, true})
	return c, addr, err
}

// Run closes kept connections that have been idle for too long, until ctx ends, and then all of them.
// Connections are kept only while it runs. It returns nil when ctx has ended.
func (d *Deliverer) Run(ctx context.Context) error {
	if err := d.prepare(); err != nil {
		return err
	}
	d.idle.set(true)
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		all := false
		select {
		case <-ctx.Done():
			d.idle.set(false)
			all = true
		case <-tick.C:
		}
		for _, c := range d.idle.expel(all) {
			wg.Go(c.quit) // bounded by Timeouts.Quit
		}
		if all {
			return nil
		}
	}
}
