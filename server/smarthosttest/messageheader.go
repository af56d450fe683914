package smarthosttest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/seed-1397b510/smarthost/policy/message"
)

const maxFields = 1000 // of one header; what is beyond is left out

// A Field is one line of a header, however many lines of text it takes.
type Field struct {
	Name string // as it was sent
	Raw  []byte // the whole field as it was sent, its last line break left out
}

// Body is the field's value on one line (RFC 5322 §2.2.3), its encoded words as they were sent.
func (f Field) Body() string {
	_, body, _ := bytes.Cut(f.Raw, []byte(":"))
	return strings.Trim(unbroken.Replace(string(body)), " \t")
}

// Value is Body with its encoded words read (RFC 2047). Octets that are not UTF-8 are taken for windows-1252.
func (f Field) Value() string { return decodeWords(f.Body()) }

// unbroken takes line breaks out, and only those.
var unbroken = strings.NewReplacer("\r", "", "\n", "")

// Headers are the fields of a header, in their order. Names are compared without regard to case.
type Headers []Field

// First is the value of the first field of this name, decoded, or "".
func (h Headers) First(name string) string { return decodeWords(h.body(name)) }

// body is the first such field's value as it was sent.
func (h Headers) body(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return f.Body()
		}
	}
	return ""
}

// All returns the values of all fields of this name, decoded.
func (h Headers) All(name string) []string {
	var all []string
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			all = append(all, f.Value())
		}
	}
	return all
}

// Has tells whether there is a field of this name.
func (h Headers) Has(name string) bool { return h.count(name) > 0 }

func (h Headers) count(name string) (n int) {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			n++
		}
	}
	return n
}

// readHeader divides content into its header and its body. What cannot be a field ends the header without an empty line, so that nothing
// is in neither of the two.
func readHeader(content []byte) (fields Headers, body []byte, faults []error) {
	left := content
	for len(left) > 0 {
		line, rest := cutLine(left)
		text := trimBreak(line)
		name, isField := fieldName(text)
		switch {
		case len(text) == 0:
			return fields, rest, faults
		case len(fields) > 0 && (text[0] == ' ' || text[0] == '\t'):
			f := &fields[len(fields)-1]
			end := len(content) - len(rest)
			begin := len(content) - len(left) - len(f.Raw) - breakBefore(content, len(content)-len(left))
			f.Raw = content[begin : end-(len(line)-len(text))]
		case isField:
			fields = append(fields, Field{name, text})
		case bytes.HasPrefix(text, []byte("From ")) || bytes.HasPrefix(text, []byte(">From ")):
			faults = append(faults, fmt.Errorf("the header has a line of a mailbox file: %q", clip(string(text))))
		default:
			return fields, left, append(faults, fmt.Errorf("the header ends without an empty line before %q", clip(string(text))))
		}
		if len(content)-len(rest) > message.MaxHeader {
			return nil, content, append(faults, fmt.Errorf("the header is larger than %d KiB, and is shown as content", message.MaxHeader>>10))
		}
		if len(fields) > maxFields {
			return nil, content, append(faults, fmt.Errorf("the header has more than %d fields, and is shown as content", maxFields))
		}
		left = rest
	}
	return fields, nil, faults
}

// breakBefore is how many octets the line break before an offset has.
func breakBefore(content []byte, at int) int {
	return at - len(trimBreak(content[:at]))
}

// cutLine takes the first line off, with its line break.
func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i+1], b[i+1:]
	}
	return b, nil
}

// trimBreak takes one line break off the end.
func trimBreak(b []byte) []byte {
	b, ok := bytes.CutSuffix(b, []byte("\n"))
	if ok {
		b = bytes.TrimSuffix(b, []byte("\r"))
	}
	return b
}

// fieldName is the name of the field that begins with this line (RFC 5322 §3.6.8; blanks before the colon are the old form of §4.5.8).
func fieldName(line []byte) (string, bool) {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || len(name) == 0 {
		return "", false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return "", false
		}
	}
	return string(name), true
}
