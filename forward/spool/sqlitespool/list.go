package sqlitespool

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// listPage is how many entries one query reads: a reader that stays keeps the write-ahead log from being reused.
const listPage = 200

// readers lends out connections that only read.
type readers struct {
	file  string
	slots chan *conn // nil is a connection still to be made
	mu    sync.Mutex
	shut  bool
}

func newReaders(file string) *readers {
	r := &readers{file: file, slots: make(chan *conn, readConns)}
	for range readConns {
		r.slots <- nil
	}
	return r
}

func (r *readers) get(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil { // select may take a slot all the same
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case c, open := <-r.slots:
		if !open {
			return nil, errClosed
		}
		if c != nil {
			return c, nil
		}
		c, err := connect(ctx, r.file, false)
		if err == nil {
			if err = c.script("PRAGMA busy_timeout = 2000; PRAGMA query_only = 1; PRAGMA cache_size = -2048"); err != nil {
				c.close()
			}
		}
		if err != nil {
			r.put(nil)
			return nil, explain(r.file, err)
		}
		return c, nil
	}
}

func (r *readers) put(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.shut {
		r.slots <- c
	} else if c != nil {
		c.close()
	}
}

func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		return
	}
	r.shut = true
	close(r.slots)
	for c := range r.slots {
		if c != nil {
			c.close()
		}
	}
}

// listing is the SQL of a page. The order of the tables is given, because only we know which filter leaves least.
func listing(f spool.Filter, message, destination string) (sql string, args []any) {
	tables, id := "delivery d LEFT JOIN message m ON m.id = d.message", "d.message"
	where := []string{}
	if f.Account != "" {
		tables, id = "message m CROSS JOIN delivery d ON d.message = m.id", "m.id"
		where, args = append(where, "m.account = ?"), append(args, f.Account)
	}
	if f.Destination != "" {
		where, args = append(where, "d.destination = ?"), append(args, f.Destination)
	}
	if f.IDs != nil {
		ids, err := json.Marshal(f.IDs)
		if err != nil {
			ids = []byte("[]")
		}
		where, args = append(where, id+" IN (SELECT value FROM json_each(?))"), append(args, string(ids))
	}
	where = append(where, id+" >= ?", "("+id+" > ? OR d.destination > ?)")
	args = append(args, message, message, destination, int64(listPage))
	return "SELECT d.message, d.destination, d.due, d.state, d.attempts, d.recipients, d.sum, d.relay, d.fate, m.account, m.arrived, m.size, m.envelope, m.top, m.cut, m.sum, m.damaged FROM " +
		tables + " WHERE " + strings.Join(where, " AND ") + " ORDER BY " + id + ", d.destination LIMIT ?", args
}

// list yields what f chooses, a page at a time.
func (r *readers) list(ctx context.Context, f spool.Filter, now func(*spool.Entry)) iter.Seq2[spool.Entry, error] {
	return func(yield func(spool.Entry, error) bool) {
		n := 0
		for page, err := range r.pages(ctx, f, newSieve(&f, false)) {
			if err != nil {
				yield(spool.Entry{}, err)
				return
			}
			for _, e := range page {
				if now(&e); !f.Matches(&e) {
					continue
				}
				if !yield(e, nil) {
					return
				}
				if n++; n == f.Limit {
					return
				}
			}
		}
	}
}

// pages yields what the filter's ids, account and destination choose. A page may be empty.
func (r *readers) pages(ctx context.Context, f spool.Filter, s sieve) iter.Seq2[[]spool.Entry, error] {
	return func(yield func([]spool.Entry, error) bool) {
		message, destination := f.After, ""
		if f.After != "" {
			destination = "\U0010ffff" // after all destinations of that message
		}
		for {
			page, err := r.page(ctx, f, s, message, destination)
			if err != nil {
				yield(nil, fmt.Errorf("list the queue: %w", err))
				return
			}
			if !yield(page, nil) || len(page) < listPage {
				return
			}
			message, destination = page[len(page)-1].ID, page[len(page)-1].Destination
		}
	}
}

func (r *readers) page(ctx context.Context, f spool.Filter, s sieve, message, destination string) (page []spool.Entry, err error) {
	c, err := r.get(ctx)
	if err != nil {
		return nil, err
	}
	defer r.put(c)
	sql, args := listing(f, message, destination)
	err = c.query(sql, func(v []driver.Value) error {
		page = append(page, s.entry(v))
		return nil
	}, args...)
	return page, err
}

// newEntry takes the columns of listing. What is damaged is shown with what can be read.
func newEntry(v []driver.Value) spool.Entry {
	id, destination := str(v[0]), str(v[1])
	m := marks{str(v[7]), str(v[8])}
	e, errEnvelope := readEnvelope(id, v[9:])
	rs, errRecipients := decodeRecipients(id, destination, blob(v[5]), m, integer(v[6]))
	e.Recipients = recipientsOf(rs, destination)
	entry := spool.Entry{Envelope: e, Destination: destination, State: spool.State(str(v[3])), Attempts: int(integer(v[4])), Last: map[string]spool.Result{},
		Relay: spool.Relay(m.relay), Fate: spool.Fate(m.fate)}
	if v[2] != nil {
		entry.Due = time.UnixMilli(integer(v[2]))
	}
	if errEnvelope != nil || errRecipients != nil {
		entry.State = spool.Damaged
	}
	for i := range rs {
		if rs[i].Last != nil {
			entry.Last[string(rs[i].Address)] = rs[i].Last.result(string(rs[i].Address))
		}
	}
	if cause := str(v[16]); cause != "" {
		for _, r := range e.Recipients {
			entry.Last[r.Address] = damageResult(r.Address, cause)
		}
	}
	return entry
}

// damageResult tells why nothing is tried any more, where the last result otherwise stands.
func damageResult(address, cause string) spool.Result {
	r := spool.Result{Address: address}
	r.Reply.Code, r.Reply.EnhancedCode, r.Reply.Message = 451, [3]int{4, 3, 0}, cause
	return r
}

func (r *readers) stats(ctx context.Context) (t totals, oldest time.Time, err error) {
	c, err := r.get(ctx)
	if err != nil {
		return t, oldest, err
	}
	defer r.put(c)
	err = c.query("SELECT messages, bytes, queued, waiting, held, damaged, (SELECT arrived FROM message ORDER BY id LIMIT 1) FROM total", func(v []driver.Value) error {
		t = totals{messages: integer(v[0]), bytes: integer(v[1]), queued: integer(v[2]), waiting: integer(v[3]), held: integer(v[4]), damaged: integer(v[5])}
		if v[6] != nil {
			oldest = time.UnixMilli(integer(v[6]))
		}
		return nil
	})
	return t, oldest, err
}

func (t totals) stats(oldest time.Time) spool.Stats {
	return spool.Stats{Messages: int(t.messages), Bytes: t.bytes, Oldest: oldest, ByState: map[spool.State]int{
		spool.Queued: int(t.queued), spool.Waiting: int(t.waiting), spool.Held: int(t.held), spool.Damaged: int(t.damaged)}}
}

// List yields deliveries in the order of their ids. Those that are leased show the end of the lease.
func (s *Spool) List(ctx context.Context, f spool.Filter) iter.Seq2[spool.Entry, error] {
	return s.readers.list(ctx, f, s.showLease)
}

func (s *Spool) showLease(e *spool.Entry) {
	if until, leased := s.agenda.leasedUntil(e.ID, e.Destination); leased {
		e.State, e.Due = spool.Leased, until
	}
}

// Stats tells the counts that the writer keeps; it costs the same for a million messages as for one.
// Oldest is that of the message with the smallest id, which is the one that was begun first.
func (s *Spool) Stats(ctx context.Context) (spool.Stats, error) {
	t, oldest, err := s.readers.stats(ctx)
	if err != nil {
		return spool.Stats{}, fmt.Errorf("count the queue: %w", err)
	}
	leased := s.agenda.leasedFrom(&t)
	st := t.stats(oldest)
	st.ByState[spool.Leased] = leased
	return st, nil
}

// A Reader looks into a queue, also while another process serves it. It changes nothing, and knows nothing of leases:
// what is being delivered shows as queued or waiting.
type Reader struct{ readers *readers }

// OpenReadOnly opens the queue in dir for looking. errors.Is(err, fs.ErrNotExist): there is none.
func OpenReadOnly(dir string) (*Reader, error) {
	file := filepath.Join(dir, database)
	if _, err := os.Stat(file); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no queue in %s: %w", dir, err)
		}
		return nil, fmt.Errorf("queue: %w", err)
	}
	r := newReaders(file)
	v, err := r.format()
	switch {
	case err == nil && v == 0: // begun, and no more
		err = fmt.Errorf("there is no queue in %s: %w", dir, fs.ErrNotExist)
	case err == nil && v < version:
		err = fmt.Errorf("%s was last served by an older smarthost; start the server of this version once, which brings the queue up to date", file)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return &Reader{r}, nil
}

// Check tells whether Open would refuse the queue in dir for its format: another program's, or of a newer version. It takes no lock and
// changes nothing, so that it can be asked while another process serves the queue. A queue that is not there yet is fit.
// errors.Is(err, fs.ErrPermission): it may not be looked at.
func Check(dir string) error {
	file := filepath.Join(dir, database)
	if info, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err := unix.Access(file, unix.R_OK|unix.W_OK); err != nil {
		return fmt.Errorf("look at %s: %w", file, err)
	}
	r := newReaders(file)
	defer r.close()
	_, err := r.format()
	return err
}

// format is readFormat on one of the connections.
func (r *readers) format() (int64, error) {
	c, err := r.get(context.Background())
	if err != nil {
		return 0, err
	}
	defer r.put(c)
	return readFormat(c, r.file)
}

// List is spool.Store's List.
func (r *Reader) List(ctx context.Context, f spool.Filter) iter.Seq2[spool.Entry, error] {
	return r.readers.list(ctx, f, func(*spool.Entry) {})
}

// Stats is spool.Store's Stats.
func (r *Reader) Stats(ctx context.Context) (spool.Stats, error) {
	t, oldest, err := r.readers.stats(ctx)
	if err != nil {
		return spool.Stats{}, fmt.Errorf("count the queue: %w", err)
	}
	return t.stats(oldest), nil
}

// Close ends it.
func (r *Reader) Close() error {
	r.readers.close()
	return nil
}
