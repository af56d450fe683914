package sqlitespool

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// longestReply bounds what is kept of a reply and of a hop's name, in octets.
const longestReply = 512

// pastTry is one hop's word as the history keeps it: once for all recipients that it holds for.
type pastTry struct {
	To   []octets `json:"to"`
	TLS  string   `json:"tls,omitempty"`
	At   int64    `json:"at,omitempty"`   // milliseconds
	Took int64    `json:"took,omitempty"` // milliseconds
	result
}

// pastAttempt is spool.Attempt without what has columns of its own.
type pastAttempt struct {
	Destination octets    `json:"destination"`
	Tries       []pastTry `json:"tries"`
	Next        int64     `json:"next,omitempty"`
	Reports     []string  `json:"reports,omitempty"`

	Orders []pastOrder `json:"orders,omitempty"` // of a row that tells what was ordered, and of no attempt
}

// pastMessage is what the message's row said.
type pastMessage struct {
	Account   octets `json:"account,omitempty"`
	Arrived   int64  `json:"arrived"`
	Size      int64  `json:"size"`
	MessageID octets `json:"message_id,omitempty"`
	envelope
}

// past is a row of the history.
type past struct {
	message         string
	record, summary []byte
}

// newPast makes the row of a settlement. Whether its summary is needed is known only in the transaction.
func newPast(l *lease, t *spool.Settlement, undone bool) (*past, error) {
	tries := t.Tries
	if len(tries) == 0 {
		for _, r := range t.Results {
			tries = append(tries, spool.Try{Result: r})
		}
	}
	a := pastAttempt{Destination: octets(l.destination), Tries: mergeTries(tries)}
	for i := range t.Reports {
		a.Reports = append(a.Reports, t.Reports[i].Envelope.ID)
	}
	if undone {
		a.Next = t.Next.UnixMilli()
	}
	return makePast(&a, &t.Delivery.Envelope, l.message, l.messageID, !undone)
}

func makePast(a *pastAttempt, e *spool.Envelope, message string, messageID []byte, last bool) (p *past, err error) {
	p = &past{message: message}
	if p.record, err = json.Marshal(a); err == nil && last {
		p.summary, err = json.Marshal(pastMessage{Account: octets(e.Account), Arrived: e.Arrived.UnixMilli(), Size: e.Size, MessageID: octets(messageID), envelope: newEnvelope(e)})
	}
	return p, err
}

// mergeTries puts recipients that were told the same at the same time together.
func mergeTries(tries []spool.Try) []pastTry {
	all := make([]pastTry, 0, 1)
	for i := range tries {
		t := &tries[i]
		p := pastTry{To: []octets{octets(t.Address)}, TLS: t.TLS, Took: t.Took.Milliseconds(), result: *newResult(t.Result)}
		p.Hop, p.Text = clip(p.Hop), clip(p.Text)
		if !t.At.IsZero() {
			p.At = t.At.UnixMilli()
		}
		if n := len(all) - 1; n >= 0 && all[n].TLS == p.TLS && all[n].At == p.At && all[n].Took == p.Took && all[n].result == p.result {
			all[n].To = append(all[n].To, p.To[0])
			continue
		}
		all = append(all, p)
	}
	return all
}

// clip cuts between signs.
func clip(text octets) octets {
	if len(text) <= longestReply {
		return text
	}
	cut := longestReply
	for cut > longestReply-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

// insert writes the row; with last it is the message's end.
func (p *past) insert(b *batch, last bool) error {
	var ended any
	summary := []byte(nil)
	if last {
		ended, summary = b.now, p.summary
	}
	_, err := b.exec("INSERT INTO history (message, at, ended, record, summary, sum) VALUES (?,?,?,?,?,?)",
		p.message, b.now, ended, p.record, summary, sum([]byte(p.message), p.record, summary))
	b.totals.history++
	return err
}

// readPast takes the columns message, at, ended, record, summary, sum.
func readPast(message string, at, ended int64, record, summary []byte, checksum int64, story *spool.Story) error {
	if sum([]byte(message), record, summary) != checksum {
		return fmt.Errorf("%w: the checksum of the history is wrong", spool.ErrDamaged)
	}
	var a pastAttempt
	if err := json.Unmarshal(record, &a); err != nil {
		return fmt.Errorf("%w: history: %w", spool.ErrDamaged, err)
	}
	story.Orders = append(story.Orders, ordered(string(a.Destination), a.Orders)...)
	if len(a.Orders) == 0 {
		story.Attempts = append(story.Attempts, a.attempt(at))
	}
	if summary == nil {
		return nil
	}
	var m pastMessage
	if err := json.Unmarshal(summary, &m); err != nil {
		return fmt.Errorf("%w: history: %w", spool.ErrDamaged, err)
	}
	story.Envelope = m.envelope.envelope(message, string(m.Account), m.Arrived, m.Size)
	story.MessageID, story.Ended = string(m.MessageID), time.UnixMilli(ended)
	return nil
}

func (a *pastAttempt) attempt(at int64) spool.Attempt {
	all := spool.Attempt{At: time.UnixMilli(at), Destination: string(a.Destination), Reports: a.Reports}
	if a.Next != 0 {
		all.Next = time.UnixMilli(a.Next)
	}
	for i := range a.Tries {
		p := &a.Tries[i]
		for _, to := range p.To {
			t := spool.Try{Result: p.result.result(string(to)), TLS: p.TLS, Took: time.Duration(p.Took) * time.Millisecond}
			if p.At != 0 {
				t.At = time.UnixMilli(p.At)
			}
			all.Tries = append(all.Tries, t)
		}
	}
	return all
}

// removedPast is the row of a delivery that an operator has removed.
func removedPast(e *spool.Envelope, destination string, rs []recipient, messageID []byte) (*past, error) {
	a := pastAttempt{Destination: octets(destination)}
	reply := spool.Removal.Reply()
	r := result{Code: reply.Code, Enhanced: reply.EnhancedCode, Text: octets(reply.Message)}
	p := pastTry{To: []octets{}, result: r}
	for i := range rs {
		p.To = append(p.To, rs[i].Address)
	}
	a.Tries = []pastTry{p}
	return makePast(&a, e, e.ID, messageID, true)
}

// trimPiece is how many rows of the history go in one transaction: more than one can bring.
const trimPiece = batchChanges + 100

// trim removes one piece of what the history need not have any more, and tells whether there may be more.
func (b *batch) trim(keep time.Duration, rows int64) (more bool, err error) {
	var n int64
	switch over := b.totals.history - rows; {
	case b.totals.history <= 0:
		return false, nil
	case keep == 0:
		n, err = b.exec("DELETE FROM history WHERE n IN (SELECT n FROM history ORDER BY n LIMIT ?)", int64(trimPiece))
	case over > 0:
		n, err = b.exec("DELETE FROM history WHERE n IN (SELECT n FROM history ORDER BY n LIMIT ?)", min(over, trimPiece))
	default:
		// The rows of a message come in their order, so that the one that says when it ended goes last.
		n, err = b.exec("DELETE FROM history WHERE n IN (SELECT h.n FROM (SELECT message FROM history WHERE ended <= ? ORDER BY ended LIMIT ?) e CROSS JOIN history h ON h.message = e.message LIMIT ?)",
			b.now-keep.Milliseconds(), int64(trimPiece), int64(trimPiece))
	}
	b.totals.history -= n
	return n > 0, err
}

// tend is a change of nothing: what is old goes with it, though nothing else happens.
type tend struct{}

func (tend) weight() int                         { return 0 }
func (tend) durable() bool                       { return false }
func (tend) apply(*batch) (refused, fault error) { return nil, nil }
func (tend) applied()                            {}

// needle is how key stands in a record that is in lower case, as SQLite's lower() makes it: of ASCII letters only.
func needle(key string) string {
	text, err := json.Marshal(octets(key))
	if err != nil {
		return key
	}
	return lower(string(text))
}

func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
