package dsn

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxText = 500 // octets of what others said; with what stands before it a line stays under 998 (RFC 5322 §2.1.1)

// line makes text that stays within its line and shows what it is: no controls, no marks that turn the direction of
// writing, no invalid UTF-8, bounded.
func line(s string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError, unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			return '?'
		}
		return r
	}, s)
	clean = strings.TrimSpace(clean)
	if len(clean) <= maxText {
		return clean
	}
	end := maxText
	for !utf8.RuneStart(clean[end]) {
		end--
	}
	return clean[:end] + "..."
}

// asciiLine is a line whose other letters are lost.
func asciiLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, line(s))
}

// address is a line that also keeps within angle brackets, unless they are quoted, where they do no harm.
func address(s string) string {
	clean := line(s)
	if strings.HasPrefix(clean, `"`) {
		return clean
	}
	return strings.Map(func(r rune) rune {
		if r == '<' || r == '>' || r == ' ' {
			return '?'
		}
		return r
	}, clean)
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// maxOriginalID is the longest Message-ID that is referred to.
const maxOriginalID = 250

// originalID is the Message-ID in a header, "" if there is none that is plain.
func originalID(content []byte) string {
	const name = "message-id:"
	for at := 0; at < len(content); {
		end := bytes.Index(content[at:], []byte("\r\n"))
		if end <= 0 {
			return ""
		}
		field := content[at : at+end]
		at += end + 2
		if len(field) < len(name) || !strings.EqualFold(string(field[:len(name)]), name) {
			continue
		}
		id := strings.TrimSpace(string(field[len(name):]))
		if len(id) > 2 && len(id) <= maxOriginalID && id[0] == '<' && id[len(id)-1] == '>' &&
			!strings.ContainsFunc(id[1:len(id)-1], func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' }) {
			return id
		}
		return ""
	}
	return ""
}
