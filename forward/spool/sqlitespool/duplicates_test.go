package sqlitespool

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func numbered(n uint64) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))
	return sum[:16]
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
