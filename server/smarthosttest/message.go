package smarthosttest

import (
	"errors"
	"fmt"
	"net/mail"
	"time"
)

// Root is the message taken apart. Like the other methods that read a message, it reads Raw anew at each call.
// A message that breaks the rules of MIME is read as far as it can be, and [Message.Err] says what is wrong with it.
func (m *Message) Root() *Part { return readTree(m.Raw) }

// Part is the part with this id, also if it is in a message within the message, or nil.
func (m *Message) Part(id string) *Part {
	for p := range m.Root().All() {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// Err is all that is wrong with the message as text and files: header, addresses, structure, encodings, charsets. It says nothing about messages within it.
func (m *Message) Err() error {
	root := m.Root()
	var faults []error
	root.walk(false, func(p *Part) bool {
		faults = append(faults, p.Err)
		if len(p.Parts) > 0 {
			return true
		}
		var err error
		if p.isBody() {
			_, err = p.Text()
		} else {
			_, err = p.Content()
		}
		faults = append(faults, err)
		return true
	})
	for _, name := range []string{"From", "To", "Cc", "Reply-To"} {
		_, err := root.Headers.addresses(name)
		faults = append(faults, err)
	}
	if date := root.Headers.body("Date"); date != "" {
		_, err := m.Date()
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Headers are the fields of the message's header, in their order. Those that the server puts on top are in Added.
func (m *Message) Headers() Headers {
	h, _, _ := readHeader(m.Raw)
	return h
}

// Header is the value of the first field of this name, decoded, or "".
func (m *Message) Header(name string) string { return m.Headers().First(name) }

// Subject is the decoded Subject.
func (m *Message) Subject() string { return m.Header("Subject") }

// MessageID is the Message-ID without angle brackets, or "".
func (m *Message) MessageID() string { return angled(m.Headers().body("Message-ID")) }

// Date is when the sender says that it was written.
func (m *Message) Date() (time.Time, error) {
	s := m.Headers().body("Date")
	if s == "" {
		return time.Time{}, errors.New("there is no Date")
	}
	t, err := mail.ParseDate(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("date %q: %w", clip(s), err)
	}
	return t, nil
}

// Text is all text/plain that is no file, in UTF-8, with \n for line breaks and lines of format=flowed joined (RFC 3676).
func (m *Message) Text() string { return m.Root().text() }

// HTML is all text/html that is no file, in UTF-8, with \n for line breaks.
func (m *Message) HTML() string { return m.Root().html() }

// Attachments are the parts that are neither Text nor HTML nor Inline: files, messages within the message, types that nobody knows.
func (m *Message) Attachments() []*Part {
	return m.Root().leaves(func(p *Part) bool { return !p.isBody() && !p.isInline() })
}

// Inline are the parts that are shown amid the text, such as the pictures of the HTML: those with a Content-ID, or of disposition "inline",
// that are not text themselves.
func (m *Message) Inline() []*Part { return m.Root().leaves((*Part).isInline) }
