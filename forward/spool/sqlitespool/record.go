package sqlitespool

import (
	"encoding/json"
	"hash/crc32"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// octets is a string that may hold any octet. JSON strings cannot: what is not UTF-8 is kept as {"octets": base64}.
type octets string

func (o octets) MarshalJSON() ([]byte, error) {
	if plain(o) {
		return append(append(append(make([]byte, 0, len(o)+2), '"'), o...), '"'), nil
	}
	if utf8.ValidString(string(o)) {
		return json.Marshal(string(o))
	}
	return json.Marshal(map[string][]byte{"octets": []byte(o)})
}

// plain tells that JSON says it as it is.
func plain(o octets) bool {
	for i := range len(o) {
		switch c := o[i]; {
		case c < ' ' || c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

func (o *octets) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] != '{' {
		return json.Unmarshal(text, (*string)(o))
	}
	var raw struct{ Octets []byte }
	err := json.Unmarshal(text, &raw)
	*o = octets(raw.Octets)
	return err
}

// envelope is spool.Envelope as the row keeps it: without what has columns of its own and without the recipients.
type envelope struct {
	Session    string `json:"session,omitempty"`
	Device     octets `json:"device,omitempty"`
	From       octets `json:"from"`
	Return     string `json:"ret,omitempty"`
	EnvelopeID octets `json:"envid,omitempty"`
	Body       string `json:"body,omitempty"`
	UTF8       bool   `json:"utf8,omitempty"`
	RequireTLS bool   `json:"requiretls,omitempty"`
	Parent     string `json:"parent,omitempty"`
}

func newEnvelope(e *spool.Envelope) envelope {
	return envelope{Session: e.Session, Device: octets(e.Device), From: octets(e.From), Return: string(e.Return), EnvelopeID: octets(e.EnvelopeID),
		Body: string(e.Body), UTF8: e.UTF8, RequireTLS: e.RequireTLS, Parent: e.Parent}
}

func encodeEnvelope(e *spool.Envelope) ([]byte, error) { return json.Marshal(newEnvelope(e)) }

func decodeEnvelope(text []byte, id, account string, arrived, size int64) (spool.Envelope, error) {
	var r envelope
	err := json.Unmarshal(text, &r)
	return r.envelope(id, account, arrived, size), err
}

func (r *envelope) envelope(id, account string, arrived, size int64) spool.Envelope {
	return spool.Envelope{ID: id, Session: r.Session, Account: account, Device: string(r.Device), From: string(r.From), Return: smtp.DSNReturn(r.Return),
		EnvelopeID: string(r.EnvelopeID), Body: smtp.BodyType(r.Body), UTF8: r.UTF8, RequireTLS: r.RequireTLS, Arrived: time.UnixMilli(arrived), Size: size, Parent: r.Parent}
}

// recipient is an undone recipient with what became of it last.
type recipient struct {
	Address      octets   `json:"address"`
	Notify       []string `json:"notify,omitempty"`
	OriginalType string   `json:"type,omitempty"`
	Original     octets   `json:"orcpt,omitempty"`
	Last         *result  `json:"last,omitempty"`
}

type result struct {
	Hop      octets `json:"hop,omitempty"`
	Code     int    `json:"code"`
	Enhanced [3]int `json:"enhanced"`
	Text     octets `json:"text"`
}

func newResult(r spool.Result) *result {
	return &result{Hop: octets(r.Hop), Code: r.Reply.Code, Enhanced: r.Reply.EnhancedCode, Text: octets(r.Reply.Message)}
}

func (r *result) result(address string) spool.Result {
	return spool.Result{Address: address, Hop: string(r.Hop), Reply: smtp.SMTPError{Code: r.Code, EnhancedCode: r.Enhanced, Message: string(r.Text)}}
}

func newRecipient(r spool.Recipient) recipient {
	rec := recipient{Address: octets(r.Address), OriginalType: string(r.OriginalType), Original: octets(r.Original)}
	for _, n := range r.Notify {
		rec.Notify = append(rec.Notify, string(n))
	}
	return rec
}

func (r *recipient) recipient(destination string) spool.Recipient {
	rcpt := spool.Recipient{Address: string(r.Address), Destination: destination, OriginalType: smtp.DSNAddressType(r.OriginalType), Original: string(r.Original)}
	for _, n := range r.Notify {
		rcpt.Notify = append(rcpt.Notify, smtp.DSNNotify(n))
	}
	return rcpt
}

func recipientsOf(rs []recipient, destination string) []spool.Recipient {
	all := make([]spool.Recipient, len(rs))
	for i := range rs {
		all[i] = rs[i].recipient(destination)
	}
	return all
}

// group sorts recipients into deliveries, in the order in which the destinations first appear.
func group(rs []spool.Recipient) (destinations []string, members [][]recipient) {
	place := make(map[string]int)
	for _, r := range rs {
		i, known := place[r.Destination]
		if !known {
			i = len(destinations)
			place[r.Destination] = i
			destinations, members = append(destinations, r.Destination), append(members, nil)
		}
		members[i] = append(members[i], newRecipient(r))
	}
	return destinations, members
}

// sum is the CRC-32C of several pieces, each followed by its length, so that no octet can move from one to the next.
func sum(pieces ...[]byte) int64 {
	var crc uint32
	for _, p := range pieces {
		n := len(p)
		crc = crc32.Update(crc, castagnoli, p)
		crc = crc32.Update(crc, castagnoli, []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	}
	return int64(crc)
}

// marks are what operators have ordered for a delivery.
type marks struct{ relay, fate string }

// sumDelivery is the checksum of a delivery's row. Without marks it is the same as in version 1.
func sumDelivery(id, destination string, recipients []byte, m marks) int64 {
	if m == (marks{}) {
		return sum([]byte(id), []byte(destination), recipients)
	}
	return sum([]byte(id), []byte(destination), recipients, []byte(m.relay), []byte(m.fate))
}
