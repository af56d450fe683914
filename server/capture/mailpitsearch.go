package capture

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

// searched is a message while it is searched.
type searched struct {
	*smarthosttest.Message
	read bool
}

// A term is one condition of a search.
type term func(searched) bool

// mailpitFind is the messages for which all terms of a search hold: words, "words in quotes", name:value, and each of these with - or ! before it
// for those for which it does not. Values are parts of what is searched, in any case of letters.
func (s *Server) mailpitFind(all []*smarthosttest.Message, search, zone string) ([]*smarthosttest.Message, error) {
	place := time.Local
	if zone != "" {
		var err error
		if place, err = time.LoadLocation(zone); err != nil {
			return nil, &Fault{Status: http.StatusBadRequest, What: "Error: tz " + web.Printable(zone) + " is not known here"}
		}
	}
	var terms []term
	for _, word := range searchWords(search) {
		is, err := word.term(place)
		if err != nil {
			return nil, err
		}
		terms = append(terms, is)
	}
	return filter(all, func(m *smarthosttest.Message) bool {
		for _, is := range terms {
			if !is(searched{m, s.read.has(m)}) {
				return false
			}
		}
		return true
	}), nil
}

// searchWord is name:value, or a value alone.
type searchWord struct {
	not         bool
	name, value string
}

// searchWords takes a search apart at blanks that are not in quotes.
func searchWords(search string) (words []searchWord) {
	quoted := false
	for _, text := range strings.FieldsFunc(search, func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return c == ' ' && !quoted
	}) {
		var w searchWord
		if of := strings.TrimLeft(text, "-!"); of != text {
			w.not, text = true, of
		}
		name, value, ok := strings.Cut(text, ":")
		if _, known := searchNames[strings.ToLower(name)]; ok && known {
			w.name, text = strings.ToLower(name), value
		}
		if w.value = strings.ToLower(strings.Trim(text, `"`)); w.value != "" {
			words = append(words, w)
		}
	}
	return words
}

// searchNames are the names of values, and what is searched for them.
var searchNames = map[string]func(searched) string{
	"to": searched.to, "from": searched.from, "cc": searched.cc, "bcc": searched.bcc, "reply-to": searched.replyTo, "addressed": searched.addressed,
	"subject": func(m searched) string { return m.Subject() }, "message-id": func(m searched) string { return m.MessageID() },
	"tag": nil, "is": nil, "has": nil, "after": nil, "before": nil, "larger": nil, "smaller": nil,
}

// term is the condition that a word is.
func (w searchWord) term(place *time.Location) (term, error) {
	is, err := w.condition(place)
	if err != nil || !w.not {
		return is, err
	}
	return func(m searched) bool { return !is(m) }, nil
}

func (w searchWord) condition(place *time.Location) (term, error) {
	switch w.name {
	case "":
		return func(m searched) bool { return strings.Contains(strings.ToLower(m.all()), w.value) }, nil
	case "tag":
		return func(searched) bool { return false }, nil
	case "is", "has":
		return w.state()
	case "after", "before":
		at, err := mailpitDate(w.value, place)
		return func(m searched) bool {
			if w.name == "after" {
				return m.Time.After(at)
			}
			return m.Time.Before(at)
		}, err
	case "larger", "smaller":
		size, err := sizeIn(w.value)
		return func(m searched) bool {
			if w.name == "larger" {
				return len(m.Raw) > size
			}
			return len(m.Raw) < size
		}, err
	}
	of := searchNames[w.name]
	return func(m searched) bool { return strings.Contains(strings.ToLower(of(m)), w.value) }, nil
}

func (w searchWord) state() (term, error) {
	switch w.name + ":" + strings.TrimSuffix(w.value, "s") {
	case "is:read":
		return func(m searched) bool { return m.read }, nil
	case "is:unread":
		return func(m searched) bool { return !m.read }, nil
	case "is:tagged":
		return func(searched) bool { return false }, nil
	case "has:attachment":
		return func(m searched) bool { return len(m.Attachments()) > 0 }, nil
	case "has:inline":
		return func(m searched) bool { return len(m.Inline()) > 0 }, nil
	}
	return nil, &Fault{Status: http.StatusBadRequest, What: "Error: " + web.Printable(w.name+":"+w.value) + " is not known here"}
}

func joined(of []mailpitAddress) string {
	var b strings.Builder
	for _, a := range of {
		b.WriteString(a.Name + " <" + a.Address + "> ")
	}
	return b.String()
}

func (m searched) from() string      { return joined(mailpitAddresses(m.Message.From())) }
func (m searched) to() string        { return joined(mailpitAddresses(m.Message.To())) }
func (m searched) cc() string        { return joined(mailpitAddresses(m.Message.Cc())) }
func (m searched) bcc() string       { return joined(mailpitBcc(m.Message)) }
func (m searched) replyTo() string   { return joined(mailpitAddresses(m.Message.ReplyTo())) }
func (m searched) addressed() string { return m.from() + m.to() + m.cc() + m.bcc() + m.replyTo() }

// all is what words alone are looked for in.
func (m searched) all() string {
	names := ""
	for _, p := range append(m.Attachments(), m.Inline()...) {
		names += p.FileName + " "
	}
	return strings.Join(strings.Fields(m.Subject()+" "+m.addressed()+names+m.Text()+" "+readable(m.HTML())), " ")
}

// mailpitDate is a date, or a date and a time.
func mailpitDate(text string, place *time.Location) (time.Time, error) {
	for _, form := range []string{"2006-01-02", "2006/01/02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.RFC3339} {
		if at, err := time.ParseInLocation(form, strings.ToUpper(text), place); err == nil {
			return at, nil
		}
	}
	return time.Time{}, &Fault{Status: http.StatusBadRequest, What: "Error: the date " + web.Printable(text) + " cannot be read; write 2026-11-24 or 2026-11-24T10:00:00Z"}
}

// sizeIn is a size in octets, written such as 10, 10K, 10KB or 2M.
func sizeIn(text string) (int, error) {
	number, unit := strings.TrimSuffix(text, "b"), 1
	for suffix, of := range map[string]int{"k": 1 << 10, "m": 1 << 20, "g": 1 << 30} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = n, of
			break
		}
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > 1<<40/unit {
		return 0, &Fault{Status: http.StatusBadRequest, What: fmt.Sprintf("Error: the size %s cannot be read; write 10K or 2M", web.Printable(text))}
	}
	return n * unit, nil
}
