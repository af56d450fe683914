package sqlitespool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// version1 is a queue that the last program with format 1 has written: a failed mail's report, one that waits, one that is damaged, one for
// two destinations, and one with its body in a file.
func version1(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	b, err := os.ReadFile("testdata/version1.db")
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("large body\r\n"), 6000)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, database), b, 0o644), os.Mkdir(filepath.Join(dir, "body"), 0o700),
		os.WriteFile(filepath.Join(dir, "body", "large"), body, 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func content(t *testing.T, s *Spool, id string) string {
	t.Helper()
	r, err := s.Body(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestUpgradeKeepsEverything(t *testing.T) {
	dir := version1(t)
	if _, err := OpenReadOnly(dir); err == nil || !strings.Contains(err.Error(), "start the server") {
		t.Errorf("looking into the old format: %v", err)
	}
	for range 2 { // the second time nothing is left to do
		s := open(t, dir)
		for _, name := range []string{database, database + "-wal", database + "-shm"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has the mode %v", name, info.Mode())
			}
		}
		states := map[string]spool.State{}
		for e, err := range s.List(context.Background(), spool.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			states[e.ID+" "+e.Destination] = e.State
			if e.ID == "waiting" {
				want := map[string]spool.Result{"carol@a.example": {Address: "carol@a.example", Hop: "mx [192.0.2.1]:25",
					Reply: smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 1, 1}, Message: "said so"}}}
				if diff := cmp.Diff(want, e.Last); diff != "" || len(e.Recipients) != 2 || e.Attempts != 1 || e.Account != "alice" || e.Arrived.UnixMilli() != 1760000000000 {
					t.Errorf("waiting %+v\n%s", e, diff)
				}
			}
		}
		want := map[string]spool.State{"damaged d.example": spool.Damaged, "large c.example": spool.Queued, "queued a.example": spool.Queued, "queued b.example": spool.Queued,
			"report o.example": spool.Queued, "waiting a.example": spool.Waiting}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		st, err := s.Stats(context.Background())
		if err != nil || st.Messages != 5 || st.ByState[spool.Queued] != 4 || st.ByState[spool.Waiting] != 1 || st.ByState[spool.Damaged] != 1 {
			t.Errorf("%+v, %v", st, err)
		}
		if got := content(t, s, "queued"); got != "Received: x\r\nSubject: queued\r\n\r\nx\r\n" {
			t.Errorf("content %q", got)
		}
		if got := content(t, s, "large"); len(got) != 72000 {
			t.Errorf("%d octets of the large body", len(got))
		}
		s.Close()
	}
}

func TestUpgradedMailIsWorkedOn(t *testing.T) {
	s := open(t, version1(t))
	var duplicate *spool.Duplicate
	if err := commit(s, letter("bob@a.example", "a.example"), []byte("x"), spool.Seal{Key: []byte("key"), Window: time.Hour}); !errors.As(err, &duplicate) || duplicate.ID != "queued" {
		t.Errorf("the same mail after the upgrade: %v", err)
	}
	ctx := context.Background()
	for _, o := range []spool.Order{{Verb: spool.Retry}, {Verb: spool.Reroute, Relay: "smtp://relay.example"}, {Verb: spool.Remove, Filter: spool.Filter{State: spool.Damaged}}} {
		if _, err := s.Change(ctx, o, nil); err != nil {
			t.Fatal(err)
		}
	}
	ds, err := s.Claim(ctx, spool.Query{Max: 10, Lease: time.Minute})
	if err != nil || len(ds) != 5 {
		t.Fatalf("%d deliveries, %v", len(ds), err)
	}
	for _, d := range ds {
		var results []spool.Result
		for _, r := range d.Recipients {
			results = append(results, spool.Result{Address: r.Address, Reply: spoolReply(250)})
		}
		if err := s.Settle(ctx, spool.Settlement{Delivery: d, Results: results}); err != nil || d.Relay != "smtp://relay.example" {
			t.Errorf("%+v: %v", d, err)
		}
	}
	if st, err := s.Stats(ctx); err != nil || st.Messages != 0 || st.Bytes != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	for _, key := range []string{"queued", "bob@d.example", "alice@o.example"} {
		if stories, err := s.Trace(ctx, key, 10); err != nil || len(stories) != 1 || stories[0].Ended.IsZero() {
			t.Errorf("story of %s: %+v, %v", key, stories, err)
		}
	}
}

// An upgrade that cannot be finished leaves the old format as it was.
func TestUpgradeIsWholeOrNot(t *testing.T) {
	dir := version1(t)
	file := filepath.Join(dir, database)
	c, err := connect(context.Background(), file, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.script("CREATE TABLE history (x)"), c.close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Config{Dir: dir, MinFree: 1}); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("%v", err)
	}
	c, err = connect(context.Background(), file, true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if v, err := c.number("PRAGMA user_version"); err != nil || v != 1 {
		t.Errorf("format %d, %v", v, err)
	}
	if n, err := c.number("SELECT count(*) FROM pragma_table_info('delivery')"); err != nil || n != 8 {
		t.Errorf("%d columns, %v", n, err)
	}
}

// A queue of format 4, with what operators had ordered, becomes one of format 6, and its orders are told from then on.
func TestUpgradeFromFormat4(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	e := letter("bob@a.example", "a.example")
	keep(t, s, e, []byte("x"), spool.Seal{Key: []byte("key"), Window: time.Hour})
	order := func(v spool.Verb) {
		t.Helper()
		if _, err := s.Change(t.Context(), spool.Order{Verb: v, Relay: "smtp://relay.example", By: "ann"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	order(spool.Reroute)
	order(spool.Hold)
	s.Close()
	c, err := connect(t.Context(), s.file(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.script(undoResending+"ALTER TABLE delivery DROP COLUMN orders; PRAGMA user_version = 4"), c.close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	all, err := s.Trace(t.Context(), e.ID, 1)
	if err != nil || len(all) != 1 || len(all[0].Orders) != 0 || len(all[0].Entries) != 1 || all[0].Entries[0].State != spool.Held || all[0].Entries[0].Relay != "smtp://relay.example" {
		t.Fatalf("after the upgrade: %+v, %v", all, err)
	}
	order(spool.Unhold)
	attempt(t, s, 250, 0)
	if all, err = s.Trace(t.Context(), e.ID, 1); err != nil || len(all) != 1 || len(all[0].Orders) != 1 || all[0].Orders[0].Verb != spool.Unhold || all[0].Ended.IsZero() {
		t.Errorf("at its end: %+v, %v", all, err)
	}
}

// undoResending makes format 5 of format 6.
const undoResending = "ALTER TABLE recent DROP COLUMN anew; ALTER TABLE duplicate DROP COLUMN anew;"

// Keys of format 5, in order and not yet, are known in format 6, and of their mails parts may be sent anew.
func TestUpgradeFromFormat5(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	send := func(n uint64) (id string, err error) {
		e := letter("bob@a.example", "a.example")
		e.Recipients = append(e.Recipients, spool.Recipient{Address: "bob@b.example", Destination: "b.example"})
		return e.ID, commit(s, e, nil, spool.Seal{Key: numbered(n), Window: time.Hour})
	}
	ids := make([]string, 2)
	for n := range ids {
		var err error
		if ids[n], err = send(uint64(n)); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			mergeAll(t, s)
		}
	}
	s.Close()
	c, err := connect(t.Context(), s.file(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.script(undoResending+"PRAGMA user_version = 5"), c.close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	for n := range uint64(len(ids)) {
		if _, err := send(n); err == nil || err.Error() != (&spool.Duplicate{ID: ids[n]}).Error() {
			t.Errorf("message %d again: %v", n, err)
		}
		if _, err := s.Change(t.Context(), spool.Order{Verb: spool.Remove, Filter: spool.Filter{IDs: ids[n : n+1], Destination: "b.example"}}, nil); err != nil {
			t.Fatal(err)
		}
		id, err := send(n)
		if err != nil {
			t.Errorf("message %d after a drop: %v", n, err)
		}
		for e, err := range s.List(t.Context(), spool.Filter{IDs: []string{id}}) {
			if err != nil || e.Destination != "b.example" {
				t.Errorf("message %d came again for %s, %v", n, e.Destination, err)
			}
		}
	}
}

// Orders that were changed by hand or by the disk are not told, and the mail goes on.
func TestChangedOrdersAreLeftOut(t *testing.T) {
	s := open(t, t.TempDir())
	e := letter("bob@a.example", "a.example")
	keep(t, s, e, []byte("x"), spool.Seal{})
	if _, err := s.Change(t.Context(), spool.Order{Verb: spool.Retry, By: "ann"}, nil); err != nil {
		t.Fatal(err)
	}
	spoil(t, s, "UPDATE delivery SET orders = CAST(replace(CAST(orders AS TEXT), 'ann', 'eve') AS BLOB)")
	for range 2 { // in the queue, and at the end
		if all, err := s.Trace(t.Context(), e.ID, 1); err != nil || len(all) != 1 || len(all[0].Orders) != 0 {
			t.Errorf("%+v, %v", all, err)
		}
		if st, err := s.Stats(t.Context()); err == nil && st.Messages > 0 {
			attempt(t, s, 250, 0)
		}
	}
}
