package deliver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
)

// What one reply of a hop may cost us.
const (
	maxReplyLines = 100      // more is no SMTP
	maxReplyLine  = 512      // octets kept of a line (RFC 5321 §4.5.3.1.5); the rest of it is skipped
	maxReplyTotal = 64 << 10 // octets read, skipped ones included
	maxReplyText  = 2 << 10  // octets of text handed on
)

// errReply means that what the hop sent is no SMTP reply; nothing that follows can be trusted.
var errReply = errors.New("not an SMTP reply")

// A reply is what a hop answered to one command (RFC 5321 §4.2).
type reply struct {
	code  int
	lines []string // text without the code, cleaned
}

func (r reply) ok() bool { return r.code/100 == 2 }

// readReply reads one reply.
func readReply(br *bufio.Reader) (reply, error) {
	var r reply
	total := 0
	for range maxReplyLines {
		line, n, err := readLine(br, maxReplyTotal-total)
		if err != nil {
			return reply{}, err
		}
		total += n
		code, more, ok := parseCode(line)
		if !ok || r.code != 0 && code != r.code {
			return reply{}, errReply
		}
		r.code = code
		r.lines = append(r.lines, clean(line[min(len(line), 4):]))
		if !more {
			return r, nil
		}
	}
	return reply{}, errReply
}

// readLine reads a line of at most limit octets and returns the first maxReplyLine of it without its end, and how many it had.
// Of all that hops send, only the LF counts as the end: a lone CR is text and will be cleaned away.
func readLine(br *bufio.Reader, limit int) (line []byte, n int, err error) {
	var kept [maxReplyLine]byte
	k := 0
	for {
		part, err := br.ReadSlice('\n')
		n += len(part)
		if n > limit {
			return nil, n, errReply
		}
		k += copy(kept[k:], part)
		switch {
		case err == nil:
			line = kept[:k]
			for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
				line = line[:len(line)-1]
			}
			return line, n, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil, n, io.ErrUnexpectedEOF
		default:
			return nil, n, err
		}
	}
}

// parseCode reads "250 text", "250-text" or "250".
func parseCode(line []byte) (code int, more, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' {
		return 0, false, false
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, false
		}
		code = code*10 + int(c-'0')
	}
	if len(line) == 3 {
		return code, false, true
	}
	return code, line[3] == '-', line[3] == '-' || line[3] == ' '
}

// smtpError makes the reply what a Result carries: one line of printable text, an enhanced code of the reply's class.
func (r reply) smtpError() smtp.SMTPError {
	e := smtp.SMTPError{Code: r.code, EnhancedCode: smtp.EnhancedCode{r.code / 100, 0, 0}}
	var text strings.Builder
	for i, line := range r.lines {
		// RFC 2034 §4: each line of a reply begins with the code.
		if code, rest, ok := cutEnhanced(line); ok && code[0] == r.code/100 {
			e.EnhancedCode, line = code, rest
		}
		if i > 0 && line != "" && text.Len() > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(line)
		if text.Len() > maxReplyText {
			break
		}
	}
	e.Message = cut(text.String(), maxReplyText)
	return e
}

// cutEnhanced splits "5.1.1 text" (RFC 3463 §2).
func cutEnhanced(s string) (code smtp.EnhancedCode, rest string, ok bool) {
	word, rest, _ := strings.Cut(s, " ")
	part, digits := 0, 0
	for _, c := range []byte(word) {
		switch {
		case c == '.' && digits > 0 && part < 2:
			part, digits = part+1, 0
		case '0' <= c && c <= '9' && digits < 3:
			code[part], digits = code[part]*10+int(c-'0'), digits+1
		default:
			return code, s, false
		}
	}
	return code, strings.TrimLeft(rest, " "), part == 2 && digits > 0
}

// clean makes octets from a hop printable text: what is no printable sign becomes a question mark, a tab a blank.
func clean(line []byte) string {
	plain := true
	for _, c := range line {
		if c < ' ' || c > '~' {
			plain = false
			break
		}
	}
	if plain {
		return string(line)
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\t':
			return ' '
		case c == utf8.RuneError || !unicode.IsPrint(c):
			return '?'
		default:
			return c
		}
	}, strings.ToValidUTF8(string(line), "?"))
}

// cut shortens text to at most n octets without splitting a sign.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func temporary(enhanced smtp.EnhancedCode, format string, a ...any) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 451, EnhancedCode: enhanced, Message: fmt.Sprintf(format, a...)}
}
