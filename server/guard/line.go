package guard

import (
	"bytes"
	"errors"
	"time"
)

// Limits of command lines, in octets with their CRLF.
const (
	maxLine     = 512   // RFC 5321 §4.5.3.1.4
	maxEnvelope = 2048  // MAIL and RCPT with what RFC 1870, 3461, 4954, 6152 and 6531 add to it
	maxAuth     = 12288 // RFC 4954 §4

	maxSwallow = 1 << 20 // of one line that is too long, before the guard hangs up
)

// bufferSize holds the longest line and the content of the largest TLS record.
const bufferSize = 16 << 10

// A buffer is what a connection needs while it has something to read, and gives back while it waits.
type buffer struct {
	b    [bufferSize]byte
	r, w int    // b[r:w] is unread
	line []byte // the line for go-smtp
}

func (b *buffer) unread() []byte { return b.b[b.r:b.w] }

// lineFault is what is wrong with a command line as a line.
type lineFault uint8

const (
	lineOK lineFault = iota
	lineLF
	lineControl
	lineLong
	lineLongAuth // the same, of AUTH
)

var errSwallow = errors.New("a command line without end")

// buf is the connection's buffer, taken from the pool if need be.
func (c *Conn) buf() *buffer {
	if c.in == nil {
		c.in, _ = c.g.buffers.Get().(*buffer)
		if c.in == nil {
			c.in = new(buffer)
		}
	}
	return c.in
}

// release gives the buffer back if nothing is in it.
func (c *Conn) release() {
	if c.in != nil && c.in.r == c.in.w {
		c.in.r, c.in.w = 0, 0
		c.g.buffers.Put(c.in)
		c.in = nil
	}
}

// fill reads more into the buffer, after everything has been written that the client may wait for.
// The deadline must have been set with arm.
func (c *Conn) fill() error {
	if err := c.flush(); err != nil {
		return err
	}
	c.allowWrites()
	if c.in == nil && c.tls.Load() != nil {
		// Idle: one octet is enough to be woken by, the rest of its record is then at hand in the tls.Conn.
		if n, err := c.rw.Read(c.one[:]); n == 0 {
			return c.readFailed(err)
		}
		b := c.buf()
		b.b[0], b.r, b.w = c.one[0], 0, 1
		return nil
	}
	b := c.buf()
	switch {
	case b.r == b.w:
		b.r, b.w = 0, 0
	case b.w == len(b.b):
		b.r, b.w = 0, copy(b.b[:], b.unread())
	}
	n, err := c.rw.Read(b.b[b.w:])
	b.w += n
	if n == 0 {
		return c.readFailed(err)
	}
	return nil
}

// readLine reads a command line and returns it without its CRLF and the blanks before it; it is valid until the next read.
// Only CRLF ends a line (RFC 5321 §2.3.8). A bare LF is reported at once, so that a client that knows no CRLF is not left
// waiting, and all that follows it up to the next CRLF belongs to the same bad line and is not run.
// If interruptible, Drain may cut the wait short.
func (c *Conn) readLine(deadline time.Time, interruptible bool) ([]byte, lineFault, error) {
	for scanned, armed := 0, false; ; {
		if c.in != nil {
			b := c.in
			data := b.unread()
			if i := bytes.IndexByte(data[scanned:], '\n'); i >= 0 {
				line := data[:scanned+i+1]
				b.r += len(line)
				scanned = 0
				if line, fault, ok := c.frame(line); ok {
					return line, fault, nil
				}
				continue
			}
			if scanned = len(data); scanned == len(b.b) {
				if c.swallowed == 0 {
					v, _ := splitVerb(data)
					c.longAuth = v == verbAUTH || c.sasl
				}
				b.r = b.w - 1 // it may be the CR
				c.swallowed += scanned - 1
				scanned = 1
			}
			if c.swallowed > maxSwallow {
				return nil, lineOK, errSwallow
			}
		}
		if c.tls.Load() != nil {
			c.release()
		}
		if !armed {
			armed = true
			c.arm(deadline, interruptible)
		}
		if err := c.fill(); err != nil {
			return nil, lineOK, err
		}
	}
}

// frame judges octets that end with LF. A line with a fault is for an Interceptor's eyes alone. It returns false if they are not the end of a line that deserves an answer.
func (c *Conn) frame(line []byte) ([]byte, lineFault, bool) {
	crlf := len(line) > 1 && line[len(line)-2] == '\r'
	switch {
	case c.swallowed > 0 && !crlf:
		c.swallowed += len(line)
		return nil, lineOK, false
	case c.swallowed > 0:
		c.swallowed, c.tainted = 0, false
		return nil, tooLong(c.longAuth), true
	case !crlf:
		c.tainted = true
		return line[:len(line)-1], lineLF, true
	case c.tainted:
		c.tainted = false
		return nil, lineOK, false
	}
	size := len(line)
	line = bytes.TrimRight(line[:size-2], " \t")
	if size > maxLine {
		if limit := c.limit(line); size > limit {
			return nil, tooLong(limit == maxAuth), true
		}
	}
	for _, b := range line {
		if isControl(b) {
			return line, lineControl, true
		}
	}
	return line, lineOK, true
}

func tooLong(auth bool) lineFault {
	if auth {
		return lineLongAuth
	}
	return lineLong
}

// limit is the longest line that line's verb allows.
func (c *Conn) limit(line []byte) int {
	if c.sasl {
		return maxAuth
	}
	switch v, _ := splitVerb(line); v {
	case verbAUTH:
		return maxAuth
	case verbMAIL, verbRCPT:
		return maxEnvelope
	}
	return maxLine
}
