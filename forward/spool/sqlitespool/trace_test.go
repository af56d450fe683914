package sqlitespool

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// Whatever lies more than one query away is found too, in the queue and in the history, newest first.
func TestTraceLooksThroughEverything(t *testing.T) {
	s := open(t, t.TempDir())
	const mails, writers = traceRows + 200, 50
	var wg sync.WaitGroup
	mail := func(i int) error {
		return commit(s, letter(fmt.Sprintf("bob%d@a.example", i), "a.example"), []byte("x"), spool.Seal{MessageID: fmt.Sprintf("%d@example.org", i)})
	}
	if err := mail(0); err != nil {
		t.Fatal(err)
	}
	for w := range writers {
		wg.Go(func() {
			for i := w + 1; i < mails-1; i += writers {
				if err := mail(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := mail(mails - 1); err != nil {
		t.Fatal(err)
	}
	look := func(where string) {
		t.Helper()
		for _, key := range []string{"0@example.org", "bob0@a.example", fmt.Sprintf("%d@example.org", mails-1), fmt.Sprintf("bob%d@a.example", mails-1)} {
			if all, err := s.Trace(context.Background(), key, 10); err != nil || len(all) != 1 {
				t.Errorf("%s by %s: %d stories, %v", where, key, len(all), err)
			}
		}
		all, err := s.Trace(context.Background(), "alice@example.org", 3)
		if err != nil || len(all) != 3 || all[0].MessageID != fmt.Sprintf("%d@example.org", mails-1) {
			t.Errorf("%s, the newest: %+v, %v", where, all, err)
		}
	}
	look("in the queue")
	if out, err := s.Change(context.Background(), spool.Order{Verb: spool.Remove}, nil); err != nil || out.Changed != mails {
		t.Fatalf("%d removed, %v", out.Changed, err)
	}
	look("in the history")
}
