package sqlitespool

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func numbered(n uint64) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))
	return sum[:16]
}

// mergeAll puts all keys that are not in order there, by others that come.
func mergeAll(t *testing.T, s *Spool) {
	t.Helper()
	others := uint64(1 << 32)
	if err := s.submit(onWriter(func(b *batch) error {
		for len(b.duplicates.recent) < mergeKeys {
			others++
			if err := b.remember(numbered(others), remembered{id: "other", until: never}); err != nil {
				return err
			}
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
}

// Keys are known before and after they were put into order, also once the queue was opened again, and gone when their time is over.
func TestKeysInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		e := letter("bob@a.example", "a.example")
		ids := map[uint64]string{}
		send := func(n uint64) error {
			e.ID = spool.NewID()
			err := commit(s, e, nil, spool.Seal{Key: numbered(n), Window: time.Hour})
			if err == nil {
				ids[n] = e.ID
			}
			return err
		}
		const all = 2*mergeKeys + 100
		for n := range uint64(all) {
			if err := send(n); err != nil {
				t.Fatal(n, err)
			}
		}
		rows := func(table string) int64 {
			t.Helper()
			c, err := connect(t.Context(), s.file(), false)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			n, err := c.number("SELECT count(*) FROM " + table)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if recent, ordered := rows("recent"), rows("duplicate"); recent != 100 || ordered != 2*mergeKeys {
			t.Errorf("%d recent keys, %d in order", recent, ordered)
		}
		for range 2 {
			for _, n := range []uint64{0, mergeKeys - 1, mergeKeys, all - 1} {
				var duplicate *spool.Duplicate
				if err := send(n); !errors.As(err, &duplicate) || duplicate.ID != ids[n] {
					t.Errorf("message %d, %s, again: %v", n, ids[n], err)
				}
			}
			s.Close()
			s = open(t, dir)
		}
		if _, err := s.Change(context.Background(), spool.Order{Verb: spool.Remove, Filter: spool.Filter{IDs: []string{ids[0], ids[all-1]}}}, nil); err != nil {
			t.Fatal(err)
		}
		for _, n := range []uint64{0, all - 1} {
			if err := send(n); err != nil {
				t.Errorf("message %d after it was taken out: %v", n, err)
			}
		}
		time.Sleep(time.Hour)
		for n := range uint64(mergeKeys) {
			if err := send(n); err != nil {
				t.Fatal("after its time", n, err)
			}
		}
		if recent, ordered := rows("recent"), rows("duplicate"); recent > 200 || ordered > mergeKeys+200 {
			t.Errorf("%d recent keys, %d in order after their time", recent, ordered)
		}
	})
}

// A message that comes again and again, each time after its time, is remembered once.
func TestKeyThatComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		for range 10 {
			if err := commit(s, letter("bob@a.example", "a.example"), nil, spool.Seal{Key: []byte("key"), Window: time.Minute}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		c, err := connect(t.Context(), s.file(), false)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if n, err := c.number("SELECT count(*) FROM recent"); err != nil || n != 1 {
			t.Errorf("%d rows, %v", n, err)
		}
	})
}

// A transaction that failed leaves no key behind in memory: the message was refused, and has to be taken when it comes again.
func TestKeyOfAFailedTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		seal := spool.Seal{Key: []byte("key"), Window: time.Hour}
		spoil(t, s, "ALTER TABLE total RENAME TO away")
		if err := commit(s, letter("bob@a.example", "a.example"), nil, seal); err == nil {
			t.Fatal("taken without the table of totals")
		}
		spoil(t, s, "ALTER TABLE away RENAME TO total")
		time.Sleep(reopenPause)
		if err := commit(s, letter("bob@a.example", "a.example"), nil, seal); err != nil {
			t.Error(err)
		}
	})
}

// What may be sent anew is known before and after keys were put into order, also once the queue was opened again.
func TestPartsOfKeysInOrder(t *testing.T) {
	s := open(t, t.TempDir())
	send := func(n uint64) (id string, err error) {
		e := letter("bob@a.example", "a.example")
		e.Recipients = append(e.Recipients, spool.Recipient{Address: "bob@b.example", Destination: "b.example"})
		return e.ID, commit(s, e, nil, spool.Seal{Key: numbered(n), Window: time.Hour})
	}
	drop := func(id, destination string) {
		t.Helper()
		if out, err := s.Change(t.Context(), spool.Order{Verb: spool.Remove, Filter: spool.Filter{IDs: []string{id}, Destination: destination}}, nil); err != nil || out.Changed != 1 {
			t.Fatal(out, err)
		}
	}
	ids := make([]string, 3)
	for n := range ids {
		var err error
		if ids[n], err = send(uint64(n)); err != nil {
			t.Fatal(err)
		}
	}
	again := func(what string, n uint64, want string) {
		t.Helper()
		id, err := send(n)
		var got []string
		if err == nil {
			for e, err := range s.List(t.Context(), spool.Filter{IDs: []string{id}}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.Destination)
			}
			ids[n] = id
		} else if !errors.As(err, new(*spool.Duplicate)) {
			t.Fatal(err)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("message %d %s: queued for %q, want %q", n, what, got, want)
		}
	}
	mergeAll(t, s)
	for n := range ids { // of keys in order
		drop(ids[n], "b.example")
	}
	first := ids[1]
	again("after a drop", 1, "b.example")
	s.Close()
	s = open(t, s.config.Dir)
	drop(first, "a.example") // of a key that is not in order any more, by another message than the one it names
	mergeAll(t, s)
	again("in order", 0, "b.example")
	again("in order again", 1, "a.example")
	drop(ids[1], "a.example")
	again("when it was dropped twice", 1, "a.example")
	spoil(t, s, "UPDATE duplicate SET anew = '{' WHERE anew IS NOT NULL")
	again("when it cannot be told what was dropped", 2, "a.example b.example")
}

// When it cannot be read whom a mail was for, all of it may come again once it is dropped.
func TestDamagedMailComesAgainWhole(t *testing.T) {
	for what, change := range map[string]string{
		"another address":    "UPDATE delivery SET recipients = CAST(replace(CAST(recipients AS TEXT), 'bob', 'eve') AS BLOB) WHERE destination = 'b.example'",
		"without an address": "UPDATE delivery SET recipients = '[]' WHERE destination = 'b.example'",
		"as nothing":         "UPDATE delivery SET recipients = '{' WHERE destination = 'b.example'",
	} {
		s := open(t, t.TempDir())
		e, seal := letter("bob@a.example", "a.example"), spool.Seal{Key: []byte("key"), Window: time.Hour}
		e.Recipients = append(e.Recipients, spool.Recipient{Address: "bob@b.example", Destination: "b.example"})
		keep(t, s, e, nil, seal)
		spoil(t, s, change)
		if out, err := s.Change(t.Context(), spool.Order{Verb: spool.Remove, Filter: spool.Filter{Destination: "b.example"}}, nil); err != nil || out.Changed != 1 {
			t.Fatal(out, err)
		}
		e.ID = spool.NewID()
		if err := commit(s, e, nil, seal); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if st, err := s.Stats(t.Context()); err != nil || st.ByState[spool.Queued] != 3 {
			t.Errorf("%s: %+v, %v", what, st, err)
		}
	}
}
