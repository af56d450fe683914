package smarthosttest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	maxDepth = 20   // parts in parts; what is deeper is not taken apart
	maxParts = 1000 // of one message; what follows is one part of type application/octet-stream
)

// tree reads one message.
type tree struct{ parts int }

// readTree takes a message apart. It always returns a part.
func readTree(raw []byte) *Part {
	return new(tree).part("0", raw, "text/plain", 0)
}

// part reads a part, whose type is the usual one unless it says something else.
func (t *tree) part(id string, raw []byte, usual string, depth int) *Part {
	t.parts++
	p := &Part{ID: id, Raw: raw}
	var faults []error
	p.Headers, p.Body, faults = readHeader(raw)
	faults = append(faults, p.describe(usual)...)
	if !p.isMultipart() && !p.isMessage() {
		p.fail(faults...)
		return p
	}
	if depth >= maxDepth {
		p.fail(append(faults, fmt.Errorf("parts are nested deeper than %d, and it is not taken apart", maxDepth))...)
		return p
	}
	if p.isMultipart() {
		faults = append(faults, t.multipart(p, depth)...)
	} else {
		content, _ := p.Content()
		p.Parts = []*Part{t.part(below(id, 1), content, "text/plain", depth+1)}
	}
	p.fail(faults...)
	return p
}

// below is the id of a part's nth part.
func below(id string, n int) string {
	if id == "0" {
		return strconv.Itoa(n)
	}
	return id + "." + strconv.Itoa(n)
}

func (p *Part) fail(faults ...error) {
	for _, err := range faults {
		p.Err = errors.Join(p.Err, fmt.Errorf("part %s, %s: %w", p.ID, p.Type, err))
	}
}

// describe reads what the header says of the body.
func (p *Part) describe(usual string) (faults []error) {
	for _, name := range []string{"Content-Type", "Content-Disposition", "Content-Transfer-Encoding", "Content-ID"} {
		if p.Headers.count(name) > 1 {
			faults = append(faults, fmt.Errorf("there are several fields %s, of which the first is read", name))
		}
	}
	p.Type, p.Params = parseParams(p.Headers.body("Content-Type"))
	if kind, sub, ok := strings.Cut(p.Type, "/"); !ok || !isToken(kind) || !isToken(sub) {
		if p.Headers.Has("Content-Type") {
			faults = append(faults, fmt.Errorf("Content-Type %q is no media type", clip(p.Headers.body("Content-Type"))))
			usual = "text/plain"
		}
		p.Type = usual
	}
	var params map[string]string
	p.Disposition, params = parseParams(p.Headers.body("Content-Disposition"))
	if p.Disposition != "" && p.Disposition != "inline" {
		p.Disposition = "attachment" // RFC 2183 §2.8
	}
	p.FileName = params["filename"]
	if p.FileName == "" {
		p.FileName = p.Params["name"]
	}
	p.ContentID = angled(p.Headers.body("Content-ID"))
	p.Encoding = strings.ToLower(strings.TrimSpace(withoutComments(p.Headers.body("Content-Transfer-Encoding"))))
	return faults
}

// angled takes the angle brackets off an id.
func angled(s string) string {
	s = strings.TrimSpace(withoutComments(s))
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?=`, r) })
}

// multipart divides the body at its boundary (RFC 2046 §5.1). Without one, the part is text, as RFC 2045 §5.2 has it of all that is not valid.
func (t *tree) multipart(p *Part, depth int) (faults []error) {
	boundary := strings.TrimRight(p.Params["boundary"], " ")
	sections, preamble, epilogue, closed := divide(p.Body, boundary)
	if len(sections) == 0 {
		of := p.Type
		p.Type = "text/plain"
		if boundary == "" {
			return []error{fmt.Errorf("it was sent as %s and has no boundary", of)}
		}
		return []error{fmt.Errorf("it was sent as %s, and no part of it begins with its boundary %q", of, clip(boundary))}
	}
	switch p.Encoding {
	case "", "7bit", "8bit", "binary":
	default:
		faults = append(faults, fmt.Errorf("a multipart must not have transfer encoding %q", clip(p.Encoding))) // RFC 2045 §6.4
		p.Encoding = ""
	}
	if !closed {
		faults = append(faults, fmt.Errorf("the closing boundary %q is missing", clip("--"+boundary+"--")))
	}
	p.Preamble, p.Epilogue = preamble, epilogue
	usual := "text/plain"
	if p.Type == "multipart/digest" {
		usual = "message/rfc822" // RFC 2046 §5.1.5
	}
	for i, of := range sections {
		id := below(p.ID, i+1)
		if t.parts >= maxParts {
			left := p.Body[of.from:sections[len(sections)-1].to]
			p.Parts = append(p.Parts, &Part{ID: id, Type: "application/octet-stream", Raw: left, Body: left})
			return append(faults, fmt.Errorf("the message has more than %d parts, of which the others are shown as one", maxParts))
		}
		p.Parts = append(p.Parts, t.part(id, p.Body[of.from:of.to], usual, depth+1))
	}
	return faults
}

// section is where a part stands in the body of its multipart.
type section struct{ from, to int }

// divide finds the parts between the lines that are the boundary. The line break before such a line belongs to it.
func divide(body []byte, boundary string) (sections []section, preamble, epilogue []byte, closed bool) {
	if boundary == "" {
		return nil, nil, nil, false
	}
	delimiter := []byte("--" + boundary)
	begin := -1 // of the part that is open
	at := 0     // of the line
	for at < len(body) {
		line, rest := cutLine(body[at:])
		next := len(body) - len(rest)
		tail, is := bytes.CutPrefix(line, delimiter)
		tail, last := bytes.CutPrefix(tail, []byte("--"))
		if is && len(bytes.TrimSpace(tail)) == 0 {
			end := max(len(trimBreak(body[:at])), begin)
			if begin >= 0 {
				sections = append(sections, section{begin, end})
			} else {
				preamble = body[:at]
			}
			if last {
				return sections, preamble, body[next:], true
			}
			begin = next
		}
		at = next
	}
	if begin >= 0 {
		sections = append(sections, section{begin, len(body)})
	}
	return sections, preamble, nil, false
}
