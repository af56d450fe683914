package sqlitespool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

const (
	smallBuffer = 8 << 10  // what most mail fits in
	inline      = 64 << 10 // from here on a body is a file

	maxMessageID = 998 // octets that are kept: a line's length (RFC 5322 §2.1.1)
)

// small and large are the buffers of drafts.
var (
	small = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	large = sync.Pool{New: func() any { return new([inline]byte) }}
)

var errDraftOver = errors.New("the draft is committed or aborted")

// A draft is a message being received. Its memory is one buffer; when that is full it goes to the body file.
type draft struct {
	*enqueue
	s     *Spool
	small *[smallBuffer]byte
	large *[inline]byte
	buf   []byte // what is in the buffer
	out   *os.File
	crc   uint32
	err   error // final
}

// Create begins a message.
func (s *Spool) Create(ctx context.Context, e *spool.Envelope) (spool.Draft, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.space.check(); err != nil {
		return nil, err
	}
	c, err := s.newEnqueue(e)
	if err != nil {
		return nil, err
	}
	d := &draft{enqueue: c, s: s, small: small.Get().(*[smallBuffer]byte)}
	d.buf = d.small[:0]
	return d, nil
}

// newEnqueue makes the change that brings e, its content still missing.
func (s *Spool) newEnqueue(e *spool.Envelope) (*enqueue, error) {
	if !validID(e.ID) {
		return nil, fmt.Errorf("spool: %q is not an id", e.ID)
	}
	if len(e.Recipients) == 0 {
		return nil, errors.New("spool: a message needs a recipient")
	}
	c := &enqueue{s: s, envelope: *e}
	c.envelope.Recipients = nil
	var err error
	if c.record, err = encodeEnvelope(e); err != nil {
		return nil, err
	}
	destinations, members := group(e.Recipients)
	for i, d := range destinations {
		text, err := json.Marshal(members[i])
		if err != nil {
			return nil, err
		}
		c.rows = append(c.rows, row{d, text})
	}
	return c, nil
}

// validID tells whether an id can be a file's name. NewID makes such ids, and what is derived from them stays one.
func validID(id string) bool {
	if id == "" || len(id) > 100 || id[0] == '.' {
		return false
	}
	for _, c := range []byte(id) {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' {
			continue
		}
		return false
	}
	return true
}

// setArrived takes a time in the milliseconds that the row keeps; zero is now.
func (e *enqueue) setArrived(t time.Time) {
	if t.IsZero() {
		t = time.Now()
	}
	e.envelope.Arrived = time.UnixMilli(t.UnixMilli())
}

// setBody makes b the whole content. It is kept in the row whatever its size: a report is in memory anyway.
func (e *enqueue) setBody(b []byte) {
	e.body = append([]byte{}, b...)
	e.written, e.bodySum = int64(len(b)), int64(crc32.Checksum(b, castagnoli))
	e.envelope.Size = int64(len(b))
}

func (d *draft) Write(p []byte) (n int, err error) {
	if d.err != nil {
		return 0, d.err
	}
	for n < len(p) {
		if len(d.buf) == cap(d.buf) {
			if d.err = d.spill(); d.err != nil {
				return n, d.err
			}
		}
		part := p[n:min(len(p), n+cap(d.buf)-len(d.buf))]
		d.buf = append(d.buf, part...)
		n += len(part)
		d.written += int64(len(part))
	}
	d.crc = crc32.Update(d.crc, castagnoli, p)
	return n, nil
}

// spill makes room: in a larger buffer first, then in the body file.
func (d *draft) spill() error {
	if d.large == nil {
		d.large = large.Get().(*[inline]byte)
		d.buf = append(d.large[:0], d.buf...)
		small.Put(d.small)
		d.small = nil
		return nil
	}
	if err := d.s.space.check(); err != nil {
		return err
	}
	if d.out == nil {
		out, err := d.s.createBody(d.envelope.ID)
		if err != nil {
			return full(fmt.Errorf("body file: %w", err))
		}
		d.out = out
	}
	_, err := d.out.Write(d.buf)
	d.buf = d.buf[:0]
	return full(err)
}

// Commit makes the message durable.
func (d *draft) Commit(ctx context.Context, seal spool.Seal) error {
	if d.err != nil {
		return d.err
	}
	defer d.Abort()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.seal(&seal); err != nil {
		return err
	}
	if d.out != nil {
		if err := d.sync(); err != nil {
			return full(fmt.Errorf("body file: %w", err))
		}
		d.enqueue.file = true
	}
	err := d.s.submitPatiently(d.enqueue, seal.Patience)
	switch _, duplicate := errors.AsType[*spool.Duplicate](err); {
	case err == nil:
		d.out = nil // the file is the message's now
	case !duplicate && !errors.Is(err, spool.ErrFull):
		// A commit that failed half-way may come to light after a crash, so the file stays for the next start to decide.
		d.out = nil
	}
	return err
}

// seal takes what is known only now, and checks what could not be read back later.
func (d *draft) seal(seal *spool.Seal) error {
	cut, end := int64(0), int64(0)
	for _, r := range seal.Cut {
		if r.From < end || r.To < r.From || r.To > d.written {
			return fmt.Errorf("spool: cut %v is out of order or beyond the %d octets written", seal.Cut, d.written)
		}
		cut, end = cut+r.To-r.From, r.To
	}
	d.top = slices.Clone(seal.Top)
	if len(d.top) == 0 {
		d.top = nil
	}
	d.envelope.Size = int64(len(d.top)) + d.written - cut
	d.setArrived(seal.Arrived)
	d.messageID = []byte(spool.BareMessageID(seal.MessageID))
	if len(d.messageID) > maxMessageID {
		d.messageID = d.messageID[:maxMessageID]
	}
	if seal.Window > 0 {
		d.key, d.window = seal.Key, seal.Window
	}
	if d.out != nil {
		d.bodySum = int64(d.crc)
		if len(seal.Cut) > 0 {
			var err error
			d.cut, err = json.Marshal(seal.Cut)
			return err
		}
		return nil
	}
	d.body = make([]byte, 0, d.written-cut)
	from := int64(0)
	for _, r := range seal.Cut {
		d.body = append(d.body, d.buf[from:r.From]...)
		from = r.To
	}
	d.body = append(d.body, d.buf[from:]...)
	d.written, d.bodySum = int64(len(d.body)), int64(crc32.Checksum(d.body, castagnoli))
	return nil
}

// sync makes the body file durable: the content first, then its name.
func (d *draft) sync() error {
	if _, err := d.out.Write(d.buf); err != nil {
		return err
	}
	d.buf = d.buf[:0]
	begin := time.Now()
	if err := fdatasync(d.out); err != nil {
		return err
	}
	if err := d.out.Close(); err != nil {
		return err
	}
	if err := d.s.bodies.Sync(); err != nil {
		return err
	}
	d.s.metrics.syncBody.Observe(time.Since(begin).Seconds())
	return nil
}

// Abort forgets the draft.
func (d *draft) Abort() error {
	var err error
	if d.out != nil {
		d.out.Close()
		err = os.Remove(d.out.Name())
		d.out = nil
	}
	if d.small != nil {
		small.Put(d.small)
	}
	if d.large != nil {
		large.Put(d.large)
	}
	d.small, d.large, d.buf = nil, nil, nil
	if d.err == nil {
		d.err = errDraftOver
	}
	return err
}
