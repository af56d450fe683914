package deliver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// A dead IPv6 path costs 250 ms once, and for ten minutes nothing (RFC 8305).
func TestDeadFamilyLosesItsHeadStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var dialled []string
		d := &Deliverer{Hostname: "us.example", Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			mu.Lock()
			dialled = append(dialled, address)
			mu.Unlock()
			if address[0] == '[' {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			c, _ := net.Pipe()
			return c, nil
		}}
		if err := d.prepare(); err != nil {
			t.Fatal(err)
		}
		hop := mx
		hop.Addrs = addrs("192.0.2.1", "2001:db8::1")
		race := func() time.Duration {
			begin := time.Now()
			nc, addr, err := d.dial(t.Context(), hop, hop.Addrs)
			if err != nil || addr != hop.Addrs[0] {
				t.Fatal(addr, err)
			}
			nc.Close()
			return time.Since(begin)
		}
		if got := race(); got != headStart {
			t.Errorf("first race: %v", got)
		}
		if got := race(); got != 0 {
			t.Errorf("second race: %v", got)
		}
		time.Sleep(familyPenalty)
		if got := race(); got != headStart {
			t.Errorf("after the penalty: %v", got)
		}
		const six, four = "[2001:db8::1]:25", "192.0.2.1:25"
		if diff := cmp.Diff([]string{six, four, four, six, four}, dialled); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDialTriesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		d := &Deliverer{Hostname: "us.example", Dial: func(context.Context, string, string) (net.Conn, error) {
			n++
			return nil, errors.New("no")
		}}
		hop := mx
		hop.Addrs = addrs("192.0.2.1", "192.0.2.2", "2001:db8::1")
		begin := time.Now()
		rs, err := d.Deliver(t.Context(), hop, message("a@x"))
		if time.Since(begin) != 0 {
			t.Error("the next address waited though the last had failed")
		}
		deferred(t, rs, err, "mx.example:25: connect: connection lost")
		if n != 3 {
			t.Errorf("%d addresses tried", n)
		}
	})
}
