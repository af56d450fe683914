package guard

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-smtp"
)

// octetTime is how much later each octet of content lets its message be: 50 octets a second are asked for. A line of 500 octets/s that stalls for
// two minutes in every two and a half keeps up, with all that TLS adds; one octet in each wait does not.
const octetTime = 20 * time.Millisecond

// slack is how much more than twice MaxMessageSize a client may send before the guard hangs up, in octets.
const slack = 1 << 20

var errNoContent = errors.New("no message is being received")

// body is the message being received.
type body struct {
	active bool // go-smtp has been given DATA, has said 354, and has not answered for the message yet
	ended  bool // go-smtp has been given the end of the message
	taken  bool // taken back by the client, so nobody waits for the answer
	err    error
	size   int64         // octets of content
	raw    int64         // octets read
	behind time.Duration // how much longer the client was waited for than the octets that came may take; never negative

	scanner

	// BDAT only.
	chunked bool
	last    bool
	chunk   int64 // the size of the present chunk
	left    int64 // of it, still to be read
	chunks  chunkScanner
	tail    string // what is missing at the end
}

// Content is the content of the message being received, from DATA or BDAT alike: CRLF lines, dot-unstuffed, the last
// line complete. It is valid inside Session.Data, and gives the content once.
// io.EOF comes only when the client has ended the message; every other error means that there is no message
// (see [ErrCut], [ErrReset], *smtp.SMTPError for a violation or a message too large, which is the reply to be given).
func (c *Conn) Content() io.Reader { return (*content)(c) }

// content is a Conn as a reader of content.
type content Conn

// Read implements io.Reader.
func (r *content) Read(p []byte) (int, error) {
	c := (*Conn)(r)
	b := &c.body
	switch {
	case !b.active || b.ended:
		return 0, errNoContent
	case b.err != nil:
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	}
	for b.err == nil {
		n := 0
		if b.chunked {
			n = c.readChunk(p)
		} else {
			n = c.readData(p)
		}
		if n > 0 && (b.err == nil || errors.Is(b.err, io.EOF)) {
			return n, nil
		}
	}
	return 0, b.err
}

// readData reads content sent with DATA; with p nil it throws it away. It sets err when the content is over or of no use.
func (c *Conn) readData(p []byte) int {
	b := &c.body
	if !c.more() {
		return 0
	}
	wrote, read := b.scan(p, c.in.unread())
	c.came(read)
	b.raw += int64(read)
	b.size += int64(wrote)
	c.weigh(b.scanner.flaw)
	if b.end && b.err == nil {
		b.err = c.endOfContent()
	}
	return wrote
}

// more sees that there is something unread. If the client sends nothing more, there is no message and no connection.
func (c *Conn) more() bool {
	if c.in != nil && c.in.r < c.in.w {
		return true
	}
	begin := time.Now()
	until, why := c.contentDeadline(begin, c.t.Content)
	c.arm(until, false)
	if err := c.fill(); err != nil {
		c.readEnded(err, why)
		c.body.err = c.cut()
		return false
	}
	c.body.behind += time.Since(begin)
	return true
}

// contentDeadline is deadline inside a message: the message as a whole must not fall behind by more than Timeouts.Lag. Our own work does not
// count, only the waits.
func (c *Conn) contentDeadline(now time.Time, d time.Duration) (time.Time, error) {
	at, why := c.deadline(now, d)
	if slow := now.Add(c.t.Lag - c.body.behind); slow.Before(at) {
		at, why = slow, ErrSlow
	}
	return at, why
}

// came takes n octets of content off the buffer.
func (c *Conn) came(n int) {
	c.in.r += n
	c.body.behind = max(0, c.body.behind-time.Duration(n)*octetTime)
}

// cut is what content that the connection did not outlive ends with.
func (c *Conn) cut() error { return fmt.Errorf("%w: %w", ErrCut, c.reason) }

// weigh judges the content read so far.
func (c *Conn) weigh(f flaw) {
	b, limit := &c.body, c.g.MaxMessageSize
	switch {
	case b.err != nil:
	case f != clean:
		c.violation(f.String() + " in content")
		b.err = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 6, 0},
			Message: fmt.Sprintf("The message has a %s in it; lines must end with CR LF", f)}
		if f == nul {
			b.err = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "The message has a NUL in it"}
		}
	case limit > 0 && b.size > limit:
		b.err = errTooLarge
	}
	if c.tooMuch(b.raw) {
		c.hangUp()
	}
}

// tooMuch tells whether a client that sends n octets for one message has gone beyond what is read only to be polite.
func (c *Conn) tooMuch(n int64) bool {
	limit := c.g.MaxMessageSize
	return limit > 0 && n/2 > limit+slack/2
}

func (c *Conn) hangUp() {
	c.violation("much more content than is allowed")
	c.die(fmt.Sprintf("421 4.3.4 %s takes messages of no more than %d octets, closing", c.g.Hostname, c.g.MaxMessageSize), errProtocol)
	c.body.err = c.cut()
}

// finishContent is called when go-smtp reads on: the Session has seen enough. The rest of the message is thrown away,
// so that none of it is taken for a command, and go-smtp gets the end of an empty one.
func (c *Conn) finishContent() {
	b := &c.body
	if b.err == nil {
		b.err = errNoContent // nothing that comes now can make it a message that was read
	}
	if b.chunked {
		c.swallow()
	} else {
		for !b.end && !c.dead.Load() {
			c.readData(nil)
		}
	}
	if !c.dead.Load() {
		b.ended = true
		c.give = endOfData
	}
}

// swallow throws the rest of a chunk away, unless it is too much of that.
func (c *Conn) swallow() {
	b := &c.body
	if c.tooMuch(b.left) {
		c.hangUp()
		return
	}
	for b.left > 0 && !c.dead.Load() {
		if !c.more() {
			return
		}
		n := min(int64(len(c.in.unread())), b.left)
		c.came(int(n))
		b.left -= n
	}
}
