package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/emersion/go-smtp"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/route"
)

// A Deliverer talks to hops. Its methods may be called from many goroutines at once; its fields do not change meanwhile.
type Deliverer struct {
	Hostname string         // name for EHLO; required, and should be what the address resolves to
	RootCAs  *x509.CertPool // for hops whose certificate must verify; nil = those of the system
	Timeouts Timeouts
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // one address; nil = net.Dialer
	MaxIdle  int                                                                  // connections kept open for the next message while Run runs; 0 = 64, negative = none
	Log      zerolog.Logger

	once     sync.Once
	sessions tls.ClientSessionCache
	buffers  sync.Pool // *[]byte of blockSize
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
	Reply        smtp.SMTPError
	RelayedToDSN bool // the hop took the DSN parameters over, so a report of success is its task (RFC 3461 §5.2.2)
}

// errHostname is a fault of the set-up.
var errHostname = errors.New("deliver: Hostname is missing")

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
	return nil, errHostname
}

// Run closes kept connections that have been idle for too long, until ctx ends, and then all of them.
// Connections are kept only while it runs.
func (d *Deliverer) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
