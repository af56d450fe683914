package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	perSource     = 20000 // connections from one address, below the number of its ports
	perSecond     = 200
	atTheSameTime = 16 // handshakes, so that the measurement of memory is not one of a storm
)

// measureIdle opens connections up to AUTH and leaves them there, and tells the server's memory. Then it greets: new
// connections come at a steady rate, and the time from connect to the first octet is what counts.
func measureIdle(ctx context.Context, t *target, n int, w io.Writer) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur < uint64(n)+1000 {
		return fmt.Errorf("this process may open %d files; ulimit -n %d first", limit.Cur, 2*n+1000)
	}
	before := t.group.rss()
	conns, err := openIdle(ctx, t.addr, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d idle TLS connections, logged in: %s RSS %d MiB (before: %d MiB)\n", len(conns), t.name, t.group.rss()>>20, before>>20)
	times, err := greetings(ctx, t.addr, 5*perSecond)
	if err != nil {
		return err
	}
	slices.Sort(times)
	fmt.Fprintf(w, "greeting at %d new connections a second beside them: p50 %v, p99 %v, longest %v\n", perSecond,
		times[len(times)/2], times[len(times)*99/100], times[len(times)-1])
	return nil
}

func openIdle(ctx context.Context, addr string, n int) (conns []net.Conn, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := 0
	for range atTheSameTime {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n || ctx.Err() != nil {
					return
				}
				c, e := openOne(addr, i)
				mu.Lock()
				if e != nil {
					err = errors.Join(err, e)
					next = n
				} else {
					conns = append(conns, c)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return conns, errors.Join(err, ctx.Err())
}

// openOne logs in from one of many addresses of loopback.
func openOne(addr string, i int) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/perSource))}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	x := &talk{c, bufio.NewReader(c)}
	if err := x.hello(addr); err != nil {
		c.Close()
		return nil, err
	}
	return x.Conn, nil
}

// greetings connects n times at the steady rate.
func greetings(ctx context.Context, addr string, n int) ([]time.Duration, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var times []time.Duration
	var failed error
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		wg.Go(func() {
			took, err := greeting(addr)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			times = append(times, took)
		})
	}
	wg.Wait()
	return times, failed
}

func greeting(addr string) (time.Duration, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	begin := time.Now()
	_, err = bufio.NewReader(c).ReadString('\n')
	took := time.Since(begin)
	fmt.Fprint(c, "QUIT\r\n")
	return took, err
}
