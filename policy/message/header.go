package message

import (
	"bytes"
	"crypto/sha256"
	"strings"
)

var crlf = []byte("\r\n")

// A Span is a part [From, To) of the content, in octets.
type Span struct{ From, To int64 }

// A Header is what stands in a message's header, as far as a submission server needs it.
type Header struct {
	Empty        bool     // there is no field at all; whatever goes on top must end with an empty line
	Received     int      // fields of that name
	By           []string // the servers that those name, as written (RFC 5321 §4.4)
	Date         bool
	HasMessageID bool
	MessageID    string            // of the first field of that name
	From         []string          // the bodies of the From fields, unfolded
	Sender       []string          // of the Sender fields
	Bcc          []Span            // the Bcc and Resent-Bcc fields
	Sum          [sha256.Size]byte // over all fields but Received and Date
}

// parse reads fields. A line that is no field, amid fields, is passed over, because some readers do so too and would
// then take what follows for fields.
func parse(header []byte) *Header {
	h := &Header{Empty: len(header) == 0 || bytes.HasPrefix(header, crlf)}
	sum := sha256.New()
	for at := 0; at < len(header); {
		end := fieldEnd(header, at)
		field := header[at:end]
		name := fieldName(field)
		value := field[min(len(field), bytes.IndexByte(field, ':')+1):]
		switch {
		case name == nil:
		case is(name, "Received"):
			h.Received++
			if by := receivedBy(value); by != "" {
				h.By = append(h.By, by)
			}
		case is(name, "Date"):
			h.Date = true
		case is(name, "Message-ID"):
			if !h.HasMessageID {
				h.HasMessageID, h.MessageID = true, strings.TrimSpace(unfold(value))
			}
		case is(name, "From"):
			h.From = append(h.From, strings.TrimSpace(unfold(value)))
		case is(name, "Sender"):
			h.Sender = append(h.Sender, strings.TrimSpace(unfold(value)))
		case is(name, "Bcc"), is(name, "Resent-Bcc"):
			h.Bcc = append(h.Bcc, Span{int64(at), int64(end)})
		}
		// A Date that a client writes anew when it sends the same message again does not make it another one: what its author
		// sends as another has another Message-ID (RFC 5322 §3.6.4).
		if !is(name, "Received") && !is(name, "Date") {
			sum.Write(field)
		}
		at = end
	}
	sum.Sum(h.Sum[:0])
	return h
}

// receivedBy is the name after "by" in a Received field (RFC 5321 §4.4), "" if there is none.
func receivedBy(value []byte) string {
	found := false
	for word := range bytes.FieldsSeq(value) {
		if found {
			return string(bytes.TrimRight(word, ";"))
		}
		found = bytes.EqualFold(word, []byte("by"))
	}
	return ""
}

// fieldEnd is where the field that begins at from ends, its continuation lines included (RFC 5322 §2.2.3).
func fieldEnd(header []byte, from int) int {
	for at := from; ; {
		i := bytes.Index(header[at:], crlf)
		if i < 0 {
			return len(header)
		}
		at += i + len(crlf)
		if at >= len(header) || header[at] != ' ' && header[at] != '\t' {
			return at
		}
	}
}

// fieldName is the name of the field that line begins, nil if it begins none. Blanks before the colon are taken, as
// RFC 5322 §4.5 asks.
func fieldName(line []byte) []byte {
	i := bytes.IndexByte(line, ':')
	if i < 0 {
		return nil
	}
	name := bytes.TrimRight(line[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return nil
		}
	}
	if len(name) == 0 {
		return nil
	}
	return name
}

func is(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

func unfold(value []byte) string {
	return strings.ReplaceAll(string(value), "\r\n", "")
}
