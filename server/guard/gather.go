package guard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-smtp"
)

// gather collects go-smtp's writes until they are a whole reply, and answers with it.
func (c *Conn) gather(p []byte) {
	if len(c.reply) > 0 || !isWholeReply(p) {
		c.reply = append(c.reply, p...)
		if !isWholeReply(c.reply) {
			return
		}
		p, c.reply = c.reply, nil
	}
	if !c.greets {
		c.greets = true // go-smtp's greeting; the guard has one of its own
		return
	}
	c.answer(splitReply(p))
}

// isWholeReply tells whether p ends with the last line of a reply (RFC 5321 §4.2.1).
func isWholeReply(p []byte) bool {
	if !bytes.HasSuffix(p, []byte("\n")) {
		return false
	}
	last := p[bytes.LastIndexByte(p[:len(p)-1], '\n')+1:]
	return len(last) >= 4 && last[3] == ' '
}

// answer makes of go-smtp's reply to c.asked the reply that the client gets, and learns from it what became of the command.
func (c *Conn) answer(code, enhanced string, texts [][]byte) {
	if code == "" {
		return
	}
	asked, well := c.asked, code[0] == '2'
	switch {
	case code == "421": // a panic, or the Session's wish: after 421 nothing follows (RFC 5321 §3.8)
		c.relay(code, enhanced, texts)
		c.die("", errServer)
	case c.body.active:
		c.contentAnswered(code, enhanced, texts)
	case asked == verbEHLO && well:
		c.reset()
		c.hello = true
		c.sayEHLO(texts)
	case asked == verbHELO && well:
		c.reset()
		c.hello, c.ext = true, extensions{}
		c.say("250 " + c.g.Hostname)
	case asked == verbMAIL && well:
		c.mail = true
		c.say("250 2.1.0 Sender ok")
	case asked == verbRCPT && well:
		c.rcpts++
		c.say("250 2.1.5 Recipient ok")
	case asked == verbRSET && well:
		c.reset()
		c.say(replyOK)
	case (asked == verbDATA || asked == verbBDAT) && code == "354":
		c.body.active = true
		if asked == verbDATA {
			c.say(replyData)
		}
	case asked == verbAUTH:
		c.authAnswered(code, enhanced, texts)
	case code == "451" && enhanced == "4.0.0 ": // go-smtp shows an error that is no SMTPError as it is
		c.say(replyLocal)
	default:
		c.relay(code, enhanced, texts)
	}
}

// sayEHLO answers EHLO with what go-smtp offers, and remembers what that is.
func (c *Conn) sayEHLO(texts [][]byte) {
	lines := append(make([]string, 0, len(texts)+1), c.g.Hostname)
	c.ext = extensions{}
	for _, text := range texts[1:] {
		line := string(text)
		keyword, _ := cutWord(line)
		switch keyword {
		case "SIZE":
			line = c.sizeKeyword()
		case "DSN":
			c.ext.dsn = true
		case "SMTPUTF8":
			c.ext.utf8 = true
		case "REQUIRETLS", "BINARYMIME", "STARTTLS", "RRVS", "DELIVERBY", "MT-PRIORITY":
			continue
		}
		lines = append(lines, line)
	}
	if c.g.MaxRecipients != nil {
		lines = append(lines, fmt.Sprintf("LIMITS RCPTMAX=%d", c.g.MaxRecipients()))
	}
	if c.g.RequireTLS {
		c.ext.requireTLS = true
		lines = append(lines, "REQUIRETLS")
	}
	c.sayLines("250", lines...)
}

// authAnswered brings the codes of AUTH in line with RFC 4954 §4 and §6.
func (c *Conn) authAnswered(code, enhanced string, texts [][]byte) {
	long, bad := c.saslLong, c.badBase64
	c.saslLong, c.badBase64 = false, false
	switch code {
	case "334":
		c.sasl = true
		c.sayLines(code, string(texts[0])) // base64, perhaps longer than a reply of words may be
		return
	case "235":
		c.auth = true
		c.LoggedIn()
		c.say("235 2.7.0 Logged in")
		return
	case "501":
		switch {
		case long:
			c.say(replyLongAuth)
			return
		case bad:
			c.say("501 5.5.2 Invalid base64")
			return
		case strings.HasPrefix(enhanced, "5.0.0"):
			c.say("501 5.7.0 Login cancelled")
			return
		}
	case "504":
		enhanced = "5.5.4 "
	case "535":
		c.failures++
	}
	c.relay(code, enhanced, texts)
}

// contentAnswered passes on what the Session made of a message. It cannot be yes unless Content was read to its end.
func (c *Conn) contentAnswered(code, enhanced string, texts [][]byte) {
	b := &c.body
	err, taken := b.err, b.taken
	defer c.reset()
	if b.scanner.flaw != clean {
		// Who wrote this content may disagree with us about where it ended: what follows could be content that reads like commands.
		defer c.die(replyBare, errBare)
	}
	*b = body{left: b.left}
	var refusal *smtp.SMTPError
	switch {
	case taken:
		return
	case code[0] != '2':
		if bytes.HasPrefix(texts[0], []byte("Error: transaction failed: ")) { // go-smtp shows an error that is no SMTPError as it is
			c.say(replyLocal)
			return
		}
		c.relay(code, enhanced, texts)
	case errors.Is(err, io.EOF):
		c.relay(code, enhanced, texts)
	case errors.As(err, &refusal):
		c.refuse(refusal)
	default:
		c.say(replyLocal) // the Session has not read what it says it has taken
	}
}
