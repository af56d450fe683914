package policy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/policy/limit"
	"github.com/seed-1397b510/smarthost/policy/message"
)

// A Trace is what Received says about how the message came (RFC 5321 §4.4).
type Trace struct {
	ID     string     // of the message
	Hello  string     // the argument of EHLO; anything
	Addr   netip.Addr // of the client
	Device string     // which of the account's devices sent it; "" is left out
	With   string     // ESMTPSA or UTF8SMTPSA (RFC 3848, RFC 6531)
	TLS    string     // version and suite
	To     []string   // the recipients; named if there is only one
}

// A Range is a span [From, To) of the content, in octets.
type Range struct{ From, To int64 }

// Sealed is what is known when the whole message has been read.
type Sealed struct {
	Top       []byte  // fields to put on top, CRLF lines
	Cut       []Range // the Bcc fields, to be left out (RFC 5322 §3.6.3)
	Key       []byte  // the same for the same message sent again; nil if it cannot be told, for want of a Message-ID
	Size      int64   // octets read
	MessageID string  // the message's own, or the one added; may be anything
}

// Content is a message on its way through; see [Transaction.Data].
type Content struct {
	*Transaction
	trace Trace
	scan  *message.Scanner
}

// Data wraps the content, CRLF lines. When Read has returned io.EOF, call Finish. A Read error of body comes through as
// it is; 552 5.3.4 means that the header is too large.
func (t *Transaction) Data(ctx context.Context, trace Trace, body io.Reader) *Content {
	return &Content{Transaction: t, trace: trace, scan: message.NewScanner(body)}
}

// Read passes the content on unchanged.
func (c *Content) Read(p []byte) (int, error) { return c.scan.Read(p) }

// Finish has the last word on a message that has been read to its end. The error is the reply: 554 5.4.6 for a loop, 550 5.7.1 or
// 5.6.0 for a From that is not the account's, 450 4.7.1 for too many octets.
func (c *Content) Finish() (Sealed, error) {
	h := c.scan.Header()
	most := c.policy.MaxReceived
	if most == 0 {
		most = standardReceived
	}
	if h.Received >= most {
		return Sealed{}, refuse(554, smtp.EnhancedCode{5, 4, 6}, "the message has gone round in circles: it has %d Received fields", h.Received)
	}
	if err := checkAuthors(c.account, h); err != nil {
		return Sealed{}, err
	}
	if err := c.take(limit.Bytes, c.scan.Size()); err != nil {
		return Sealed{}, err
	}
	stamp := message.Stamp{
		Host: c.policy.Hostname, Hello: c.trace.Hello, Device: c.trace.Device, With: c.trace.With, TLS: c.trace.TLS, ID: c.trace.ID,
		Time: time.Now(), Date: !h.Date, MessageID: !h.HasMessageID, Blank: h.Empty && !c.scan.BeginsBlank(),
	}
	if c.policy.current().ShowClient {
		stamp.Addr = c.trace.Addr
	} else if strings.HasPrefix(stamp.Hello, "[") {
		stamp.Hello = "" // an address literal is the client's address too
	}
	if len(c.trace.To) == 1 {
		stamp.For = c.trace.To[0]
	}
	s := Sealed{Top: stamp.Fields(), Size: c.scan.Size(), MessageID: h.MessageID, Key: c.key(h)}
	if !h.HasMessageID {
		s.MessageID = "<" + c.trace.ID + "@" + c.policy.Hostname + ">"
	}
	for _, b := range h.Bcc {
		s.Cut = append(s.Cut, Range(b))
	}
	return s, nil
}

// key identifies the message by account, envelope, Message-ID, header and body, and by how often it has passed here before:
// one that comes back from where it was forwarded to is not one sent again, and 250 for it as such would be the end of it,
// where 554 5.4.6 sends it back to its author. Fields are written with their lengths, so that no two messages give the same input.
func (c *Content) key(h *message.Header) []byte {
	if h.MessageID == "" {
		return nil
	}
	to := slices.Sorted(slices.Values(c.to))
	sum := sha256.New()
	for _, word := range append([]string{c.account.Name, c.from, h.MessageID, strconv.Itoa(c.passes(h))}, to...) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(word)))
		sum.Write(length[:])
		io.WriteString(sum, word)
	}
	body := c.scan.Sum()
	sum.Write(h.Sum[:])
	sum.Write(body[:])
	return sum.Sum(nil)
}

// passes counts the Received fields of this server.
func (c *Content) passes(h *message.Header) (n int) {
	for _, by := range h.By {
		if strings.EqualFold(by, c.policy.Hostname) {
			n++
		}
	}
	return n
}
