//go:build e2e

package queue

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/e2e/lab"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

// fill puts n mails into the queue of a server that does not run, as it would itself, and has each of them deferred once: it waits.
// Of 100, 98 are of the account bulk, one of shop, one of news. Every other is three hours old. They go to ten destinations.
func fill(t *testing.T, server *lab.Smarthost, n int) {
	t.Helper()
	began := time.Now()
	s, err := sqlitespool.Open(context.Background(), sqlitespool.Config{Dir: filepath.Join(server.Data, "queue"), History: time.Hour})
	lab.Check(t, err)
	defer s.Close()
	var next atomic.Int64
	each(t, n, func() error { return put(s, int(next.Add(1)-1), began) })
	each(t, n, func() error { return deferOne(s) })
	t.Logf("filled with %d mails in %v", n, time.Since(began).Round(time.Millisecond))
}

// each calls one n times, in as many goroutines as the queue takes into one transaction.
func each(t *testing.T, n int, one func() error) {
	t.Helper()
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	for range 512 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := one(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// account is whose mail number i is.
func account(i int) string {
	switch i % 100 {
	case 0:
		return "shop"
	case 1:
		return "news"
	}
	return "bulk"
}

func put(s *sqlitespool.Spool, i int, now time.Time) error {
	domain := fmt.Sprintf("d%d.example", i/100%10)
	e := &spool.Envelope{ID: spool.NewID(), Account: account(i), From: account(i) + "@fill.example",
		Recipients: []spool.Recipient{{Address: "bob@" + domain, Destination: domain}}}
	d, err := s.Create(context.Background(), e)
	if err != nil {
		return err
	}
	defer d.Abort()
	if _, err := fmt.Fprintf(d, "Subject: fill-%d\r\n\r\nbody\r\n", i); err != nil {
		return err
	}
	return d.Commit(context.Background(), spool.Seal{Arrived: now.Add(-time.Duration(i%2) * 3 * time.Hour), MessageID: fmt.Sprintf("fill-%d@fill.example", i)})
}

func deferOne(s *sqlitespool.Spool) error {
	all, err := s.Claim(context.Background(), spool.Query{Max: 1, Lease: time.Hour})
	if err != nil {
		return err
	}
	said := smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "mailbox busy"}
	if all[0].Account == "news" {
		said.Message = "greylisted"
	}
	return s.Settle(context.Background(), spool.Settlement{Delivery: all[0], Next: time.Now().Add(24 * time.Hour),
		Results: []spool.Result{{Address: all[0].Recipients[0].Address, Hop: "mx [192.0.2.1]:25", Reply: said}}})
}
