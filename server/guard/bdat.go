package guard

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// bdat answers BDAT (RFC 3030 §2) outside a message. The first chunk of one looks like DATA to go-smtp.
func (c *Conn) bdat(arg []byte) {
	if !c.beginChunk(arg) {
		return
	}
	if c.rcpts > 0 {
		b := &c.body
		*b = body{chunked: true, chunk: b.chunk, left: b.left, last: b.last}
		c.hand(verbBDAT, append(c.line(), "DATA"...))
		return
	}
	c.swallow()
	c.body = body{}
	switch {
	case c.dead.Load():
	case !c.mail:
		c.say("503 5.5.1 Send MAIL first")
	default:
		c.say(replyNoRcpt)
	}
}

// beginChunk reads the arguments of BDAT. If they are wrong, nobody knows where the chunk ends, and the connection has to.
func (c *Conn) beginChunk(arg []byte) bool {
	b := &c.body
	number, rest, more := bytes.Cut(arg, []byte(" "))
	rest = bytes.TrimLeft(rest, " ")
	size, err := strconv.ParseUint(string(number), 10, 63)
	last := bytes.EqualFold(rest, []byte("LAST"))
	if err != nil || more && !last {
		c.violation("BDAT without a size")
		c.die("501 5.5.4 Syntax: BDAT size [LAST]; closing, for the end of the chunk is not known", errProtocol)
		b.err = c.cut()
		return false
	}
	b.chunk, b.left, b.last = int64(size), int64(size), last
	return true
}

// readChunk reads content sent with BDAT. It sets err when the content is over or of no use.
func (c *Conn) readChunk(p []byte) int {
	b := &c.body
	switch {
	case b.left > 0:
		return c.readSome(p)
	case b.tail != "":
		n := copy(p, b.tail)
		if b.tail = b.tail[n:]; b.tail == "" {
			b.err = c.endOfContent()
		}
		return n
	case !b.last:
		c.say("250 2.0.0 " + strconv.FormatInt(b.chunk, 10) + " octets received")
		c.nextChunk()
		return 0
	}
	b.chunks.finish()
	if c.weigh(b.chunks.flaw); b.err != nil {
		return 0
	}
	if b.size > 0 && !b.chunks.lf {
		b.tail = "\r\n"
		return 0
	}
	b.err = c.endOfContent()
	return 0
}

// readSome reads some octets of a chunk.
func (c *Conn) readSome(p []byte) int {
	b := &c.body
	// A chunk that makes the message too large is refused before it is read.
	if total := min(b.size, math.MaxInt64-b.left) + b.left; c.g.MaxMessageSize > 0 && total > c.g.MaxMessageSize {
		if b.err = errTooLarge; c.tooMuch(total) {
			c.hangUp()
		}
		return 0
	}
	if !c.more() {
		return 0
	}
	data := c.in.unread()
	n := copy(p, data[:min(int64(len(data)), b.left)])
	b.chunks.scan(p[:n])
	c.came(n)
	b.left -= int64(n)
	b.size += int64(n)
	c.weigh(b.chunks.flaw)
	return n
}

// nextChunk reads commands until the next BDAT, or one that takes the message back.
func (c *Conn) nextChunk() {
	b := &c.body
	for b.err == nil {
		begin := time.Now()
		until, why := c.contentDeadline(begin, c.t.Command)
		line, fault, err := c.readLine(until, false)
		b.behind += time.Since(begin)
		if err != nil {
			c.readEnded(err, why)
			b.err = c.cut()
			return
		}
		if c.askLine(line, fault, true) || !c.judge(line, fault) {
			if c.dead.Load() {
				b.err = c.cut()
			}
			continue
		}
		switch v, arg := splitVerb(line); v {
		case verbBDAT:
			c.beginChunk(arg)
			return
		case verbRSET, verbQUIT, verbEHLO, verbHELO:
			if (len(arg) == 0) == (v == verbEHLO || v == verbHELO) {
				c.do(v, arg) // answers that the argument is wrong
				continue
			}
			c.stash = bytes.Clone(line)
			b.taken, b.err = true, ErrReset
		case verbMAIL, verbRCPT, verbDATA, verbAUTH, verbSTARTTLS:
			c.say(replyBusy)
		default:
			if c.simple(v); c.dead.Load() {
				b.err = c.cut()
			}
		}
	}
}
