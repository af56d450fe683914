package guard

import (
	"crypto/tls"
	"strconv"
	"time"
)

// open does all that comes before the first command inside TLS. When it returns, TLS is up or the connection is dead.
func (c *Conn) open() {
	growStack(0)
	if c.ask(Moment{At: AtAccept}) && c.dead.Load() {
		return
	}
	hooks := &c.g.Hooks
	probe := c.exempt()
	if !probe && c.proxied() {
		if err := c.readProxy(); err != nil {
			if c.die("", err); !c.shuttingDown() {
				c.violation("no valid PROXY header from a listed proxy")
			}
			return
		}
	}
	if refusal := c.admit(probe); refusal != nil {
		if hooks.Refused != nil {
			hooks.Refused(c.Addr(), refusal)
		}
		if c.gone = c.implicit; !c.implicit {
			c.refuse(refusal)
		}
		c.die("", errRefused)
		return
	}
	if hooks.Opened != nil {
		hooks.Opened(c)
	}
	if c.implicit && !c.handshake() {
		return
	}
	if c.shuttingDown() {
		c.drained()
		return
	}
	if !c.ask(Moment{At: AtGreeting}) {
		c.say("220 " + c.g.Hostname + " ESMTP")
	}
	for !c.dead.Load() && c.tls.Load() == nil {
		c.clearCommand()
	}
}

// clearCommand reads and answers one command before TLS.
func (c *Conn) clearCommand() {
	line, ok := c.command()
	if !ok {
		return
	}
	v, arg := splitVerb(line)
	c.verb = v
	switch v {
	case verbHTTP:
		c.http()
	case verbEHLO:
		if _, ok := c.helloName(arg); ok {
			c.sayLines("250", c.g.Hostname, "PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", c.sizeKeyword(), "STARTTLS")
		}
	case verbHELO:
		if _, ok := c.helloName(arg); ok {
			c.say("250 " + c.g.Hostname)
		}
	case verbNOOP:
		c.say(replyOK)
	case verbRSET, verbQUIT, verbSTARTTLS:
		switch {
		case len(arg) > 0:
			c.say(replyNoArg)
		case v == verbRSET:
			c.say(replyOK)
		case v == verbQUIT:
			c.quit()
		default:
			c.startTLS()
		}
	case verbNone:
		if c.tooBad() {
			return
		}
		fallthrough
	default:
		c.mustTLS(v)
	}
}

// mustTLS answers a command that is for TLS only (RFC 3207 §4).
func (c *Conn) mustTLS(v verb) {
	if f := c.g.Hooks.Clear; f != nil {
		if reply := f(c, v.String()); reply != nil {
			c.refuse(reply)
			if reply.Code == 421 {
				c.die("", errServer)
			}
			return
		}
	}
	c.say(replyMustTLS)
}

// startTLS answers STARTTLS and shakes hands. Nothing that came with the command survives (RFC 3207 §4.2, CVE-2011-0411).
func (c *Conn) startTLS() {
	if len(c.in.unread()) > 0 {
		c.violation("octets sent along with STARTTLS")
		c.die("554 5.5.1 Octets were sent along with STARTTLS; wait for its reply before TLS begins", errEarly)
		return
	}
	if c.config() == nil {
		c.die("421 4.7.0 "+c.g.Hostname+" has no certificate now, and takes no mail without TLS; try again later", errNoTLS)
		return
	}
	c.release()
	if f := c.g.Hooks.StartTLS; f != nil {
		f(c)
	}
	c.say("220 2.0.0 Ready to start TLS")
	if err := c.flush(); err != nil {
		c.gone = true
		c.die("", errLost)
		return
	}
	c.handshake()
}

func (c *Conn) config() *tls.Config {
	if c.g.TLS == nil {
		return nil
	}
	return c.g.TLS()
}

// handshake makes c.tls, or the connection is dead: there is no way back to clear.
func (c *Conn) handshake() bool {
	config := c.config()
	if c.interceptor != nil {
		if config = c.askHandshake(config); c.dead.Load() {
			return false
		}
	}
	if config == nil {
		c.shaken(errNoTLS)
		c.die("", errNoTLS)
		return false
	}
	until := time.Now().Add(c.t.Handshake)
	c.raw.SetWriteDeadline(until)
	c.armHandshake(until)
	c.cork.Conn = c.rw
	t := tls.Server(&c.cork, config)
	if err := t.Handshake(); err != nil {
		c.shaken(err)
		c.die("", errTLS)
		return false
	}
	c.stack(t)
	c.tls.Store(t)
	c.state = state{bad: c.bad}
	c.shaken(nil)
	return true
}

func (c *Conn) shaken(err error) {
	if c.interceptor != nil {
		c.interceptor.Handshake(err)
	}
	if f := c.g.Hooks.Handshake; f != nil {
		f(c, err)
	}
}

// sizeKeyword is the keyword of RFC 1870 §4.
func (c *Conn) sizeKeyword() string {
	if c.g.MaxMessageSize <= 0 {
		return "SIZE"
	}
	return "SIZE " + strconv.FormatInt(c.g.MaxMessageSize, 10)
}

func (c *Conn) violation(what string) {
	if c.interceptor != nil {
		c.interceptor.Violation(what)
	}
	if f := c.g.Hooks.Violation; f != nil {
		f(c, what)
	}
}

func (c *Conn) http() {
	c.violation("HTTP request")
	c.die("", errHTTP)
}

func (c *Conn) quit() { c.end("221 2.0.0 Bye", nil) }

func (c *Conn) drained() {
	c.die("421 4.3.2 "+c.g.Hostname+" is shutting down; try again later", errDrained)
}

// tooBad counts a line that is no command, and hangs up when there have been too many.
func (c *Conn) tooBad() bool {
	if c.bad++; c.bad <= maxBad {
		return false
	}
	c.violation("too many bad commands")
	c.die("421 4.7.0 "+c.g.Hostname+" has seen too many bad commands, closing", errBad)
	return true
}

// authLimit is the number of failed logins that is one too many.
func (c *Conn) authLimit() int {
	if c.g.MaxAuthFailures > 0 {
		return c.g.MaxAuthFailures
	}
	return defaultAuthFailures
}
