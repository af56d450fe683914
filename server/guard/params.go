package guard

import (
	"math"
	"strconv"
	"strings"

	"github.com/emersion/go-smtp"
)

// Limits of parameters, in octets.
const (
	maxEnvID      = 100 // RFC 3461 §4.4
	maxORCPT      = 500 // RFC 3461 §4.2
	maxSizeDigits = 20  // RFC 1870 §4
)

// extensions are those that EHLO has offered on this connection, so that only their parameters are taken.
type extensions struct {
	dsn, utf8, requireTLS bool
}

func syntax(text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 4}, Message: text}
}

var (
	errUnknownParam = &smtp.SMTPError{Code: 555, EnhancedCode: smtp.EnhancedCode{5, 5, 4}, Message: "A parameter is not known here, or was not offered"}
	errTooLarge     = &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 3, 4}, Message: "The message is larger than this server takes"}
	errNeedsUTF8    = &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 6, 7}, Message: "An address that is not ASCII needs SMTPUTF8"}
)

// appendMail appends to dst the line that go-smtp is to see for MAIL with arg (RFC 5321 §4.1.1.2), and tells
// whether SMTPUTF8 was asked for.
func (c *Conn) appendMail(dst []byte, arg string) (line []byte, utf8 bool, refusal *smtp.SMTPError) {
	arg, ok := cutFold(arg, "FROM:")
	if !ok {
		return nil, false, syntax("Syntax: MAIL FROM:<address>")
	}
	path, rest, err := ParsePath(strings.TrimLeft(arg, " "))
	if err != nil {
		return nil, false, badPath(err, smtp.EnhancedCode{5, 1, 7})
	}
	dst = append(dst, "MAIL FROM:"...)
	dst = c.appendPath(dst, path)
	var seen params
	dst, refusal = seen.appendAll(dst, rest, c.mailParam)
	if refusal == nil && !seen.has("SMTPUTF8") && !path.ASCII() {
		refusal = errNeedsUTF8
	}
	return dst, seen.has("SMTPUTF8"), refusal
}

// appendRcpt is the same for RCPT (RFC 5321 §4.1.1.3).
func (c *Conn) appendRcpt(dst []byte, arg string) ([]byte, *smtp.SMTPError) {
	arg, ok := cutFold(arg, "TO:")
	if !ok {
		return nil, syntax("Syntax: RCPT TO:<address>")
	}
	path, rest, err := ParsePath(strings.TrimLeft(arg, " "))
	switch {
	case err != nil:
		return nil, badPath(err, smtp.EnhancedCode{5, 1, 3})
	case path.Null():
		return nil, badPath(errLocal, smtp.EnhancedCode{5, 1, 3})
	case !c.utf8 && !path.ASCII():
		return nil, errNeedsUTF8
	}
	dst = append(dst, "RCPT TO:"...)
	dst = c.appendPath(dst, path)
	var seen params
	return seen.appendAll(dst, rest, c.rcptParam)
}

func badPath(err error, code smtp.EnhancedCode) *smtp.SMTPError {
	text := err.Error()
	return &smtp.SMTPError{Code: 501, EnhancedCode: code, Message: strings.ToUpper(text[:1]) + text[1:]}
}

// appendPath appends a path so that go-smtp, which undoes quoting and knows no path without a domain,
// tells the Session what was written.
func (c *Conn) appendPath(dst []byte, p Path) []byte {
	dst = append(dst, '<')
	if !p.Null() {
		if p.Quoted() {
			dst = appendQuoted(dst, p.Local)
		} else {
			dst = append(dst, p.Local...)
		}
		dst = append(dst, '@')
		if p.Domain == "" {
			dst = append(dst, c.g.Hostname...) // <postmaster> is this host's: RFC 5321 §4.5.1
		} else {
			dst = append(dst, p.Domain...)
		}
	}
	return append(dst, '>')
}

// params are the keywords of one command so far, in upper case. There is room for all that are known.
type params struct {
	names [8]string
	n     int
}

func (s *params) has(name string) bool {
	for _, known := range s.names[:s.n] {
		if known == name {
			return true
		}
	}
	return false
}

// appendAll reads " KEY=VALUE KEY" and appends to dst what check makes of each. check answers with the keyword in upper
// case and the value to hand on; an empty keyword leaves the parameter out.
func (s *params) appendAll(dst []byte, rest string, check paramCheck) ([]byte, *smtp.SMTPError) {
	for rest != "" {
		if rest[0] != ' ' {
			return nil, syntax("A blank must stand between address and parameters")
		}
		var word string
		word, rest = cutWord(strings.TrimLeft(rest, " "))
		if word == "" {
			break
		}
		key, value, given := strings.Cut(word, "=")
		if !isKeyword(key) || given && value == "" || strings.IndexByte(value, '=') >= 0 {
			return nil, syntax("A parameter is malformed")
		}
		key = strings.ToUpper(key)
		if s.has(key) {
			return nil, syntax("A parameter is given twice")
		}
		value, drop, refusal := check(key, value, given)
		if refusal != nil {
			return nil, refusal
		}
		s.names[s.n] = key
		s.n++
		if drop {
			continue
		}
		dst = append(dst, ' ')
		dst = append(dst, key...)
		if value != "" {
			dst = append(dst, '=')
			dst = append(dst, value...)
		}
	}
	return dst, nil
}

// A paramCheck judges one parameter and returns the value to hand on, or that the parameter is not to be handed on.
type paramCheck func(key, value string, given bool) (handed string, drop bool, refusal *smtp.SMTPError)

func (c *Conn) mailParam(key, value string, given bool) (string, bool, *smtp.SMTPError) {
	upper := strings.ToUpper(value)
	switch {
	case key == "SIZE": // RFC 1870 §6
		return c.sizeParam(value)
	case key == "BODY": // RFC 6152 §2, RFC 3030 §3
		switch upper {
		case "7BIT", "8BITMIME":
			return upper, false, nil
		case "BINARYMIME":
			return "", false, &smtp.SMTPError{Code: 555, EnhancedCode: smtp.EnhancedCode{5, 5, 4}, Message: "BINARYMIME is not offered"}
		}
		return "", false, syntax("BODY must be 7BIT or 8BITMIME")
	case key == "SMTPUTF8" && c.ext.utf8: // RFC 6531 §3.4
		return flagParam(given)
	case key == "REQUIRETLS" && c.ext.requireTLS: // RFC 8689 §4.1
		return flagParam(given)
	case key == "RET" && c.ext.dsn: // RFC 3461 §4.3
		if upper != "FULL" && upper != "HDRS" {
			return "", false, syntax("RET must be FULL or HDRS")
		}
		return upper, false, nil
	case key == "ENVID" && c.ext.dsn: // RFC 3461 §4.4
		if plain, ok := decodeXtext(value); !ok || value == "" || len(value) > maxEnvID || !isPrintable(plain) {
			return "", false, syntax("ENVID must be xtext of 1 to 100 octets")
		}
		return value, false, nil
	case key == "AUTH": // RFC 4954 §5
		plain, ok := decodeXtext(value)
		if !ok || value == "" {
			return "", false, syntax("AUTH must be xtext")
		}
		// Nobody is trusted to vouch for another, so what is not an address is worth as much as <>.
		if p, err := ParseMailbox(plain); err != nil || p.Quoted() || p.Domain == "" || !p.ASCII() {
			return "<>", false, nil
		}
		return value, false, nil
	}
	return "", false, errUnknownParam
}

func (c *Conn) rcptParam(key, value string, given bool) (string, bool, *smtp.SMTPError) {
	switch {
	case key == "NOTIFY" && c.ext.dsn: // RFC 3461 §4.1
		value = strings.ToUpper(value)
		if !isNotify(value) {
			return "", false, syntax("NOTIFY must be NEVER, or a list of SUCCESS, FAILURE and DELAY")
		}
		return value, false, nil
	case key == "ORCPT" && c.ext.dsn: // RFC 3461 §4.2
		if !isORCPT(value) {
			return "", false, syntax("ORCPT must be rfc822; or utf-8; and an address in xtext, of no more than 500 octets")
		}
		return value, false, nil
	}
	return "", false, errUnknownParam
}

func (c *Conn) sizeParam(value string) (string, bool, *smtp.SMTPError) {
	if value == "" || len(value) > maxSizeDigits || strings.Trim(value, "0123456789") != "" {
		return "", false, syntax("SIZE must be a number of octets")
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if limit := c.g.MaxMessageSize; limit > 0 && (err != nil || n > uint64(limit)) {
		return "", false, errTooLarge
	}
	// go-smtp knows no larger number; without a limit it does not matter.
	return value, err != nil || n > math.MaxUint32, nil
}

func flagParam(given bool) (string, bool, *smtp.SMTPError) {
	if given {
		return "", false, syntax("A parameter has a value that takes none")
	}
	return "", false, nil
}

func isNotify(value string) bool {
	if value == "NEVER" {
		return true
	}
	seen := ""
	for word := range strings.SplitSeq(value, ",") {
		if word != "SUCCESS" && word != "FAILURE" && word != "DELAY" || strings.Contains(seen, word) {
			return false
		}
		seen += word
	}
	return true
}

func isORCPT(value string) bool {
	kind, addr, ok := strings.Cut(value, ";")
	if !ok || addr == "" || len(value) > maxORCPT {
		return false
	}
	switch strings.ToUpper(kind) {
	case "RFC822":
		plain, ok := decodeXtext(addr)
		return ok && plain != "" && isPrintable(plain)
	case "UTF-8":
		return isText(addr) // go-smtp reads the rest of RFC 6533 §3, and would split at blanks beyond ASCII
	}
	return false
}

// decodeXtext undoes RFC 3461 §4 xtext.
func decodeXtext(s string) (string, bool) {
	var plain []byte
	from := 0
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b == '+':
			if i+2 >= len(s) || !isUpperHex(s[i+1]) || !isUpperHex(s[i+2]) {
				return "", false
			}
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			plain = append(append(plain, s[from:i]...), byte(n))
			i += 2
			from = i + 1
		case b < '!' || b > '~' || b == '=':
			return "", false
		}
	}
	if from == 0 {
		return s, true
	}
	return string(append(plain, s[from:]...)), true
}

func isUpperHex(b byte) bool { return b >= '0' && b <= '9' || b >= 'A' && b <= 'F' }

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isKeyword is esmtp-keyword of RFC 5321 §4.1.2.
func isKeyword(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && (s[i] != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

func cutWord(s string) (word, rest string) {
	if i := strings.IndexByte(s, ' '); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}
