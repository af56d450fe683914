package guard

import (
	"cmp"
	"crypto/tls"
	"io"
	"net"
)

// An Interceptor stands beside one connection. It sees in clear what is said on it, inside TLS too, and may answer in the server's place, at
// the turn of what it answers, however many commands were sent at once. The test double injects faults and writes transcripts with it;
// a server in service has none. Its methods are called on the connection's goroutine, Closed where [Hooks].Closed is, and may block.
type Interceptor interface {
	// Ask comes before the server does anything about a moment. nil: the server goes on as if nobody had been asked.
	Ask(m Moment) *Answer
	// Reply comes before a reply of the server's is said, the greeting included: a code and the texts of its lines. nil: it is said as it is.
	Reply(code string, texts []string) *Answer
	// Handshake: TLS is up, or why it is not.
	Handshake(err error)
	// Violation: the client broke the protocol, see [Hooks].
	Violation(what string)
	// Closed: the connection is over; err is the reason, nil after QUIT.
	Closed(err error)
}

// A Point is a place in a session where an Interceptor is asked.
type Point uint8

// The points.
const (
	AtAccept    Point = iota // nothing has been said or heard, not even a PROXY header
	AtGreeting               // the greeting would be said now
	AtHandshake              // the TLS handshake would begin now
	AtCommand                // a command line has come
	AtChunk                  // a BDAT has come that is not a message's first; it cannot be answered for, but the connection may end
	AtResponse               // a response to a challenge of AUTH has come (RFC 4954 §4)
	AtContent                // the client has ended its message, of which nothing is stored yet
)

// A Moment is what an Interceptor is asked about.
type Moment struct {
	At      Point
	Verb    string // at a command: in upper case, "" for one that is not known
	Line    []byte // at a command or response: without its end of line; valid during the call
	Fault   string // what is wrong with the line as a line, in fixed words; "" if nothing is. The server refuses it whatever it says.
	Waiting int    // octets that the client has sent behind the line already
	Size    int64  // at the end of content: its octets
}

// An Answer is what is done in the server's place. With all fields empty the moment passes in silence.
type Answer struct {
	Reply []string    // lines with their codes, without CRLF
	Raw   []byte      // octets that are said behind them, as they are
	TLS   *tls.Config // for the handshake alone: it begins, with this configuration
	// Close ends the connection in the usual way when all that was said is written. A reply of 421 does too.
	Close bool
	// End does the same in a way of its own: it may close the socket. nil: nothing is done.
	End func(socket net.Conn)
}

// ask asks the interceptor, and does what it says. It returns true if the moment has passed by that.
func (c *Conn) ask(m Moment) bool {
	if c.interceptor == nil {
		return false
	}
	a := c.interceptor.Ask(m)
	if a == nil {
		return false
	}
	c.act(a)
	return true
}

// askHandshake returns the configuration of the handshake that begins, config if nobody wants another. The connection may be over.
func (c *Conn) askHandshake(config *tls.Config) *tls.Config {
	a := c.interceptor.Ask(Moment{At: AtHandshake})
	if a == nil {
		return config
	}
	c.act(a)
	return cmp.Or(a.TLS, config)
}

// askLine asks about a line that was read, inside a message that comes in chunks or not.
func (c *Conn) askLine(line []byte, fault lineFault, chunks bool) bool {
	if c.interceptor == nil {
		return false
	}
	m := Moment{At: AtCommand, Line: line, Fault: fault.String()}
	if c.in != nil {
		m.Waiting = len(c.in.unread())
	}
	if c.sasl {
		m.At = AtResponse
		return c.ask(m)
	}
	v, arg := splitVerb(line)
	c.verb, m.Verb = v, v.String()
	if v != verbBDAT || fault != lineOK || c.tls.Load() == nil {
		return c.ask(m)
	}
	if chunks {
		m.At = AtChunk
		c.ask(m)
		return c.dead.Load()
	}
	if !c.ask(m) {
		return false
	}
	if !c.dead.Load() && c.beginChunk(arg) { // its octets are no commands
		c.swallow()
		c.body = body{}
	}
	return true
}

// endOfContent is the error that ends content which has come whole: io.EOF, unless an interceptor answers for it.
func (c *Conn) endOfContent() error {
	if !c.ask(Moment{At: AtContent, Size: c.body.size}) {
		return io.EOF
	}
	c.body.taken = true // the session's answer is for nobody
	if c.dead.Load() {
		return c.cut()
	}
	return ErrReset
}

// act says and does what an interceptor wants.
func (c *Conn) act(a *Answer) {
	if len(a.Reply) > 0 {
		c.replied(a.Reply[0][:3])
	}
	c.wmu.Lock()
	for _, line := range a.Reply {
		c.queue(line, "\r\n")
	}
	c.queue(string(a.Raw))
	c.wmu.Unlock()
	switch {
	case a.End != nil:
		c.flush()
		a.End(c.raw)
		c.gone = true
		c.die("", errFault)
	case a.Close, len(a.Reply) > 0 && a.Reply[0][:3] == "421":
		c.die("", errFault)
	}
}

// Socket is the connection below TLS and PROXY protocol, for an [Interceptor] that wants to end or slow it.
func (c *Conn) Socket() net.Conn { return c.raw }

// Flush writes the replies that wait to be written, for an [Interceptor] that is about to block.
func (c *Conn) Flush() error { return c.flush() }

// String is the fault in fixed words.
func (f lineFault) String() string {
	switch f {
	case lineLF:
		return "bare LF"
	case lineControl:
		return "control character"
	case lineLong, lineLongAuth:
		return "too long"
	}
	return ""
}
