package sqlitespool

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"modernc.org/sqlite"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// limit lets the database grow by so many pages and no more.
func limit(t *testing.T, s *Spool, pages int64) {
	t.Helper()
	if err := s.submit(onWriter(func(b *batch) error {
		now, err := b.number("PRAGMA page_count")
		if err == nil {
			_, err = b.number(fmt.Sprintf("PRAGMA max_page_count = %d", now+pages))
		}
		return err
	})); err != nil {
		t.Fatal(err)
	}
}

func sealed(n uint64) spool.Seal { return spool.Seal{Key: numbered(n), Window: time.Hour} }

// fault 42: 64 senders before a full disk are refused by one transaction that fails, not by one for each, and results that come with
// them get through. Once there is room all is taken that was refused.
func TestFullForManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, content := t.TempDir(), make([]byte, 4096)
		s := open(t, dir)
		for n := range uint64(2) {
			keep(t, s, letter("bob@a.example", "a.example"), content, sealed(100+n))
		}
		leased, err := s.Claim(t.Context(), spool.Query{Max: 2, Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		limit(t, s, 0)
		failed, turn := 0, make(chan bool)
		go s.submit(onWriter(func(b *batch) error {
			b.driver.(sqlite.HookRegisterer).RegisterRollbackHook(func() { failed++ })
			<-turn
			return nil
		}))
		synctest.Wait()
		refused, settled := make(chan error), make(chan error)
		for n := range uint64(64) {
			if n%32 == 7 {
				go func() {
					settled <- s.Settle(t.Context(), spool.Settlement{Delivery: leased[n/32], Results: []spool.Result{{Address: "bob@a.example", Reply: spoolReply(250)}}})
				}()
				synctest.Wait()
			}
			go func() { refused <- commit(s, letter("bob@a.example", "a.example"), content, sealed(n)) }()
			synctest.Wait()
		}
		turn <- true
		for range leased {
			if err := <-settled; err != nil {
				t.Errorf("a result: %v", err)
			}
		}
		for range 64 {
			if err := <-refused; !errors.Is(err, spool.ErrFull) {
				t.Errorf("a mail: %v", err)
			}
		}
		if failed != 1 {
			t.Errorf("%d transactions failed, want 1", failed)
		}
		limit(t, s, 1000)
		if st, err := s.Stats(t.Context()); err != nil || st.Messages != 0 {
			t.Errorf("%+v, %v", st, err)
		}
		for n := range uint64(64) {
			keep(t, s, letter("bob@a.example", "a.example"), content, sealed(n))
		}
		s.Close()
		if st, err := open(t, dir).Stats(t.Context()); err != nil || st.Messages != 64 {
			t.Errorf("opened again: %+v, %v", st, err)
		}
	})
}

// Results that do not fit together go one by one: those that only take away make room.
func TestFullForSomeResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		for range 2 {
			keep(t, s, letter("bob@a.example", "a.example"), make([]byte, 4096), spool.Seal{})
		}
		leased, err := s.Claim(t.Context(), spool.Query{Max: 2, Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		limit(t, s, 0)
		turn := make(chan bool)
		go s.submit(onWriter(func(b *batch) error { <-turn; return nil }))
		synctest.Wait()
		large, small := make(chan error), make(chan error)
		settle := func(d spool.Delivery, code int, reports []spool.Report, done chan error) {
			done <- s.Settle(t.Context(), spool.Settlement{Delivery: d, Results: []spool.Result{{Address: "bob@a.example", Reply: spoolReply(code)}}, Reports: reports})
		}
		e := letter("alice@example.org", "example.org")
		go settle(leased[0], 550, []spool.Report{{Envelope: *e, Content: make([]byte, 200_000)}}, large)
		synctest.Wait()
		go settle(leased[1], 250, nil, small)
		synctest.Wait()
		turn <- true
		if err := <-large; !errors.Is(err, spool.ErrFull) {
			t.Errorf("with a large report: %v", err)
		}
		if err := <-small; err != nil {
			t.Errorf("without: %v", err)
		}
	})
}

// A transaction that fails for want of space leaves the keys in memory as they were, and none is read again: with a full disk one fails after another.
func TestKeysOfAFullDisk(t *testing.T) {
	s := open(t, t.TempDir())
	e := letter("bob@a.example", "a.example")
	keep(t, s, e, nil, sealed(0))
	fill := func(most int) {
		t.Helper()
		if err := s.submit(onWriter(func(b *batch) error {
			for n := uint64(1 << 32); len(b.duplicates.recent) < most; n++ {
				if err := b.remember(numbered(n), remembered{id: "other", until: never}); err != nil {
					return err
				}
			}
			return nil
		})); err != nil {
			t.Fatal(err)
		}
	}
	fill(mergeKeys - 1)
	take := func(name string) string { return "; CREATE TABLE " + name + " AS SELECT randomblob(200000)" } // the space that others have left
	spoil(t, s, "CREATE TABLE kept AS SELECT * FROM recent; DELETE FROM recent"+take("filler"))
	known := func(when string) {
		t.Helper()
		if duplicate, is := errors.AsType[*spool.Duplicate](commit(s, letter("bob@a.example", "a.example"), nil, sealed(0))); !is || duplicate.ID != e.ID {
			t.Errorf("%s: the key of what was kept is not known", when)
		}
	}
	limit(t, s, 0)
	if err := commit(s, letter("bob@a.example", "a.example"), make([]byte, 60_000), sealed(1)); !errors.Is(err, spool.ErrFull) {
		t.Fatal(err)
	}
	known("after a mail that does not fit")
	spoil(t, s, "INSERT INTO recent SELECT * FROM kept; DROP TABLE kept"+take("more"))
	limit(t, s, 8)
	if err := commit(s, letter("bob@a.example", "a.example"), nil, sealed(1)); !errors.Is(err, spool.ErrFull) {
		t.Fatal(err)
	}
	known("after keys could not be put into order")
	limit(t, s, 1000)
	for n := range uint64(3) {
		if err := commit(s, letter("bob@a.example", "a.example"), nil, sealed(1+n)); err != nil {
			t.Errorf("what was refused, %d: %v", n, err)
		}
	}
	known("in order")
}

func TestUndoOfKeys(t *testing.T) {
	d := &duplicates{recent: map[string]remembered{"a": {id: "1"}, "b": {id: "2"}}, spare: map[string]remembered{}}
	change := func() {
		d.set("a", remembered{id: "3"})
		d.set("c", remembered{id: "4"})
		d.set("c", remembered{id: "5"})
		d.set("a", remembered{id: "6"})
		d.remove("b")
		d.remove("nothing")
	}
	for range 2 {
		change()
		d.clear()
		d.undo()
		change()
		d.undo()
		if want := map[string]remembered{"a": {id: "1"}, "b": {id: "2"}}; !maps.Equal(d.recent, want) {
			t.Errorf("undone: %v", d.recent)
		}
	}
	change()
	d.end()
	d.undo() // of nothing
	if want := map[string]remembered{"a": {id: "6"}, "c": {id: "5"}}; !maps.Equal(d.recent, want) {
		t.Errorf("done: %v", d.recent)
	}
	d.clear()
	d.end()
	d.set("d", remembered{id: "7"})
	d.clear()
	d.undo()
	if len(d.recent) != 0 || len(d.before) != 0 {
		t.Errorf("after all were put into order: %v, %v", d.recent, d.before)
	}
}
