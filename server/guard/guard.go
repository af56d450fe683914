package guard

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// ErrCut is what [Conn.Content] gives, wrapped together with the reason, when the client went away, fell silent, was too slow or broke
// the protocol inside the message: there is no message, and the connection is over.
var ErrCut = errors.New("the connection ended inside the message")

// Reasons that come with [ErrCut], and for Hooks.Closed.
var (
	ErrSilent = errors.New("the client sent nothing for too long")   // Timeouts.Content, or Timeouts.Command
	ErrSlow   = errors.New("the client sent the message too slowly") // Timeouts.Lag
)

// ErrReset is what [Conn.Content] gives when the client took back a message sent with BDAT, by RSET, EHLO, HELO or QUIT
// (RFC 3030 §2): there is no message, and the connection goes on.
var ErrReset = errors.New("the client took the message back")

// A Guard holds what all listeners of a server share: limits, hooks and the set of live connections.
// Its fields must not change after the first call of Listen.
type Guard struct {
	Hostname string // begins the greeting
	// TLS returns the configuration for the next handshake; nil: there is no certificate, so STARTTLS is answered 421 and closed.
	TLS func() *tls.Config

	PerAddress      int            // concurrent connections of one IPv4 address or one IPv6 /64; 0 = no limit
	MaxConnections  int            // concurrent connections in all; 0 = no limit
	MaxMessageSize  int64          // octets of content; 0 = no limit
	MaxAuthFailures int            // failed AUTHs after which a connection is closed with 421; 0 = 10
	Proxies         []netip.Prefix // peers that must begin with a PROXY header (v1 or v2); from others it is a protocol error
	RequireTLS      bool           // offer REQUIRETLS (RFC 8689)
	// Exempt tells of a peer whose connection counts for no limit and begins with no PROXY header: the server's own probe. nil: none is.
	Exempt        func(peer netip.AddrPort) bool
	MaxRecipients func() int // of one message, told in EHLO as LIMITS RCPTMAX (RFC 9422) and kept by the Session; nil tells none
	Timeouts      Timeouts
	Hooks         Hooks
	// Intercept gives each accepted connection somebody who may answer in the server's place; it must not block. nil: nobody, as in service.
	Intercept func(c *Conn) Interceptor

	mu       sync.Mutex
	conns    map[*Conn]struct{} // accepted and not yet closed
	admitted int                // of them, those that passed the limits
	origins  map[netip.Prefix]int
	draining bool
	gone     chan struct{} // closed when conns becomes empty while Drain waits

	buffers, outs sync.Pool
}

// Timeouts are the guard's deadlines; zero fields take the defaults named.
type Timeouts struct {
	Command   time.Duration // wait for a command: 5 min (RFC 5321 §4.5.3.2.7)
	Handshake time.Duration // the whole TLS handshake, and the PROXY header: 30 s
	Content   time.Duration // wait for the next octets inside DATA or BDAT: 5 min, where RFC 5321 §4.5.3.2.5 has clients wait 3
	Lag       time.Duration // how far a message may fall behind 50 octets/s, by the waits for its client alone: 10 min
	Write     time.Duration // one write: 2 min
	Login     time.Duration // from accept to a successful AUTH, absolute: 10 min
	Session   time.Duration // the whole session, absolute: 24 h
}

func (t Timeouts) withDefaults() Timeouts {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Command, 5 * time.Minute},
		{&t.Handshake, 30 * time.Second},
		{&t.Content, 5 * time.Minute},
		{&t.Lag, 10 * time.Minute},
		{&t.Write, 2 * time.Minute},
		{&t.Login, 10 * time.Minute},
		{&t.Session, 24 * time.Hour},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return t
}

// Hooks are the guard's questions to, and news for, the server. Any may be nil. They are called on the connection's goroutine,
// Starved on that of Accept.
type Hooks struct {
	// Starved: connections cannot be accepted because the system is short of something, such as file descriptors; err says of what.
	// It is tried again. At most once a minute for each listener.
	Starved func(err error)
	// Opened: a connection was accepted and not refused by a limit; before the greeting. It must not block.
	Opened func(c *Conn)
	// Refused: a connection was turned away before the greeting. On a listener with implicit TLS the client does not hear the reply.
	Refused func(addr netip.Addr, reply *smtp.SMTPError)
	// Clear is asked for the reply to a command that needs TLS first; nil return means 530 5.7.0 Must issue a STARTTLS command first.
	// verb is in upper case, and "" for one that is not known.
	Clear func(c *Conn, verb string) *smtp.SMTPError
	// StartTLS: 220 is about to be sent to STARTTLS.
	StartTLS func(c *Conn)
	// Handshake: the handshake ended, err is nil if well; [Conn.TLS] then tells its outcome.
	Handshake func(c *Conn, err error)
	// Replied: a reply of this code goes out, to a command of this verb (upper case; "" for one that is not known, the greeting, and
	// what was said without a command). It must not block, and say nothing itself.
	Replied func(c *Conn, verb, code string)
	// Violation: the client broke the protocol in a way worth a log line; what is fixed words, never the client's octets.
	Violation func(c *Conn, what string)
	// Closed: a connection that was Opened is over; err is the reason, nil after QUIT. If the server closes the connection
	// from elsewhere, it is called there.
	Closed func(c *Conn, err error)
}
