package sqlitespool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func openHistory(t *testing.T, dir string, keep time.Duration, rows int64) *Spool {
	t.Helper()
	s, err := Open(context.Background(), Config{Dir: dir, MinFree: 1, History: keep, HistoryRows: rows})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// attempt claims one delivery and settles it.
func attempt(t *testing.T, s *Spool, code int, next time.Duration) {
	t.Helper()
	ds, err := s.Claim(context.Background(), spool.Query{Max: 1, Lease: time.Minute})
	if err == nil {
		err = s.Settle(context.Background(), spool.Settlement{Delivery: ds[0], Next: time.Now().Add(next),
			Results: []spool.Result{{Address: ds[0].Recipients[0].Address, Reply: spoolReply(code)}}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// rows counts the history, in the table and as the writer does.
func rows(t *testing.T, s *Spool) int64 {
	t.Helper()
	c, err := s.readers.get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.readers.put(c)
	n, err := c.number("SELECT count(*) FROM history")
	if err != nil {
		t.Fatal(err)
	}
	if counted := s.counted().history; counted != n {
		t.Errorf("%d rows, %d counted", n, counted)
	}
	return n
}

// All attempts of a message stay until it has ended for so long, however old they are then; then they go, though nothing else happens.
func TestHistoryGoesWithAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openHistory(t, t.TempDir(), 24*time.Hour, 0)
		keep(t, s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{})
		for range 3 {
			attempt(t, s, 450, 40*time.Hour)
		}
		attempt(t, s, 250, 0)
		time.Sleep(24*time.Hour - time.Minute)
		synctest.Wait()
		if n := rows(t, s); n != 4 {
			t.Errorf("%d attempts before the time", n)
		}
		time.Sleep(tendPause + time.Minute)
		synctest.Wait()
		if n := rows(t, s); n != 0 {
			t.Errorf("%d attempts after the time", n)
		}
		s.Close()
	})
}

// Pieces end between messages: no attempt is left behind without its message's end.
func TestHistoryGoesInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openHistory(t, t.TempDir(), time.Hour, 0)
		const messages = 400
		for i := range messages {
			keep(t, s, letter(fmt.Sprintf("%d@a.example", i), "a.example"), []byte("x"), spool.Seal{})
		}
		for range 4 * messages { // so that a piece ends within a message
			attempt(t, s, 450, 0)
		}
		for range messages {
			attempt(t, s, 250, 0)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if n := rows(t, s); n != 0 {
			t.Errorf("%d attempts are left", n)
		}
		s.Close()
	})
}

func TestHistoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := openHistory(t, dir, time.Hour, 10)
	var last string
	for i := range 25 {
		e := letter(fmt.Sprintf("%d@a.example", i), "a.example")
		keep(t, s, e, []byte("x"), spool.Seal{})
		attempt(t, s, 250, 0)
		last = e.ID
	}
	if n := rows(t, s); n != 10 {
		t.Errorf("%d attempts of at most 10", n)
	}
	if all, err := s.Trace(context.Background(), last, 1); err != nil || len(all) != 1 {
		t.Errorf("the newest: %v, %v", all, err)
	}
	if all, err := s.Trace(context.Background(), "3@a.example", 1); err != nil || len(all) != 0 {
		t.Errorf("the oldest: %v, %v", all, err)
	}
	s.Close()
	s = openHistory(t, dir, 0, 0) // nothing is kept any more
	keep(t, s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{})
	attempt(t, s, 250, 0)
	if n := rows(t, s); n != 0 {
		t.Errorf("%d attempts with no history", n)
	}
}

// fault 45: a row of the history that was changed tells nothing; the others do.
func TestChangedHistoryIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	s := openHistory(t, dir, time.Hour, 0)
	e := letter("bob@a.example", "a.example")
	keep(t, s, e, []byte("x"), spool.Seal{})
	attempt(t, s, 450, 0)
	spoil := func(sql string) {
		t.Helper()
		c, err := connect(context.Background(), s.file(), true)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.script(sql), c.close()); err != nil {
			t.Fatal(err)
		}
	}
	spoil("UPDATE history SET record = replace(record, '450', '250')")
	if all, err := s.Trace(context.Background(), e.ID, 1); err != nil || len(all) != 1 || len(all[0].Attempts) != 0 || len(all[0].Entries) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	attempt(t, s, 250, 0)
	if all, err := s.Trace(context.Background(), e.ID, 1); err != nil || len(all) != 1 || len(all[0].Attempts) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	spoil("UPDATE history SET summary = replace(summary, 'alice', 'mallo')")
	if _, err := s.Trace(context.Background(), e.ID, 1); !errors.Is(err, spool.ErrDamaged) {
		t.Errorf("nothing but damaged rows: %v", err)
	}
}

// fault 45: the marks of a delivery are covered by its checksum.
func TestChangedMarksAreSetAside(t *testing.T) {
	for _, sql := range []string{"UPDATE delivery SET relay = 'smtp://evil.example'", "UPDATE delivery SET fate = 'drop'", "UPDATE delivery SET relay = NULL"} {
		s := open(t, t.TempDir())
		e := letter("bob@a.example", "a.example")
		keep(t, s, e, []byte("x"), spool.Seal{})
		if sql[len(sql)-4:] == "NULL" {
			if _, err := s.Change(context.Background(), spool.Order{Verb: spool.Reroute, Relay: "smtp://relay.example"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		c, err := connect(context.Background(), s.file(), true)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.script(sql), c.close()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if ds, err := s.Claim(ctx, spool.Query{Max: 1, Lease: time.Minute}); err == nil {
			t.Errorf("%s: claimed %+v", sql, ds)
		}
		cancel()
		if st, err := s.Stats(context.Background()); err != nil || st.ByState[spool.Damaged] != 1 {
			t.Errorf("%s: %+v, %v", sql, st, err)
		}
		if _, err := s.Change(context.Background(), spool.Order{Verb: spool.Remove}, nil); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if st, err := s.Stats(context.Background()); err != nil || st.Messages != 0 {
			t.Errorf("%s: %+v, %v", sql, st, err)
		}
	}
}

// The body's file goes with the message that an operator removes, and not before its last delivery.
func TestRemovedBodyIsGone(t *testing.T) {
	s := open(t, t.TempDir())
	e := letter("bob@a.example", "a.example")
	e.Recipients = append(e.Recipients, spool.Recipient{Address: "bob@b.example", Destination: "b.example"})
	keep(t, s, e, make([]byte, 100_000), spool.Seal{})
	for i, there := range []bool{true, false} {
		if _, err := s.Change(context.Background(), spool.Order{Verb: spool.Remove, Filter: spool.Filter{Destination: e.Recipients[i].Destination}}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(s.bodyFile(e.ID)); (err == nil) != there {
			t.Errorf("after %d of 2: %v", i+1, err)
		}
	}
}
