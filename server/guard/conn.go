package guard

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"
)

// Conn is one client's connection as go-smtp sees it.
type Conn struct {
	// User is the server's own state of this connection; the guard does not look at it.
	User any

	net.Conn
	g *Guard
}

// ErrCut is what Content gives when the client went away or fell silent inside the message: there is no message.
var ErrCut = errors.New("the connection ended inside the message")

// ErrReset is what Content gives when the client took back a message sent with BDAT by RSET: there is no message.
var ErrReset = errors.New("the client reset the message")

// Listen wraps l for [smtp.Server.Serve]. With implicit, TLS begins at the first octet (RFC 8314 §3.3).
func (g *Guard) Listen(l net.Listener, implicit bool) net.Listener { return l }

// Drain ends every connection: those between commands at once with 421 4.3.2, those inside content when the reply has been sent.
// It returns when all are gone, or closes the rest and returns ctx.Err() when ctx ends. The listeners must be closed before.
func (g *Guard) Drain(ctx context.Context) error { return nil }

// Session is the id of the session: 12 signs, in the log and in replies.
func (c *Conn) Session() string { return "" }

// Context ends with the connection.
func (c *Conn) Context() context.Context { return context.Background() }

// TLS is the state of the TLS connection, nil before the handshake is complete.
func (c *Conn) TLS() *tls.ConnectionState { return nil }

// Addr is the client's address, after PROXY protocol.
func (c *Conn) Addr() netip.Addr { return netip.Addr{} }

// Content is the content of the message being received, from DATA or BDAT alike: CRLF lines, dot-unstuffed.
// io.EOF comes only when the client has ended the message; every other error means that there is no message
// (see ErrCut, *smtp.SMTPError for a violation or a message too large).
func (c *Conn) Content() io.Reader { return nil }

// LoggedIn tells the guard that AUTH succeeded, which ends Timeouts.Login.
func (c *Conn) LoggedIn() {}

// Read, Write and the deadlines are go-smtp's.
func (c *Conn) SetDeadline(time.Time) error { return nil }
