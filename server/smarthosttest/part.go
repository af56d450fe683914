package smarthosttest

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// A Part is a message, or a part of one (RFC 2045, RFC 2046).
type Part struct {
	ID          string // "0" is the whole message; its parts are "1", "2" …, those of the second "2.1", "2.2" …
	Headers     Headers
	Type        string            // media type in lower case: "text/plain", which it is also if nothing or nothing valid is said (RFC 2045 §5.2)
	Params      map[string]string // of the type, decoded; names are in lower case
	Disposition string            // "inline", "attachment" or "" (RFC 2183); what is not known is "attachment"
	FileName    string            // decoded, as the sender says it: it may be anything, so do not write to it
	ContentID   string            // without angle brackets; "" = none
	Encoding    string            // transfer encoding in lower case; "" = not said
	Raw         []byte            // the part as it was sent, header included
	Body        []byte            // what follows the header, transfer encoding not undone
	Preamble    []byte            // of a multipart: what stands before its first part
	Parts       []*Part           // of a multipart, or the one that a message/rfc822 brings
	Epilogue    []byte            // of a multipart: what stands behind its last part
	Err         error             // all that is wrong with header and structure; what could be read is here all the same
}

// Content is what the part brings, transfer encoding undone. It is there, as far as it can be read, also beside an error.
func (p *Part) Content() ([]byte, error) {
	content, err := decodeTransfer(p.Body, p.Encoding)
	if err != nil {
		return content, fmt.Errorf("part %s, %s: %w", p.ID, p.Type, err)
	}
	return content, nil
}

// Size is how many octets Content has.
func (p *Part) Size() int {
	content, _ := p.Content()
	return len(content)
}

// Text is Content in UTF-8, with \n for line breaks. Lines of format=flowed are joined (RFC 3676). It is there, as far as it can be read, also beside an error.
func (p *Part) Text() (string, error) {
	content, err := p.Content()
	s, unreadable := decodeCharset(content, p.Params["charset"])
	if unreadable != nil {
		err = errors.Join(err, fmt.Errorf("part %s, %s: %w", p.ID, p.Type, unreadable))
	}
	s = strings.ReplaceAll(strings.TrimPrefix(s, "\uFEFF"), "\r\n", "\n")
	if p.Type == "text/plain" && strings.EqualFold(p.Params["format"], "flowed") {
		s = unflowed(s, strings.EqualFold(p.Params["delsp"], "yes"))
	}
	return s, err
}

// All goes over the part and all that are in it, each before those that are in it.
func (p *Part) All() iter.Seq[*Part] {
	return func(yield func(*Part) bool) { p.walk(true, yield) }
}

// walk is All, into messages that are in the message only on request.
func (p *Part) walk(embedded bool, yield func(*Part) bool) bool {
	if !yield(p) {
		return false
	}
	if !embedded && p.isMessage() {
		return true
	}
	for _, of := range p.Parts {
		if !of.walk(embedded, yield) {
			return false
		}
	}
	return true
}

// leaves are the parts that bring something themselves. A message in the message is one.
func (p *Part) leaves(is func(*Part) bool) []*Part {
	var all []*Part
	p.walk(false, func(of *Part) bool {
		if (len(of.Parts) == 0 || of.isMessage()) && is(of) {
			all = append(all, of)
		}
		return true
	})
	return all
}

func (p *Part) isMultipart() bool { return strings.HasPrefix(p.Type, "multipart/") }
func (p *Part) isMessage() bool   { return p.Type == "message/rfc822" || p.Type == "message/global" }

// isBody tells that this is text to be read, and no file.
func (p *Part) isBody() bool {
	return (p.Type == "text/plain" || p.Type == "text/html") && p.Disposition != "attachment" && p.FileName == ""
}

// isInline tells that this is shown amid the text: a picture that the HTML refers to.
func (p *Part) isInline() bool {
	return !p.isBody() && p.Disposition != "attachment" && (p.Disposition == "inline" || p.ContentID != "")
}

func (p *Part) text() string { return p.body("text/plain") }
func (p *Part) html() string { return p.body("text/html") }

// body is all text of this type that is no file.
func (p *Part) body(kind string) string {
	var s string
	for _, of := range p.leaves(func(of *Part) bool { return of.isBody() && of.Type == kind }) {
		if s != "" && !strings.HasSuffix(s, "\n") {
			s += "\n"
		}
		text, _ := of.Text()
		s += text
	}
	return s
}

// unflowed joins the lines that were broken for old readers, and takes off the blanks that protect some lines (RFC 3676 §4).
func unflowed(s string, delSp bool) string {
	var out strings.Builder
	open, depth := false, 0 // the last line goes on, and how often it is quoted
	for line := range strings.Lines(s) {
		text, broken := strings.CutSuffix(line, "\n")
		of := len(text) - len(strings.TrimLeft(text, ">"))
		text = strings.TrimPrefix(text[of:], " ")
		if open && of != depth {
			out.WriteByte('\n')
			open = false
		}
		if !open && of > 0 {
			out.WriteString(strings.Repeat(">", of) + " ")
		}
		open, depth = strings.HasSuffix(text, " ") && text != "-- ", of
		if open && delSp {
			text = text[:len(text)-1]
		}
		out.WriteString(text)
		if !open && broken {
			out.WriteByte('\n')
		}
	}
	return out.String()
}
