package sqlitespool

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func letter(address, destination string) *spool.Envelope {
	return &spool.Envelope{ID: spool.NewID(), Account: "alice", From: "alice@example.org", Recipients: []spool.Recipient{{Address: address, Destination: destination}}}
}

func keep(t testing.TB, s *Spool, e *spool.Envelope, content []byte, seal spool.Seal) {
	t.Helper()
	if err := commit(s, e, content, seal); err != nil {
		t.Fatal(err)
	}
}

func commit(s *Spool, e *spool.Envelope, content []byte, seal spool.Seal) error {
	d, err := s.Create(context.Background(), e)
	if err != nil {
		return err
	}
	defer d.Abort()
	if _, err := d.Write(content); err != nil {
		return err
	}
	return d.Commit(context.Background(), seal)
}

// seal is one as the server makes it.
func seal() spool.Seal {
	key := make([]byte, 16)
	rand.Read(key)
	return spool.Seal{Top: make([]byte, 300), Arrived: time.Now(), MessageID: "<1@laptop.example>", Key: key, Window: time.Hour}
}

// cpu is what this process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// measure runs each on n goroutines until b.N is done and reports rate and CPU.
func measure(b *testing.B, n int, each func() error) {
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	start, used := time.Now(), cpu()
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := each(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "msgs/s")
	b.ReportMetric((cpu()-used).Seconds()*1000/float64(b.N), "cpu-s/1000")
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 20, 128} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, content := open(b, b.TempDir()), make([]byte, 4096)
			measure(b, n, func() error { return commit(s, letter("bob@a.example", "a.example"), content, seal()) })
		})
	}
}

func BenchmarkCycle(b *testing.B) {
	for _, n := range []int{1, 20, 128} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, content := open(b, b.TempDir()), make([]byte, 4096)
			work := make(chan spool.Delivery)
			ctx, cancel := context.WithCancel(context.Background())
			var claimer sync.WaitGroup
			claimer.Go(func() {
				for {
					ds, err := s.Claim(ctx, spool.Query{Max: 32, Lease: time.Minute})
					if err != nil {
						return
					}
					for _, d := range ds {
						work <- d
					}
				}
			})
			measure(b, n, func() error {
				if err := commit(s, letter("bob@a.example", "a.example"), content, seal()); err != nil {
					return err
				}
				d := <-work
				body, err := s.Body(ctx, d.ID)
				if err != nil {
					return err
				}
				io.Copy(io.Discard, body)
				body.Close()
				return s.Settle(ctx, spool.Settlement{Delivery: d, Results: []spool.Result{{Address: "bob@a.example", Reply: spoolReply(250)}}})
			})
			cancel()
			claimer.Wait()
		})
	}
}
