package deliver

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/idna"
)

const (
	maxPath  = 1024 // octets of an address on the wire; RFC 5321 §4.5.3.1.3 has 256, UTF-8 and quoting need more
	maxEnvid = 100  // RFC 3461 §4.4
	maxOrcpt = 500  // RFC 3461 §4.2
)

// writable tells whether an address can stand between angle brackets without ending them or the line.
// It is the last look at an address before the wire: whatever was let in earlier, no command can be smuggled in here.
func writable(address string) bool {
	if len(address) > maxPath || !utf8.ValidString(address) {
		return false
	}
	rest := address
	if strings.HasPrefix(rest, `"`) {
		end := quotedEnd(rest)
		if end < 0 {
			return false
		}
		if rest = rest[end:]; !strings.HasPrefix(rest, "@") {
			return false
		}
	}
	for _, c := range rest {
		if c <= ' ' || c == 0x7f || strings.ContainsRune(`<>()",;\`, c) || 0x80 <= c && c < 0xa0 || c == 0x2028 || c == 0x2029 {
			return false
		}
	}
	return true
}

// quotedEnd returns the index after the quoted string that s begins with, -1 if it has no end or holds what it may not
// (RFC 5321 §4.1.2).
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c < ' ' || c == 0x7f:
			return -1
		case c == '\\':
			i++
			if i == len(s) || s[i] < ' ' || s[i] > '~' {
				return -1
			}
		}
	}
	return -1
}

// ascii returns the address with its domain in A-labels; ok is false if that is not enough to make it ASCII.
func ascii(address string) (_ string, ok bool) {
	if isASCII(address) {
		return address, true
	}
	at := strings.LastIndexByte(address, '@')
	if at < 0 || !isASCII(address[:at]) {
		return address, false
	}
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	return address[:at+1] + domain, err == nil && isASCII(domain)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendMail appends the MAIL command with what the hop offers of what the message wants.
func (c *conn) appendMail(b []byte, m *Message) []byte {
	from := m.From
	if !c.utf8 {
		from, _ = ascii(from)
	}
	b = append(append(append(b, "MAIL FROM:<"...), from...), '>')
	if c.offers("SIZE") && m.Size > 0 { // RFC 1870
		b = strconv.AppendInt(append(b, " SIZE="...), m.Size, 10)
	}
	if c.offers("8BITMIME") && m.Body == smtp.Body8BitMIME { // RFC 6152
		b = append(b, " BODY=8BITMIME"...)
	}
	if c.utf8 { // RFC 6531 §3.4
		b = append(b, " SMTPUTF8"...)
	}
	if m.RequireTLS { // RFC 8689 §4.2; allowed has seen that it is offered
		b = append(b, " REQUIRETLS"...)
	}
	if c.offers("DSN") {
		if m.Return == smtp.DSNReturnFull || m.Return == smtp.DSNReturnHeaders {
			b = append(append(b, " RET="...), m.Return...)
		}
		if id := xtext(m.EnvelopeID); id != "" && len(id) <= maxEnvid {
			b = append(append(b, " ENVID="...), id...)
		}
	}
	return append(b, crlf...)
}

// appendRcpt appends the RCPT command for one recipient.
func (c *conn) appendRcpt(b []byte, r *Recipient) []byte {
	to := r.Address
	if !c.utf8 {
		to, _ = ascii(to)
	}
	b = append(append(append(b, "RCPT TO:<"...), to...), '>')
	if c.offers("DSN") { // RFC 3461 §5.2.1: passed on as they came
		b = appendNotify(b, r.Notify)
		if o := c.original(r); o != "" && len(o) <= maxOrcpt {
			b = append(append(b, " ORCPT="...), o...)
		}
	}
	return append(b, crlf...)
}

func appendNotify(b []byte, notify []smtp.DSNNotify) []byte {
	sep := " NOTIFY="
	for _, n := range notify {
		switch n {
		case smtp.DSNNotifyNever, smtp.DSNNotifyDelayed, smtp.DSNNotifyFailure, smtp.DSNNotifySuccess:
			b = append(append(b, sep...), n...)
			sep = ","
		}
	}
	return b
}

// original is the value of ORCPT, "" if there is none.
func (c *conn) original(r *Recipient) string {
	switch {
	case r.Original == "":
		return ""
	case isASCII(r.Original):
		return "rfc822;" + xtext(r.Original)
	case !utf8.ValidString(r.Original):
		return ""
	case c.utf8:
		return "utf-8;" + utf8Address(r.Original, false)
	default:
		return "utf-8;" + utf8Address(r.Original, true)
	}
}

// xtext encodes text for ENVID and ORCPT (RFC 3461 §4).
func xtext(s string) string {
	if !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '+' || c == '=' }) {
		return s
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// utf8Address encodes an address for ORCPT's type utf-8 (RFC 6533 §3), with non-ASCII signs as \x{…} where the wire takes
// only ASCII.
func utf8Address(s string, wireASCII bool) string {
	var b strings.Builder
	for _, c := range s {
		if c <= ' ' || c == 0x7f || c == '\\' || c == '+' || c == '=' || c > '~' && (wireASCII || 0x80 <= c && c < 0xa0) {
			fmt.Fprintf(&b, `\x{%02X}`, c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}
