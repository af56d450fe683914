package sqlitespool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func spoolReply(code int) smtp.SMTPError {
	return smtp.SMTPError{Code: code, Message: "reply"}
}

// checklist 115, fault 49: a second process is told who has the folder and what to do.
func TestSecondInstanceIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(context.Background(), Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) || !strings.Contains(err.Error(), "stop that smarthost") {
		t.Fatalf("second open: %v", err)
	}
	s.Close()
	open(t, dir)
}

// checklist 115, fault 45: what cannot be read is refused with advice, and left as it is.
func TestUnreadableDatabaseIsRefusedAndKept(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"garbage": func(b []byte) []byte { return bytes.Repeat([]byte("garbage "), len(b)/8) },
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"header":  func(b []byte) []byte { b[0] ^= 1; return b },
		"schema":  func(b []byte) []byte { clear(b[100:4096]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			keep(t, s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{})
			s.Close()
			file := filepath.Join(dir, database)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b = spoil(b)
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err = Open(context.Background(), Config{Dir: dir, MinFree: 1})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), ".recover") {
				t.Errorf("no advice: %v", err)
			}
			if now, _ := os.ReadFile(file); !bytes.Equal(now, b) {
				t.Error("the file was changed")
			}
		})
	}
}

// fault 67: the queue of a newer version is refused with reason; so is another program's database.
func TestForeignDatabaseIsRefused(t *testing.T) {
	for sql, want := range map[string]string{
		"PRAGMA user_version = 7":       "newer smarthost (format 7, this one knows 6)",
		"PRAGMA application_id = 12345": "another program",
	} {
		dir := t.TempDir()
		if err := Check(dir); err != nil {
			t.Errorf("no queue yet: %v", err)
		}
		s := open(t, dir)
		if err := Check(dir); err != nil {
			t.Errorf("a queue that is served: %v", err)
		}
		s.Close()
		c, err := connect(context.Background(), filepath.Join(dir, database), true)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.script(sql), c.close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", sql, err)
		}
		if err := Check(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s, checked: %v", sql, err)
		}
	}
}

// A first start that was cut off before the tables were there has left a database that is nobody's yet. It is no other program's.
func TestBegunDatabaseIsTaken(t *testing.T) {
	dir := t.TempDir()
	c, err := connect(context.Background(), filepath.Join(dir, database), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.script(settings), c.close()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, database)); err != nil || info.Size() == 0 {
		t.Fatalf("nothing was begun: %v", err)
	}
	if err := Check(dir); err != nil {
		t.Errorf("checked: %v", err)
	}
	if _, err := OpenReadOnly(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("looked at: %v", err)
	}
	open(t, dir)
}

// fault 40: body files without a message are removed at start, foreign files and links are not followed or touched.
func TestStartSweepsBodyFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	e := letter("bob@a.example", "a.example")
	keep(t, s, e, make([]byte, 100_000), spool.Seal{})
	s.Close()
	for _, name := range []string{spool.NewID(), spool.NewID(), "not ours"} {
		if err := os.WriteFile(filepath.Join(dir, "body", name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	var names []string
	entries, _ := os.ReadDir(filepath.Join(dir, "body"))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != 2 || names[0] != e.ID || names[1] != "not ours" {
		t.Errorf("left: %q", names)
	}
}

// fault 57: a link planted where a body will be is neither followed nor replaced.
func TestPlantedLinkIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := letter("bob@a.example", "a.example")
	if err := os.Symlink(victim, s.bodyFile(e.ID)); err != nil {
		t.Fatal(err)
	}
	if err := commit(s, e, make([]byte, 200_000), spool.Seal{}); err == nil {
		t.Error("committed through a link")
	}
	if b, _ := os.ReadFile(victim); string(b) != "precious" {
		t.Error("the link was followed")
	}
}

// fault 42: under the floor no mail is taken, what is there is delivered.
func TestFullDiskTakesNoMailAndDelivers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	keep(t, s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{})
	s.Close()
	s, err := Open(context.Background(), Config{Dir: dir, MinFree: math.MaxInt64})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Create(context.Background(), letter("bob@a.example", "a.example")); !errors.Is(err, spool.ErrFull) {
		t.Errorf("create: %v", err)
	}
	deliverAll(t, s, 1)
}

func deliverAll(t *testing.T, s *Spool, n int) {
	t.Helper()
	for range n {
		ds, err := s.Claim(context.Background(), spool.Query{Max: 1, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			var rs []spool.Result
			for _, r := range d.Recipients {
				rs = append(rs, spool.Result{Address: r.Address, Reply: spoolReply(250)})
			}
			if err := s.Settle(context.Background(), spool.Settlement{Delivery: d, Results: rs}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if st, err := s.Stats(context.Background()); err != nil || st.Messages != 0 {
		t.Errorf("left: %+v, %v", st, err)
	}
}

// onWriter runs f in the writer's goroutine, inside a transaction.
type onWriter func(b *batch) error

func (f onWriter) weight() int                           { return 0 }
func (f onWriter) durable() bool                         { return false }
func (f onWriter) apply(b *batch) (refused, fault error) { return nil, f(b) }
func (f onWriter) applied()                              {}

// fault 42: when the database itself can grow no more, commits say so, nothing is half kept, and results still get through.
func TestFullDatabase(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.submit(onWriter(func(b *batch) error {
		_, err := b.number("PRAGMA max_page_count = 60")
		return err
	})); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; n < 100; n++ {
		err := commit(s, letter("bob@a.example", "a.example"), make([]byte, 30_000), spool.Seal{})
		if errors.Is(err, spool.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 || n == 100 {
		t.Fatalf("full after %d", n)
	}
	if err := commit(s, letter("bob@a.example", "a.example"), make([]byte, 30_000), spool.Seal{}); !errors.Is(err, spool.ErrFull) {
		t.Errorf("the next one: %v", err)
	}
	if st, err := s.Stats(context.Background()); err != nil || st.Messages != n {
		t.Errorf("%d were kept, counted: %+v, %v", n, st, err)
	}
	deliverAll(t, s, n)
	keep(t, s, letter("bob@a.example", "a.example"), make([]byte, 30_000), spool.Seal{})
}

// fault 43: after a failed commit nothing is acknowledged until the database has been opened again; what was kept is still there.
func TestFailedCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		keep(t, s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{})
		broken := errors.New("input/output error")
		e := letter("bob@a.example", "a.example")
		change, err := s.newEnqueue(e)
		if err != nil {
			t.Fatal(err)
		}
		change.setBody([]byte("y"))
		// The mail is written, then the transaction breaks: neither is there.
		err = s.submit(onWriter(func(b *batch) error {
			if _, err := change.apply(b); err != nil {
				return err
			}
			return broken
		}))
		if !errors.Is(err, broken) {
			t.Fatalf("submit: %v", err)
		}
		time.Sleep(reopenPause)
		keep(t, s, letter("bob@a.example", "a.example"), []byte("z"), spool.Seal{})
		if st, err := s.Stats(context.Background()); err != nil || st.Messages != 2 {
			t.Errorf("%+v, %v", st, err)
		}
		if _, err := s.Body(context.Background(), e.ID); !errors.Is(err, spool.ErrNotFound) {
			t.Errorf("the failed mail: %v", err)
		}
		deliverAll(t, s, 2)
	})
}

// fault 43: as long as the database cannot be opened again, commits fail; later they work.
func TestReopenIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		other, err := connect(context.Background(), filepath.Join(dir, database), true)
		if err != nil {
			t.Fatal(err)
		}
		defer other.close()
		if err := other.script("BEGIN IMMEDIATE"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if commit(s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{}) == nil {
				t.Error("committed past a lock")
			}
		}
		if err := other.script("ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(reopenPause)
		keep(t, s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{})
		deliverAll(t, s, 1)
	})
}

func TestFullErrors(t *testing.T) {
	for err, want := range map[error]bool{
		&os.PathError{Err: syscall.ENOSPC}: true, &os.PathError{Err: syscall.EDQUOT}: true, &os.PathError{Err: syscall.EIO}: false, errors.New("x"): false,
	} {
		if errors.Is(full(err), spool.ErrFull) != want {
			t.Errorf("full(%v)", err)
		}
	}
}

// fault 48: a body of 50 MiB passes in and out in less than 1 MiB of allocations.
func TestLargeBodyTakesLittleMemory(t *testing.T) {
	const size = 50 << 20
	s := open(t, t.TempDir())
	piece := make([]byte, 32<<10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e := letter("bob@a.example", "a.example")
	d, err := s.Create(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	for range size / len(piece) {
		if _, err := d.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Commit(context.Background(), spool.Seal{Top: []byte("top\r\n")}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Body(context.Background(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for err == nil {
		var m int
		m, err = r.Read(piece)
		n += m
	}
	r.Close()
	runtime.ReadMemStats(&after)
	if err != io.EOF || n != size+5 {
		t.Errorf("read %d octets, %v", n, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("allocated %d KiB", used>>10)
	}
}

// The cache keeps the messages that are delivered next, in its bounds, and does not let those that nobody asks for stay for ever.
func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c cache
		put := func(from, to int) {
			for i := from; i < to; i++ {
				c.put(&kept{envelope: spool.Envelope{ID: fmt.Sprint(i)}, body: make([]byte, 50_000)})
			}
		}
		has := func(when string, id int, want bool) {
			t.Helper()
			if got := c.get(fmt.Sprint(id)) != nil; got != want {
				t.Errorf("%s: message %d is there: %t", when, id, got)
			}
			total := 0
			for _, k := range c.byID {
				total += k.octets()
			}
			if total != c.octets || total > cacheOctets || len(c.order) > 2*len(c.byID)+64 {
				t.Errorf("%s: %d octets, counted %d, of %d messages with %d ids", when, total, c.octets, len(c.byID), len(c.order))
			}
		}
		put(0, 2000)
		has("full", 0, true)
		has("full", 1999, false)
		c.drop("0")
		put(2000, 2002)
		has("with room for one", 2000, true)
		has("with room for one", 2001, false)
		for i := range 2000 { // a thousand come and go
			put(10_000+i, 10_001+i)
			c.drop(fmt.Sprint(10_000 + i))
		}
		has("after others", 1, true)
		time.Sleep(cacheAge)
		put(20_000, 20_010)
		has("after a while", 1, false)
		has("after a while", 20_009, true)
	})
}

func TestConfigNamesAllFaults(t *testing.T) {
	_, err := Open(context.Background(), Config{MinFree: -1})
	if err == nil || !strings.Contains(err.Error(), "Dir") || !strings.Contains(err.Error(), "MinFree") {
		t.Errorf("%v", err)
	}
}

func TestClosedSpool(t *testing.T) {
	s := open(t, t.TempDir())
	d, err := s.Create(context.Background(), letter("bob@a.example", "a.example"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := d.Commit(context.Background(), spool.Seal{}); !errors.Is(err, errClosed) {
		t.Errorf("commit: %v", err)
	}
	if _, err := s.Claim(context.Background(), spool.Query{Max: 1}); !errors.Is(err, errClosed) {
		t.Errorf("claim: %v", err)
	}
}

// checklist 80: neither a settled, an aborted nor a refused message leaves its body file behind.
func TestBodyFilesGoAway(t *testing.T) {
	s := open(t, t.TempDir())
	content, seal := make([]byte, 200_000), spool.Seal{Key: []byte("key"), Window: time.Hour}
	keep(t, s, letter("bob@a.example", "a.example"), content, seal)
	if n := bodyFiles(t, s); n != 1 {
		t.Fatalf("%d files for one kept message", n)
	}
	if _, ok := errors.AsType[*spool.Duplicate](commit(s, letter("bob@a.example", "a.example"), content, seal)); !ok {
		t.Error("the duplicate was kept")
	}
	d, err := s.Create(context.Background(), letter("bob@a.example", "a.example"))
	if err == nil {
		_, err = d.Write(content)
	}
	if err = errors.Join(err, d.Abort()); err != nil {
		t.Fatal(err)
	}
	if n := bodyFiles(t, s); n != 1 {
		t.Errorf("%d files after a duplicate and an abort, want the kept one", n)
	}
	deliverAll(t, s, 1)
	if n := bodyFiles(t, s); n != 0 {
		t.Errorf("%d files after delivery", n)
	}
}

func bodyFiles(t *testing.T, s *Spool) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.config.Dir, "body"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A lease whose results are being committed does not run out: somebody else would deliver what is delivered.
func TestLeaseLastsWhileItIsSettled(t *testing.T) {
	now := time.Now()
	a := newAgenda(now)
	l := &lease{message: "id", destination: "a.example", due: 1, until: now.Add(time.Second)}
	a.lease(l)
	d := spool.Delivery{Envelope: spool.Envelope{ID: "id"}, Destination: "a.example", Fence: l.fence}
	if a.hold(&d) != l {
		t.Fatal("the lease is not held")
	}
	later := now.Add(time.Minute)
	if l, _, _ := a.take(later, &spool.Query{}); l != nil {
		t.Error("the lease ran out while it was settled")
	}
	if a.hold(&d) != nil {
		t.Error("it was settled twice at the same time")
	}
	a.unhold(l) // the commit failed
	if l, _, _ := a.take(later, &spool.Query{}); l == nil || l.destination != "a.example" {
		t.Error("the lease does not run out after a failed commit")
	}
}

// A look that was told of leases that have ended since reads more rows than it may take: what it leaves is due all the same.
func TestLookLeavesNothingBehind(t *testing.T) {
	s := open(t, t.TempDir())
	for range 2 {
		keep(t, s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{})
	}
	now := time.Now().Add(time.Second)
	ended := map[string]bool{"one-that-is-gone": true, "another": true}
	found, next, err := s.search(context.Background(), &look{destination: "a.example", leased: ended}, now, 1)
	if err != nil || len(found) != 1 {
		t.Fatalf("found %d, %v", len(found), err)
	}
	if next > now.UnixMilli() {
		t.Errorf("the other delivery is due, and the destination's next time is %v", time.UnixMilli(next))
	}
}

// A long queue of an account that is busy is gone through once, and not again for each mail of others.
func TestPassedOverOnce(t *testing.T) {
	s := open(t, t.TempDir())
	for range 50 {
		keep(t, s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{})
	}
	q := spool.Query{Max: 5, Lease: time.Minute, SkipAccounts: map[string][]string{"alice": {"a.example"}}}
	now := time.Now().Add(time.Second)
	l, _, _ := s.agenda.take(now, &q)
	found, next, err := s.search(context.Background(), l, now, 5)
	if err != nil || len(found) != 0 || next != never {
		t.Fatalf("found %d, next %d, %v", len(found), next, err)
	}
	s.agenda.left(l, next)
	for range 50 {
		keep(t, s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{})
	}
	if l, _, _ := s.agenda.take(time.Now().Add(time.Second), &q); l != nil {
		t.Errorf("more mail of the busy account has %s looked at from %d on", l.destination, l.from)
	}
	e := letter("bob@a.example", "a.example")
	e.Account = "carol"
	before := time.Now()
	keep(t, s, e, []byte("x"), spool.Seal{})
	if l, _, _ := s.agenda.take(time.Now().Add(time.Second), &q); l == nil || l.from < before.UnixMilli() {
		t.Errorf("mail of another account is looked for at %+v, want from %d on", l, before.UnixMilli())
	}
}
