package smarthosttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// A Message is one that was answered 250. It is not changed by anybody; its methods, in message.go, read what is in it.
type Message struct {
	ID       string         // which the client was told in the 250
	Seq      int            // 1, 2, 3 … in the order of arrival, over all users
	User     string         // who had logged in
	Envelope spool.Envelope // what SMTP said: reverse-path, recipients, DSN parameters, BODY
	Raw      []byte         // the content as it was sent, dot-stuffing undone, Bcc fields included
	Added    []byte         // the fields that the server puts on top of it, and a forwarded message has
	Bare     []spool.Range  // the Bcc fields in Raw, which a forwarded message has not
	Time     time.Time      // when it had come whole
	Session  string         // id of the session that brought it
}

// Forwarded is the message as the production server forwards it.
func (m *Message) Forwarded() []byte {
	whole := bytes.Clone(m.Added)
	from := int64(0)
	for _, cut := range m.Bare {
		whole = append(whole, m.Raw[from:cut.From]...)
		from = cut.To
	}
	return append(whole, m.Raw[from:]...)
}

var errDisk = errors.New("the storage is broken, as the test wants it to be")

// store keeps messages in memory. It is a server.Store.
type store struct {
	most       int   // messages that are kept
	mostOctets int64 // of them, and again of what is on its way in

	mu       sync.Mutex
	messages []*Message // in the order of Seq
	octets   int64      // of all messages
	coming   int64      // octets of all drafts
	seq      int
	sent     map[string]sent
	trouble  Trouble
	changed  chan struct{} // closed at the next change
}

// sent is the memory of the duplicate guard.
type sent struct {
	id    string
	until time.Time
}

func newStore(most int, octets int64) *store {
	return &store{most: most, mostOctets: octets, sent: map[string]sent{}, changed: make(chan struct{})}
}

// Create implements server.Store.
func (s *store) Create(_ context.Context, e *spool.Envelope) (spool.Draft, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.trouble {
	case StorageFull:
		return nil, fmt.Errorf("create: %w", spool.ErrFull)
	case StorageBroken:
		return nil, errDisk
	}
	return &draft{store: s, envelope: *e}, nil
}

// all returns the messages that match, in the order of arrival, and a channel that is closed when that may have changed.
func (s *store) all(match func(*Message) bool) ([]*Message, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var of []*Message
	for _, m := range s.messages {
		if match(m) {
			of = append(of, m)
		}
	}
	return of, s.changed
}

// remove forgets the messages that match, and returns how many there were. The duplicate guard forgets them too: who sends one of them
// again has it kept again.
func (s *store) remove(match func(*Message) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := map[string]bool{} // ids
	s.messages = slices.DeleteFunc(s.messages, func(m *Message) bool {
		if !match(m) {
			return false
		}
		s.octets -= int64(len(m.Raw))
		gone[m.ID] = true
		return true
	})
	if len(gone) > 0 {
		maps.DeleteFunc(s.sent, func(_ string, of sent) bool { return gone[of.id] })
		s.tell()
	}
	return len(gone)
}

// keep takes a message, for which the oldest give way if there are too many or too large ones; mu is held.
func (s *store) keep(m *Message) {
	s.messages = append(s.messages, m)
	s.octets += int64(len(m.Raw))
	over := 0
	for left := len(s.messages); left > s.most || left > 1 && s.octets > s.mostOctets; left-- {
		s.octets -= int64(len(s.messages[over].Raw))
		over++
	}
	s.messages = slices.Delete(s.messages, 0, over)
	s.tell()
}

// tell wakes all who wait for a change; mu is held.
func (s *store) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// draft is a message on its way in.
type draft struct {
	store    *store
	envelope spool.Envelope
	content  bytes.Buffer
	counted  int64 // octets of it in store.coming
}

// Write implements spool.Draft.
func (d *draft) Write(p []byte) (int, error) {
	s := d.store
	s.mu.Lock()
	full := s.trouble == StorageFilling || s.coming+int64(len(p)) > s.mostOctets
	if !full {
		s.coming += int64(len(p))
		d.counted += int64(len(p))
	}
	s.mu.Unlock()
	if full {
		return 0, fmt.Errorf("write: %w", spool.ErrFull)
	}
	return d.content.Write(p)
}

// leave counts the draft no more; the store's mu is held.
func (d *draft) leave() {
	d.store.coming -= d.counted
	d.counted = 0
}

// Commit implements spool.Draft: the message is there before the client is told so.
func (d *draft) Commit(ctx context.Context, seal spool.Seal) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	d.leave()
	if s.trouble == StorageFailing {
		return errDisk
	}
	if key := string(seal.Key); key != "" {
		if earlier, ok := s.sent[key]; ok && time.Now().Before(earlier.until) {
			return &spool.Duplicate{ID: earlier.id}
		}
		s.sent[key] = sent{d.envelope.ID, time.Now().Add(seal.Window)}
		if len(s.sent) > 2*s.most {
			maps.DeleteFunc(s.sent, func(_ string, earlier sent) bool { return time.Now().After(earlier.until) })
		}
	}
	s.seq++
	m := &Message{
		ID: d.envelope.ID, Seq: s.seq, User: d.envelope.Account, Envelope: d.envelope, Session: d.envelope.Session,
		Raw: d.content.Bytes(), Added: seal.Top, Bare: seal.Cut, Time: seal.Arrived,
	}
	m.Envelope.Arrived, m.Envelope.Size = seal.Arrived, int64(len(m.Forwarded()))
	s.keep(m)
	return nil
}

// Abort implements spool.Draft.
func (d *draft) Abort() error {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	d.leave()
	return nil
}
