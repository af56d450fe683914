package smarthosttest

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// parseParams reads "text/plain; charset=utf-8" (RFC 2045 §5.1) and "attachment; filename*0*=…" (RFC 2231), as far as it can be read.
// The value and the names of parameters are in lower case. The first of two parameters of one name counts.
func parseParams(s string) (value string, params map[string]string) {
	items := splitOutside(s, ";")
	value = strings.ToLower(strings.TrimSpace(withoutComments(items[0])))
	params = map[string]string{}
	pieces := map[string][]piece{}
	for _, item := range items[1:] {
		name, text, ok := strings.Cut(item, "=")
		name = strings.ToLower(strings.TrimSpace(withoutComments(name)))
		if !ok || name == "" {
			continue
		}
		if base, p, ok := continued(name, text); ok {
			pieces[base] = append(pieces[base], p)
		} else if _, twice := params[name]; !twice {
			params[name] = decodeWords(unquoted(text)) // encoded words in parameters are against RFC 2047 §5, and common
		}
	}
	for base, of := range pieces {
		params[base] = joined(of) // beside the plain form for old readers, this one counts
	}
	return value, params
}

// piece is one of name*0, name*1* … (RFC 2231 §3, §4).
type piece struct {
	number  int
	encoded bool
	text    string
}

// continued reads a parameter of RFC 2231.
func continued(name, text string) (base string, p piece, ok bool) {
	base, rest, ok := strings.Cut(name, "*")
	if !ok || base == "" {
		return "", p, false
	}
	rest, p.encoded = strings.CutSuffix(rest, "*")
	if rest == "" { // name*=…
		p.encoded = true
	} else {
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return "", p, false
		}
		p.number = n
	}
	p.text = unquoted(text)
	return base, p, true
}

// joined is what the pieces make together. The first one names the charset of all that are encoded.
func joined(of []piece) string {
	slices.SortStableFunc(of, func(a, b piece) int { return cmp.Compare(a.number, b.number) })
	charset := ""
	var octets []byte
	for i, p := range of {
		text := p.text
		if !p.encoded {
			octets = append(octets, text...)
			continue
		}
		if i == 0 {
			if parts := strings.SplitN(text, "'", 3); len(parts) == 3 {
				charset, text = parts[0], parts[2]
			}
		}
		octets = append(octets, unpercent(text)...)
	}
	s, _ := decodeCharset(octets, charset)
	return s
}

func unpercent(s string) []byte {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			octet, _ := hex.DecodeString(s[i+1 : i+3])
			out = append(out, octet...)
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return out
}

// splitOutside divides s at any of the separators that stand outside of quotes, comments and angle brackets (RFC 5322 §3.2).
// There is always one item, which may be empty.
func splitOutside(s, separators string) []string {
	var items []string
	begin, comment := 0, 0
	quoted, angle := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && (quoted || comment > 0):
			i++
		case c == '"' && comment == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			comment++
		case c == ')' && comment > 0:
			comment--
		case comment > 0:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case !angle && strings.IndexByte(separators, c) >= 0:
			items = append(items, s[begin:i])
			begin = i + 1
		}
	}
	return append(items, s[begin:])
}

// withoutComments leaves out (comments) that stand outside of quotes.
func withoutComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var out strings.Builder
	comment, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		escaped := c == '\\' && i+1 < len(s) && (quoted || comment > 0)
		switch {
		case !quoted && !escaped && c == '(':
			comment++
			continue
		case comment > 0 && !escaped && c == ')':
			comment--
			continue
		case comment == 0 && c == '"':
			quoted = !quoted
		}
		if escaped {
			i++
		}
		if comment == 0 {
			out.WriteByte(c)
			if escaped {
				out.WriteByte(s[i])
			}
		}
	}
	return out.String()
}

// unquoted takes blanks, quotes and backslashes off a value.
func unquoted(s string) string {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, `"`) {
		return strings.TrimSpace(withoutComments(s))
	}
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return out.String()
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		out.WriteByte(s[i])
	}
	return out.String() // the closing quote is missing
}
