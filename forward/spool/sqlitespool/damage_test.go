package sqlitespool

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// fault 45: a changed body is found out before its end; nothing is deleted.
func TestChangedBodyIsDamaged(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, file string){
		"bit": func(t *testing.T, file string) {
			b, err := os.ReadFile(file)
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(file, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"cut":  func(t *testing.T, file string) { os.Truncate(file, 1000) },
		"long": func(t *testing.T, file string) { os.Truncate(file, 1<<20) },
		"gone": func(t *testing.T, file string) { os.Remove(file) },
		"link": func(t *testing.T, file string) {
			os.Rename(file, file+".moved")
			os.Symlink(file+".moved", file)
		},
		"pipe": func(t *testing.T, file string) { // fault 57
			if err := errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			e := letter("bob@a.example", "a.example")
			keep(t, s, e, make([]byte, 200_000), spool.Seal{Top: []byte("top\r\n"), Cut: []spool.Range{{From: 90_000, To: 120_000}}})
			spoil(t, s.bodyFile(e.ID))
			r, err := s.Body(context.Background(), e.ID)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				r.Close()
			}
			if !errors.Is(err, spool.ErrDamaged) {
				t.Errorf("%v", err)
			}
		})
	}
}

// fault 45: each column of a row is covered by a checksum; a claim sets the message aside and goes on with the others.
func TestChangedRowIsSetAside(t *testing.T) {
	for _, change := range []string{
		"UPDATE message SET envelope = CAST(replace(envelope, 'alice@', 'mallory@') AS BLOB)",
		"UPDATE message SET envelope = 'x'", "UPDATE message SET top = x'78'", "UPDATE message SET sum = 0", "DELETE FROM message",
		"UPDATE delivery SET recipients = CAST(replace(recipients, 'bob', 'eve') AS BLOB)", "UPDATE delivery SET sum = 1",
		"UPDATE message SET id = 'another'",
	} {
		dir := t.TempDir()
		s := open(t, dir)
		keep(t, s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{})
		s.Close()
		c, err := connect(context.Background(), filepath.Join(dir, database), true)
		if err == nil {
			err = errors.Join(c.script(change), c.close())
		}
		if err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		good := letter("carol@b.example", "b.example")
		keep(t, s, good, []byte("y"), spool.Seal{})
		ds, err := s.Claim(context.Background(), spool.Query{Max: 10, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) != 1 || ds[0].ID != good.ID {
			t.Errorf("%s: claimed %+v", change, ds)
		}
		st, err := s.Stats(context.Background())
		if err != nil || st.ByState[spool.Damaged] != 1 {
			t.Errorf("%s: %+v, %v", change, st, err)
		}
	}
}

// A small body is checked before any of it is handed out.
func TestChangedInlineBodyIsDamaged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	e := letter("bob@a.example", "a.example")
	keep(t, s, e, []byte("hello"), spool.Seal{})
	s.Close()
	c, err := connect(context.Background(), filepath.Join(dir, database), true)
	if err == nil {
		err = errors.Join(c.script("UPDATE message SET body = 'hellO'"), c.close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).Body(context.Background(), e.ID); !errors.Is(err, spool.ErrDamaged) {
		t.Errorf("%v", err)
	}
}

// fault 45: a database that was lost or emptied is not begun anew over the mail that is left, which would then be swept away.
func TestLostDatabaseKeepsBodies(t *testing.T) {
	for name, lose := range map[string]func(file string) error{
		"emptied": func(file string) error { return os.Truncate(file, 0) },
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(t.Context(), Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			e := letter("bob@a.example", "a.example")
			keep(t, s, e, make([]byte, 200_000), spool.Seal{})
			if err := errors.Join(s.Close(), lose(s.file())); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(t.Context(), Config{Dir: dir}); err == nil {
				s.Close()
				t.Error("the queue was begun anew")
			}
			if _, err := os.Stat(s.bodyFile(e.ID)); err != nil {
				t.Error(err)
			}
		})
	}
}

// fault 57: a database behind a symbolic link is not opened.
func TestLinkedDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "elsewhere.db")
	if err := errors.Join(s.Close(), os.Rename(s.file(), moved), os.Symlink(moved, s.file())); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), Config{Dir: dir}); err == nil {
		s.Close()
		t.Error("the link was followed")
	}
}

// fault 45: a count of attempts that was changed to nonsense does not reach the schedule.
func TestChangedAttempts(t *testing.T) {
	s := open(t, t.TempDir())
	keep(t, s, letter("bob@a.example", "a.example"), []byte("x\r\n"), spool.Seal{})
	spoil(t, s, "UPDATE delivery SET attempts = -5")
	all, err := s.Claim(t.Context(), spool.Query{Max: 1, Lease: time.Minute})
	if err != nil || len(all) != 1 || all[0].Attempts != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// fault 43: faults that follow each other at once are errors for the callers, and the queue goes on afterwards.
func TestFaultsInARow(t *testing.T) {
	s := open(t, t.TempDir())
	spoil(t, s, "ALTER TABLE duplicate RENAME TO away")
	for range 4 {
		if err := commit(s, letter("bob@a.example", "a.example"), []byte("x\r\n"), spool.Seal{Key: []byte("k"), Window: time.Hour}); err == nil {
			t.Fatal("taken without the table of duplicates")
		}
	}
}

func spoil(t *testing.T, s *Spool, statement string) {
	t.Helper()
	c, err := connect(t.Context(), s.file(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.script(statement); err != nil {
		t.Fatal(err)
	}
}
