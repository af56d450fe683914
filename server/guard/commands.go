package guard

import (
	"encoding/base64"
	"errors"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// endOfData is what go-smtp reads of every message: nothing, and its end.
var endOfData = []byte(".\r\n")

// next blocks until there is something for go-smtp to read, and puts it into c.give. Its error is the end of the connection.
func (c *Conn) next() error {
	if !c.opened {
		c.opened = true
		c.open()
	}
	if c.body.active && !c.dead.Load() {
		c.finishContent()
	}
	for !c.dead.Load() {
		if len(c.give) > 0 {
			return nil
		}
		if c.body.left > 0 {
			c.swallow()
			continue
		}
		c.step()
	}
	c.seeOff()
	return io.EOF
}

// step reads one line and either answers it or hands it on.
func (c *Conn) step() {
	line, ok := c.command()
	if !ok {
		return
	}
	if c.sasl {
		c.saslLine(line)
		return
	}
	v, arg := splitVerb(line)
	c.verb = v
	if c.failures >= c.authLimit() && v != verbQUIT {
		c.violation("too many failed logins")
		c.die("421 4.7.0 "+c.g.Hostname+" has seen too many failed logins, closing", errGuessing)
		return
	}
	c.do(v, arg)
}

// command reads a command line that is worth looking at. What is not has been answered when it returns false.
func (c *Conn) command() ([]byte, bool) {
	if !c.sasl {
		c.verb = verbNone
	}
	if c.shuttingDown() {
		c.drained()
		return nil, false
	}
	if line := c.stash; line != nil {
		c.stash = nil
		return line, true
	}
	until, why := c.deadline(time.Now(), c.t.Command)
	line, fault, err := c.readLine(until, true)
	if err != nil {
		c.readEnded(err, why)
		return nil, false
	}
	return line, !c.askLine(line, fault, false) && c.judge(line, fault)
}

// readEnded ends the connection after a read that failed.
func (c *Conn) readEnded(err, why error) {
	switch {
	case errors.Is(err, errSwallow):
		c.violation("a command line without end")
		c.die("421 4.7.0 "+c.g.Hostname+" hangs up on a line without end", err)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		c.gone = true
		c.die("", err)
	case c.shuttingDown() && !c.body.active:
		c.drained()
	default:
		text := "waited too long for a command"
		switch {
		case errors.Is(why, errLate):
			text = "waited too long for a login"
		case errors.Is(why, errLong):
			text = "ends a session that has lasted too long"
		case errors.Is(why, ErrSlow):
			text = "waited too long for a message that comes at less than 50 octets a second"
		case c.body.active:
			text = "waited too long for the rest of the message"
		}
		c.die("421 4.4.2 "+c.g.Hostname+" "+text+", closing", why)
	}
}

// judge answers lines that are wrong as lines, and returns false for them.
func (c *Conn) judge(line []byte, fault lineFault) bool {
	reply := ""
	switch fault {
	case lineLF:
		reply = replyLine
		c.violation("bare LF in a command")
	case lineControl:
		reply = replyControl
	case lineLong:
		reply = replyLong
	case lineLongAuth:
		reply = replyLongAuth
	default:
		switch v, _ := splitVerb(line); v {
		case verbEHLO, verbHELO, verbMAIL, verbRCPT:
		default:
			if !isASCII(line) {
				reply = replyControl
			}
		}
	}
	switch {
	case reply == "":
		return true
	case c.sasl:
		c.cancelSASL(fault == lineLongAuth)
	case !c.tooBad():
		c.say(reply)
	}
	return false
}

// do answers a command inside TLS, or hands it to go-smtp (RFC 5321 §4.1.4 for their order).
func (c *Conn) do(v verb, arg []byte) {
	switch v {
	case verbEHLO, verbHELO:
		if name, ok := c.helloName(arg); ok {
			c.hand(v, append(append(append(c.line(), v.String()...), ' '), name...))
		}
	case verbMAIL, verbRCPT:
		c.envelope(v, string(arg))
	case verbDATA:
		switch {
		case len(arg) > 0:
			c.say(replyNoArg)
		case !c.mail:
			c.say("503 5.5.1 Send MAIL first")
		case c.rcpts == 0:
			c.say(replyNoRcpt)
		default:
			c.body = body{}
			c.hand(v, append(c.line(), "DATA"...))
		}
	case verbBDAT:
		c.bdat(arg)
	case verbRSET, verbQUIT, verbSTARTTLS:
		switch {
		case len(arg) > 0:
			c.say(replyNoArg)
		case v == verbQUIT:
			c.quit()
		case v == verbSTARTTLS:
			c.say("503 5.5.1 TLS is in use already")
		default:
			c.hand(v, append(c.line(), "RSET"...))
		}
	case verbAUTH:
		c.authCommand(string(arg))
	default:
		c.simple(v)
	}
}

// simple answers commands that change nothing and can come at any time.
func (c *Conn) simple(v verb) {
	switch v {
	case verbNOOP:
		c.say(replyOK)
	case verbVRFY: // RFC 5321 §3.5.3: the same for all names
		c.say(replyVerify)
	case verbHELP:
		c.say(replyHelp)
	case verbEXPN, verbOther:
		c.say(replyNotDone)
	case verbHTTP:
		c.http()
	default:
		if !c.tooBad() {
			c.say(replyUnknown)
		}
	}
}

// line is an empty line for go-smtp, to be appended to.
func (c *Conn) line() []byte { return c.buf().line[:0] }

// hand gives go-smtp a line.
func (c *Conn) hand(v verb, line []byte) {
	line = append(line, "\r\n"...)
	c.buf().line = line
	c.asked, c.give = v, line
}

// helloName is the name that a client gives itself, for go-smtp. Any will do: Exim, refused here, goes on without logging in, and
// its mail bounces. What is not ASCII has no place in it and is handed on as "?"; controls were refused with the whole line.
func (c *Conn) helloName(arg []byte) (string, bool) {
	name, _ := cutWord(string(arg))
	if name == "" {
		c.say("501 5.5.4 Syntax: EHLO hostname")
		return "", false
	}
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, name), true
}

// envelope answers MAIL and RCPT, or hands them on in a form that go-smtp cannot misread.
func (c *Conn) envelope(v verb, arg string) {
	switch {
	case !c.hello:
		c.say(replyHello)
	case v == verbMAIL && c.mail:
		c.say("503 5.5.1 A message has been begun already; send RSET first")
	case v == verbMAIL:
		line, utf8, refusal := c.appendMail(c.line(), arg)
		if refusal != nil {
			c.refuse(refusal)
			return
		}
		c.utf8 = utf8
		c.hand(v, line)
	case !c.mail:
		c.say("503 5.5.1 Send MAIL first")
	default:
		line, refusal := c.appendRcpt(c.line(), arg)
		if refusal != nil {
			c.refuse(refusal)
			return
		}
		c.hand(v, line)
	}
}

// authCommand answers AUTH, or hands it on (RFC 4954 §4).
func (c *Conn) authCommand(arg string) {
	mechanism, rest := cutWord(arg)
	initial, extra := cutWord(strings.TrimLeft(rest, " "))
	switch {
	case !c.hello:
		c.say(replyHello)
	case c.auth:
		c.say("503 5.5.1 Already logged in")
	case c.mail:
		c.say("503 5.5.1 Not inside a transaction; send RSET first")
	case mechanism == "":
		c.say("501 5.5.4 Syntax: AUTH mechanism")
	case extra != "":
		c.say("501 5.5.4 Too many arguments")
	case !isMechanism(mechanism):
		c.say("504 5.5.4 Unknown mechanism")
	case initial != "" && initial != "=" && !isBase64(initial):
		c.say("501 5.5.2 Invalid base64")
	default:
		line := append(append(c.line(), "AUTH "...), mechanism...)
		if initial != "" {
			line = append(append(line, ' '), initial...)
		}
		c.hand(verbAUTH, line)
	}
}

// saslLine hands on a response, or a cancellation for one that is no base64.
func (c *Conn) saslLine(line []byte) {
	if s := string(line); s != "*" && !isBase64(s) {
		c.cancelSASL(false)
		return
	}
	c.sasl = false
	c.hand(verbAUTH, append(c.line(), line...))
}

// cancelSASL makes go-smtp give AUTH up; the reply becomes one that fits.
func (c *Conn) cancelSASL(long bool) {
	c.sasl, c.saslLong, c.badBase64 = false, long, !long
	c.hand(verbAUTH, append(c.line(), '*'))
}

func isBase64(s string) bool {
	_, err := base64.StdEncoding.DecodeString(s)
	return err == nil
}

// isMechanism is sasl-mech of RFC 4422 §3.1.
func isMechanism(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return len(s) <= 20
}
