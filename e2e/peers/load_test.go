//go:build e2e

package peers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// TestLargeMailIsStreamed: a mail of 50 MiB costs the process less than 10 MiB of memory.
func TestLargeMailIsStreamed(t *testing.T) {
	upstream := lab.StartSink(t, "127.0.0.1:2525", false)
	s := lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`)
	s.Start(t)
	d, err := s.Dial()
	lab.Check(t, err)
	_, err = d.Send("alice@client.test", "bob@dest.test", "", hashed("warm@up.test"), "250 2.0.0")
	lab.Check(t, err)
	upstream.Wait(t, 1, 10*time.Second)
	upstream.Take()
	before := s.Memory(t, "VmHWM")
	large := fmt.Appendf(nil, header+"%s", "large", strings.Repeat(strings.Repeat("m", 98)+"\r\n", 50<<20/100))
	_, err = d.Send("alice@client.test", "bob@dest.test", "", large, "250 2.0.0")
	lab.Check(t, err)
	upstream.Wait(t, 1, time.Minute)
	grown := s.Memory(t, "VmHWM") - before
	t.Logf("a mail of 50 MiB: %d KiB more than the %d KiB before", grown, before)
	if grown > 10<<10 {
		t.Errorf("grew by %d KiB, want 10240 at most", grown)
	}
}

const (
	idle      = 10_000
	perSource = 5000
	perSecond = 200
)

// TestIdleConnections keeps 10,000 connections open that have logged in, and measures what a new one waits for its greeting.
func TestIdleConnections(t *testing.T) {
	var limit syscall.Rlimit
	lab.Check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	limit.Cur, limit.Max = max(limit.Cur, idle+3000), max(limit.Max, idle+3000)
	lab.Check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)) // the server inherits it
	s := lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`)
	s.Start(t)
	before := s.Memory(t, "VmRSS")
	conns, err := hold(s, idle)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	lab.Check(t, err)
	rss := s.Memory(t, "VmRSS")
	t.Logf("%d idle TLS connections: RSS %d MiB (before: %d MiB)", len(conns), rss>>10, before>>10)
	if rss > 350<<10 {
		t.Errorf("RSS %d KiB, want 350 MiB at most", rss)
	}
	times := greetings(t, s.Submission, 5*perSecond)
	p50, p99 := times[len(times)/2], times[len(times)*99/100]
	t.Logf("greeting at %d new connections a second: p50 %v, p99 %v, longest %v", perSecond, p50, p99, times[len(times)-1])
	if p50 > 5*time.Millisecond {
		t.Errorf("half of the greetings took longer than %v, want 5 ms at most", p50)
	}
}

// hold opens n connections in TLS, from several addresses of loopback.
func hold(s *lab.Smarthost, n int) (conns []net.Conn, failed error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	numbers := make(chan int)
	for range 16 {
		wg.Go(func() {
			for i := range numbers {
				d, err := s.DialTLS(net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/perSource))}})
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
				} else {
					conns = append(conns, d.Conn)
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		mu.Lock()
		bad := failed != nil
		mu.Unlock()
		if bad {
			break
		}
		numbers <- i
	}
	close(numbers)
	wg.Wait()
	return conns, failed
}

// greetings connects n times at the steady rate and returns the sorted times from connect to the greeting.
func greetings(t *testing.T, addr string, n int) []time.Duration {
	t.Helper()
	results := make(chan time.Duration, n)
	failures := make(chan error, n)
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	var wg sync.WaitGroup
	for range n {
		<-tick.C
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				failures <- err
				return
			}
			defer c.Close()
			begin := time.Now()
			if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
				failures <- err
				return
			}
			results <- time.Since(begin)
			io.WriteString(c, "QUIT\r\n")
		})
	}
	wg.Wait()
	close(results)
	close(failures)
	for err := range failures {
		t.Errorf("greeting: %v", err)
	}
	times := make([]time.Duration, 0, n)
	for d := range results {
		times = append(times, d)
	}
	if len(times) == 0 {
		t.Fatal("no greeting at all")
	}
	slices.Sort(times)
	return times
}
