package guard

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
)

// maxReplyLine is RFC 5321 §4.5.3.1.5, in octets without CRLF.
const maxReplyLine = 510

// outSize is how much may wait to be written before it is written all the same.
const outSize = 4096

// Replies that are always the same.
const (
	replyHelp     = "214 2.0.0 Commands: EHLO MAIL RCPT DATA BDAT RSET NOOP AUTH QUIT"
	replyOK       = "250 2.0.0 Ok"
	replyVerify   = "252 2.0.0 Cannot verify, but will take mail for it and try"
	replyData     = "354 End data with <CR><LF>.<CR><LF>"
	replyLine     = "500 5.5.2 Lines must end with CR LF"
	replyControl  = "500 5.5.2 Control characters are not allowed in a command"
	replyBare     = "421 4.7.0 The message was malformed, so that its end is in doubt; closing"
	replyLong     = "500 5.5.2 The line is too long"
	replyLongAuth = "500 5.5.6 The line is too long"
	replyUnknown  = "500 5.5.2 Command not recognized"
	replyNoArg    = "501 5.5.4 The command takes no argument"
	replyNotDone  = "502 5.5.1 Command not implemented"
	replyHello    = "503 5.5.1 Send EHLO first"
	replyBusy     = "503 5.5.1 Not while a message is being sent with BDAT"
	replyNoRcpt   = "503 5.5.1 No recipient has been accepted"
	replyLocal    = "451 4.3.0 Local trouble; try again later"
	replyMustTLS  = "530 5.7.0 Must issue a STARTTLS command first"
)

// say queues one line. It goes out with the next flush.
func (c *Conn) say(line string) {
	if c.interceptor != nil {
		c.sayLines(line[:3], line[4:])
		return
	}
	c.replied(line[:3])
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.queue(line, "\r\n")
}

// sayLines queues a reply of several lines, all with code.
func (c *Conn) sayLines(code string, lines ...string) {
	if c.interceptor != nil {
		if a := c.interceptor.Reply(code, lines); a != nil {
			c.act(a)
			return
		}
	}
	c.replied(code)
	c.wmu.Lock()
	defer c.wmu.Unlock()
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		c.queue(code, sep, line, "\r\n")
	}
}

func (c *Conn) replied(code string) {
	if f := c.g.Hooks.Replied; f != nil {
		f(c, c.verb.String(), code)
	}
}

// queue appends what is to be written; wmu is held.
func (c *Conn) queue(parts ...string) {
	if c.out == nil {
		if c.out, _ = c.g.outs.Get().(*[]byte); c.out == nil {
			b := make([]byte, 0, outSize+maxReplyLine)
			c.out = &b
		}
	}
	for _, part := range parts {
		*c.out = append(*c.out, part...)
	}
	if len(*c.out) >= outSize {
		c.flushLocked()
	}
}

// refuse queues the reply that e stands for, in as many lines as it takes.
func (c *Conn) refuse(e *smtp.SMTPError) {
	enhanced := e.EnhancedCode
	if enhanced == smtp.EnhancedCodeNotSet || enhanced == smtp.NoEnhancedCode {
		enhanced = smtp.EnhancedCode{e.Code / 100, 0, 0}
	}
	prefix := fmt.Sprintf("%d.%d.%d ", enhanced[0], enhanced[1], enhanced[2])
	c.relay(strconv.Itoa(e.Code), prefix, bytes.Split([]byte(e.Message), []byte("\n")))
}

// relay queues texts as a reply, each line with code and enhanced code (RFC 2034 §4), none too long, nothing unprintable in it.
func (c *Conn) relay(code, enhanced string, texts [][]byte) {
	room := maxReplyLine - len(code) - 1 - len(enhanced)
	var lines []string
	for _, text := range texts {
		text = c.printable(text)
		for len(text) > room {
			cut := bytes.LastIndexByte(text[:room], ' ') + 1
			if cut == 0 {
				cut = room
			}
			lines = append(lines, enhanced+string(bytes.TrimRight(text[:cut], " ")))
			text = text[cut:]
		}
		lines = append(lines, enhanced+string(text))
	}
	c.sayLines(code, lines...)
}

// printable is text without what must not stand in a reply: controls, and octets above ASCII unless the client has asked
// for UTF-8 (RFC 6531 §3.7.4).
func (c *Conn) printable(text []byte) []byte {
	wide := c.utf8 && utf8.Valid(text)
	bad := func(b byte) bool { return isControl(b) || b >= 0x80 && !wide }
	if !slices.ContainsFunc(text, bad) {
		return text
	}
	text = bytes.Clone(text)
	for i, b := range text {
		if bad(b) {
			text[i] = '?'
		}
	}
	return text
}

// splitReply takes a whole reply of go-smtp's apart. It puts the enhanced code, with a blank, on the last line only.
func splitReply(reply []byte) (code, enhanced string, texts [][]byte) {
	for line := range bytes.Lines(reply) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) >= 4 {
			code = string(line[:3])
			texts = append(texts, line[4:])
		}
	}
	if len(texts) == 0 {
		return "", "", nil
	}
	last := texts[len(texts)-1]
	if n := enhancedLen(last); n > 0 && last[0] == code[0] {
		enhanced = string(last[:n]) + " "
		texts[len(texts)-1] = bytes.TrimPrefix(last[n:], []byte(" "))
	} else if code[0] != '3' {
		enhanced = code[:1] + ".0.0 "
	}
	return code, enhanced, texts
}

// enhancedLen is the length of the enhanced status code at the beginning of text (RFC 3463 §2), 0 if there is none.
func enhancedLen(text []byte) int {
	word := text
	if i := bytes.IndexByte(text, ' '); i >= 0 {
		word = text[:i]
	}
	dots := 0
	for i, b := range word {
		switch {
		case b == '.' && i > 0 && word[i-1] != '.':
			dots++
		case b < '0' || b > '9':
			return 0
		}
	}
	if dots != 2 || word[len(word)-1] == '.' {
		return 0
	}
	return len(word)
}
