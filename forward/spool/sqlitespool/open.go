package sqlitespool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// Config says where the queue is.
type Config struct {
	// Dir is the folder; it is made if it is missing, with what is above it. Required.
	Dir string
	// Log takes faults and what was found damaged.
	Log zerolog.Logger
	// MinFree is the space in octets that is kept for results: with less of it no new mail is taken (spool.ErrFull). 0 = 64 MiB.
	// 16 MiB of it are a file that is given up when others have filled the disk.
	MinFree int64
	// History is how long the history of a message is kept after its end. 0 = none is written, and what there is goes.
	History time.Duration
	// HistoryRows is how many attempts the history has at most; the oldest go first. 0 = 1 million.
	HistoryRows int64
	// Listeners are told of events: what each of them wants is written down in the transaction that makes it true. nil: nothing is.
	Listeners Listeners
	// EventRows is how many events wait at most for all listeners together; the oldest are dropped. 0 = 100 000.
	EventRows int64
	// Metrics is where the queue's figures are registered by Open; nil: nowhere.
	Metrics prometheus.Registerer
}

// Listeners are those that are told of events.
type Listeners interface {
	// Names are all of them. What waits for others, from before a restart, is dropped.
	Names() []string
	// Want names those that want an event, of which ID and At are not set. It is called within transactions and must be quick.
	Want(e *spool.Event) []string
}

// Validate names all faults.
func (c *Config) Validate() error {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("sqlitespool: Dir is missing"))
	}
	if c.MinFree < 0 {
		faults = append(faults, fmt.Errorf("sqlitespool: MinFree is %d; it must not be negative", c.MinFree))
	}
	if c.History < 0 || c.HistoryRows < 0 {
		faults = append(faults, fmt.Errorf("sqlitespool: History is %v and HistoryRows %d; they must not be negative", c.History, c.HistoryRows))
	}
	if c.EventRows < 0 {
		faults = append(faults, fmt.Errorf("sqlitespool: EventRows is %d; it must not be negative", c.EventRows))
	}
	return errors.Join(faults...)
}

const (
	defaultMinFree     = 64 << 20
	defaultHistoryRows = 1_000_000
	database           = "queue.db"
	readConns          = 4
)

// Spool is the queue in a folder. It implements spool.Store.
type Spool struct {
	config  Config
	lock    *os.File
	bodies  *os.File // the folder, for Sync
	space   space
	cache   cache
	agenda  *agenda
	outbox  outbox
	readers *readers
	metrics *metrics

	claiming chan struct{} // holds a token while somebody claims, see claimDue
	rules    atomic.Pointer[[]spool.Rule]

	changes chan *ticket
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when the writer has ended
	closing sync.Once
	wg      sync.WaitGroup

	countMu  sync.Mutex
	counts   totals
	backlogs map[string]Backlog // by listener; each of them has one
}

// Open opens the queue, makes it if there is none, and recovers what a crash left: nothing is leased any more, body files without a message are removed.
// Errors say what to do: another process has the folder, the database is damaged, newer, or another program's.
// It is an Open and a Close instead of one Run because mail must not be taken before the first is through, nor after the last.
func Open(ctx context.Context, config Config) (*Spool, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.MinFree == 0 {
		config.MinFree = defaultMinFree
	}
	if config.HistoryRows == 0 {
		config.HistoryRows = defaultHistoryRows
	}
	if config.EventRows == 0 {
		config.EventRows = defaultEventRows
	}
	if err := os.MkdirAll(filepath.Join(config.Dir, "body"), 0o700); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	s := &Spool{config: config, agenda: newAgenda(time.Now()), claiming: make(chan struct{}, 1), space: space{dir: config.Dir, floor: uint64(max(config.MinFree-reserveSize, 0)), log: config.Log},
		changes: make(chan *ticket, batchChanges), stop: make(chan struct{}), stopped: make(chan struct{})}
	s.readers = newReaders(s.file())
	w, err := s.prepare(ctx)
	if err != nil {
		s.release()
		return nil, err
	}
	s.measure(config.Metrics)
	s.wg.Go(w.loop)
	return s, nil
}

// prepare does Open's work in the order in which each step may rely on the one before.
func (s *Spool) prepare(ctx context.Context) (*writer, error) {
	var err error
	if s.lock, err = lock(s.config.Dir); err != nil {
		return nil, err
	}
	if s.bodies, err = os.Open(filepath.Join(s.config.Dir, "body")); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	if _, err := sqlite.Fdatasync(true); err != nil {
		s.config.Log.Debug().Err(err).Msg("the queue syncs with fsync")
	}
	if info, err := os.Lstat(s.file()); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file; put the database itself there", s.file())
	}
	if err := private(s.file()); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	unclean := false
	if info, err := os.Stat(s.file() + "-wal"); err == nil && info.Size() > 0 {
		unclean = true
	}
	c, err := s.openWriter()
	if err != nil {
		return nil, err
	}
	w := &writer{s: s, conn: c, full: true}
	err = s.notLost(c)
	if err == nil {
		err = migrate(c, s.file(), unclean)
	}
	if err == nil {
		err = s.restore(c)
	}
	if err == nil {
		err = syncDirs(s.config.Dir)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return w, nil
}

func (s *Spool) file() string { return filepath.Join(s.config.Dir, database) }

func (s *Spool) openWriter() (*conn, error) {
	c, err := connect(context.Background(), s.file(), true)
	if err != nil {
		return nil, explain(s.file(), err)
	}
	if err := c.script(settings); err != nil {
		c.close()
		return nil, explain(s.file(), err)
	}
	return c, nil
}

// private makes the database's file, if it is missing, and keeps others from reading it: there are passwords of relays in it.
// SQLite gives those that it makes beside it the same mode.
func private(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Nothing is opened that is there already: to close it would end the locks that SQLite has on it in this process.
	for _, name := range []string{file, file + "-wal", file + "-shm"} {
		if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
			continue
		}
		if err := os.Chmod(name, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// notLost refuses an empty database beside body files: restore would take these for left-overs, though they are what is left of the mail.
func (s *Spool) notLost(c *conn) error {
	tables, err := c.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return explain(s.file(), err)
	}
	if tables > 0 {
		return nil
	}
	names, err := s.bodies.Readdirnames(-1)
	if err == nil {
		_, err = s.bodies.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !validID(name) })
	if n := len(names); n > 0 {
		return fmt.Errorf("%s is missing or empty, but the folder %s holds the bodies of %d mails, none of which was touched. Restore the database, or move the folder away to begin anew",
			s.file(), s.bodies.Name(), n)
	}
	return nil
}

// noteAll reads what is due.
func (s *Spool) noteAll(c *conn) error {
	s.agenda.restart()
	return c.query("SELECT destination, min(due) FROM delivery WHERE due IS NOT NULL GROUP BY destination", func(v []driver.Value) error {
		s.agenda.note(str(v[0]), integer(v[1]))
		return nil
	})
}

// restore reads what is due and removes body files without a message.
func (s *Spool) restore(c *conn) error {
	if err := c.query("SELECT messages, bytes, queued, waiting, held, damaged, history, events FROM total", func(v []driver.Value) error {
		s.counts = totals{integer(v[0]), integer(v[1]), integer(v[2]), integer(v[3]), integer(v[4]), integer(v[5]), integer(v[6]), integer(v[7])}
		return nil
	}); err != nil {
		return explain(s.file(), err)
	}
	if err := s.restoreEvents(c); err != nil {
		return explain(s.file(), err)
	}
	rules, err := readRules(c)
	if err != nil {
		return explain(s.file(), err)
	}
	s.rules.Store(&rules)
	if err := s.noteAll(c); err != nil {
		return explain(s.file(), err)
	}
	for {
		names, err := s.bodies.Readdirnames(1000)
		for _, name := range names {
			if err := s.sweep(c, name); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("queue: %w", err)
		}
	}
}

// sweep removes a body file whose message was never committed, or is settled.
func (s *Spool) sweep(c *conn, name string) error {
	if !validID(name) {
		s.config.Log.Warn().Str("file", name).Msg("the queue's body folder has a file that is not ours; it is left alone")
		return nil
	}
	n, err := c.number("SELECT count(*) FROM message WHERE id = ?", name)
	if err != nil {
		return explain(s.file(), err)
	}
	if n == 0 {
		if err := os.Remove(s.bodyFile(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("queue: %w", err)
		}
	}
	return nil
}

// syncDirs makes the names in the folder, and the folder itself, durable.
func syncDirs(dir string) error {
	for _, d := range []string{dir, filepath.Dir(dir)} {
		f, err := os.Open(d)
		if errors.Is(err, fs.ErrPermission) {
			continue // the folder above may be one that we may not read; it was made by somebody else then
		}
		if err != nil {
			return fmt.Errorf("queue: %w", err)
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return fmt.Errorf("queue: %w", err)
		}
	}
	return nil
}

// lock takes the folder for this process, or says who has it.
func lock(dir string) (*os.File, error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		pid := make([]byte, 20)
		n, _ := f.Read(pid)
		return nil, fmt.Errorf("%s is in use by process %s: stop that smarthost first, or give this one another data directory",
			dir, strings.ToValidUTF8(strings.TrimSpace(string(pid[:n])), "?"))
	}
	err = errors.Join(f.Truncate(0), writePID(f))
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

func writePID(f *os.File) error {
	_, err := fmt.Fprintln(f, os.Getpid())
	return err
}

// Close waits for what is being committed, and ends. Whoever waits in Claim gets an error; drafts that are still open can only be aborted.
func (s *Spool) Close() error {
	s.closing.Do(func() {
		close(s.stop)
		s.wg.Wait()
		s.release()
	})
	return nil
}

func (s *Spool) release() {
	s.readers.close()
	if s.bodies != nil {
		s.bodies.Close()
	}
	if s.lock != nil {
		s.lock.Close() // which unlocks
	}
}

func (s *Spool) counted() totals {
	s.countMu.Lock()
	defer s.countMu.Unlock()
	return s.counts
}

func (s *Spool) count(t totals) {
	s.countMu.Lock()
	defer s.countMu.Unlock()
	s.counts = t
}

var _ spool.Store = (*Spool)(nil)
