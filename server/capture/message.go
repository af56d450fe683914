package capture

import (
	"cmp"
	"net/mail"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// A Summary is a message in a list.
type Summary struct {
	ID      string    `json:"id"`      // which the client was told in the 250
	Seq     int       `json:"seq"`     // 1, 2, 3 … in the order of arrival, over all users
	User    string    `json:"user"`    // who had logged in
	Session string    `json:"session"` // id
	Time    time.Time `json:"time"`    // when it had come whole
	From    string    `json:"from"`    // reverse-path of the envelope
	To      []string  `json:"to"`      // recipients of the envelope
	Subject string    `json:"subject"` // decoded
	Size    int       `json:"size"`    // octets as they were sent
}

// A Message is all that there is in one.
type Message struct {
	Summary
	Envelope    Envelope  `json:"envelope"`
	Hidden      []string  `json:"hidden"` // recipients that are in no To or Cc
	MessageID   string    `json:"message_id"`
	Headers     []Header  `json:"headers"` // in their order, decoded
	Addresses   Addresses `json:"addresses"`
	Text        string    `json:"text"`
	HTML        string    `json:"html"`
	Parts       []Part    `json:"parts"` // each before those in it
	Attachments []string  `json:"attachments"`
	Inline      []string  `json:"inline"`
	Links       []Link    `json:"links"`
	Codes       []string  `json:"codes"` // one-time codes
	Faults      string    `json:"faults"`
	Added       string    `json:"added"` // the fields that the production server would put on top
}

// An Envelope is what SMTP said besides sender and recipients.
type Envelope struct {
	Body       string      `json:"body"` // of MAIL: 8BITMIME, BINARYMIME or ""
	SMTPUTF8   bool        `json:"smtputf8"`
	Return     string      `json:"ret"` // FULL, HDRS or "" (RFC 3461)
	EnvelopeID string      `json:"envid"`
	Recipients []Recipient `json:"recipients"`
}

// A Recipient is one of an envelope.
type Recipient struct {
	Address  string   `json:"address"`
	Notify   []string `json:"notify"` // RFC 3461
	Original string   `json:"orcpt"`
}

// A Header is a field.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Addresses are those of the header's fields.
type Addresses struct {
	From    []Address `json:"from"`
	To      []Address `json:"to"`
	Cc      []Address `json:"cc"`
	ReplyTo []Address `json:"reply_to"`
}

// An Address is a mailbox with the name that it is shown with.
type Address struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// A Part is one of a message.
type Part struct {
	ID          string `json:"id"` // "0" is the whole message
	Type        string `json:"type"`
	Disposition string `json:"disposition"`
	FileName    string `json:"file_name"`
	ContentID   string `json:"content_id"`
	Size        int    `json:"size"`   // octets, decoded
	Faults      string `json:"faults"` // what is wrong with it
}

// A Link is something to click at.
type Link struct {
	URL  string `json:"url"`
	Text string `json:"text"` // what the HTML shows for it
}

// Links are those of a message, each once.
type Links struct {
	Links []Link `json:"links"`
}

// Codes are one-time codes of a message.
type Codes struct {
	Codes []string `json:"codes"`
}

func summary(m *smarthosttest.Message) Summary {
	return Summary{
		ID: m.ID, Seq: m.Seq, User: m.User, Session: m.Session, Time: m.Time, From: m.Envelope.From, To: recipients(m), Subject: m.Subject(), Size: len(m.Raw),
	}
}

func recipients(m *smarthosttest.Message) []string {
	to := make([]string, len(m.Envelope.Recipients))
	for i, r := range m.Envelope.Recipients {
		to[i] = r.Address
	}
	return to
}

func whole(m *smarthosttest.Message) Message {
	of := Message{
		Summary: summary(m), Envelope: envelope(m), Hidden: listed(m.HiddenRecipients()), MessageID: m.MessageID(), Headers: []Header{}, Parts: []Part{},
		Addresses: Addresses{addresses(m.From()), addresses(m.To()), addresses(m.Cc()), addresses(m.ReplyTo())},
		Text:      m.Text(), HTML: m.HTML(), Attachments: ids(m.Attachments()), Inline: ids(m.Inline()), Links: links(m), Codes: listed(m.Codes()),
		Faults: faultsIn(m.Err()), Added: string(m.Added),
	}
	for _, f := range m.Headers() {
		of.Headers = append(of.Headers, Header{f.Name, f.Value()})
	}
	for p := range m.Root().All() {
		of.Parts = append(of.Parts, Part{p.ID, p.Type, p.Disposition, p.FileName, p.ContentID, p.Size(), faultsIn(p.Err)})
	}
	return of
}

func links(m *smarthosttest.Message) []Link {
	all := []Link{}
	for _, l := range m.Links() {
		all = append(all, Link(l))
	}
	return all
}

func addresses(of []mail.Address) []Address {
	all := []Address{}
	for _, a := range of {
		all = append(all, Address(a))
	}
	return all
}

func ids(of []*smarthosttest.Part) []string {
	all := []string{}
	for _, p := range of {
		all = append(all, p.ID)
	}
	return all
}

func faultsIn(err error) string {
	if err == nil {
		return ""
	}
	return cmp.Or(strings.TrimSpace(err.Error()), "unknown")
}

// listed makes an empty list of none, so that it is [] in JSON.
func listed(of []string) []string {
	if of == nil {
		return []string{}
	}
	return of
}

func envelope(m *smarthosttest.Message) Envelope {
	e := &m.Envelope
	of := Envelope{Body: string(e.Body), SMTPUTF8: e.UTF8, Return: string(e.Return), EnvelopeID: e.EnvelopeID, Recipients: []Recipient{}}
	for _, r := range e.Recipients {
		notify := []string{}
		for _, n := range r.Notify {
			notify = append(notify, string(n))
		}
		of.Recipients = append(of.Recipients, Recipient{r.Address, notify, r.Original})
	}
	return of
}
