package auth

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

var (
	attacker  = netip.MustParseAddr("203.0.113.7")
	elsewhere = netip.MustParseAddr("198.51.100.9")
)

// fail makes one wrong guess and returns how long it had to wait; refused tells that it was not let in.
func fail(t *throttle, from netip.Addr, name string) (waited time.Duration, refused bool) {
	start := time.Now()
	done, err := t.enter(context.Background(), from, name)
	waited = time.Since(start)
	if err != nil {
		return waited, true
	}
	done(wrong)
	return waited, false
}

func newThrottle() *throttle {
	t := new(throttle)
	t.prepare()
	return t
}

// checklist 56: the delay grows with each failure of a name, up to a limit, and is forgotten.
func TestDelayGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		for i, want := range []time.Duration{0, 1, 2, 4, 8, 10, 10, 10} {
			if got, refused := fail(th, attacker, "alice"); got != want*time.Second || refused {
				t.Errorf("guess %d waited %v (refused: %v), want %v", i+1, got, refused, want*time.Second)
			}
		}
		time.Sleep(forgetAfter + time.Second) // the bubble's clock
		if got, _ := fail(th, attacker, "alice"); got != 0 {
			t.Errorf("waited %v after an hour", got)
		}
	})
}

// checklist 56: an address that tries many names slows down too, whatever address of its /64 it uses.
func TestDelayOfAddressOverNames(t *testing.T) {
	for _, from := range []string{"203.0.113.%d", "2001:db8::%d", "::ffff:203.0.113.%d"} {
		synctest.Test(t, func(t *testing.T) {
			th := newThrottle()
			var last time.Duration
			for i := range 40 {
				n := 1
				if strings.HasPrefix(from, "2001") {
					n = i + 1
				}
				got, _ := fail(th, netip.MustParseAddr(fmt.Sprintf(from, n)), fmt.Sprint("user", i))
				if i < freeFailures && got != 0 || i >= freeFailures && got == 0 || got < last || got > maxDelay {
					t.Errorf("%s: guess %d waited %v, the one before %v", from, i+1, got, last)
				}
				last = got
			}
			if last != maxDelay {
				t.Errorf("%s: the last guess waited %v, want %v", from, last, maxDelay)
			}
		})
	}
}

// checklist 56: nobody is locked out: from elsewhere, and with a credential that is known to be right, there is no wait.
func TestNobodyIsLockedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Authenticator{Store: logins{"alice": single("alice", hashOf(t, "secret", bcrypt.MinCost)), "bob": single("bob", hashOf(t, "secret", bcrypt.MinCost))}}
		say(t, a, "PLAIN", Peer{Addr: attacker}, []byte("\x00alice\x00secret")) // she sits behind the same address as the attacker
		for range 30 {
			say(t, a, "PLAIN", Peer{Addr: attacker}, []byte("\x00alice\x00guess"))
			say(t, a, "PLAIN", Peer{Addr: attacker}, []byte("\x00bob\x00guess"))
		}
		for _, test := range []struct {
			name, response string
			from           netip.Addr
			wait           time.Duration
		}{
			{"verified credential from the attacker's address", "\x00alice\x00secret", attacker, 0},
			{"right password from elsewhere", "\x00bob\x00secret", elsewhere, 0},
		} {
			start := time.Now()
			if _, reply := say(t, a, "PLAIN", Peer{Addr: test.from}, []byte(test.response)); reply != "235" || time.Since(start) != test.wait {
				t.Errorf("%s: got %q after %v", test.name, reply, time.Since(start))
			}
		}
	})
}

// A right password from the attacker's address waits, and gets in.
func TestRightPasswordWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Authenticator{Store: logins{"alice": single("alice", hashOf(t, "secret", bcrypt.MinCost))}}
		for range 5 {
			say(t, a, "PLAIN", Peer{Addr: attacker}, []byte("\x00alice\x00guess"))
		}
		start := time.Now()
		if _, reply := say(t, a, "PLAIN", Peer{Addr: attacker}, []byte("\x00alice\x00secret")); reply != "235" || time.Since(start) != maxDelay {
			t.Errorf("got %q after %v, want 235 after %v", reply, time.Since(start), maxDelay)
		}
		start = time.Now()
		say(t, a, "PLAIN", Peer{Addr: attacker}, []byte("\x00alice\x00guess"))
		if took := time.Since(start); took != 0 {
			t.Errorf("after a right password the next mistake waited %v", took)
		}
	})
}

// checklist 56: guesses made on many connections at once are no faster than one after the other.
func TestParallelGuessing(t *testing.T) {
	for _, test := range []struct {
		name  string
		names func(i int) string
		most  int64 // guesses that get through in a minute
	}{
		{"one name", func(int) string { return "alice" }, 4 + 6},
		{"many names", func(i int) string { return fmt.Sprint("user", i) }, 2*freeFailures + 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			th := newThrottle()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var through atomic.Int64
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					for ctx.Err() == nil {
						done, err := th.enter(ctx, attacker, test.names(i))
						if err != nil {
							time.Sleep(time.Second) // the bubble's clock: the attacker tries again
							continue
						}
						through.Add(1)
						time.Sleep(time.Millisecond) // bcrypt
						done(wrong)
					}
				})
			}
			wg.Wait()
			if got := through.Load(); got > test.most || got < 5 {
				t.Errorf("%s: %d guesses got through in a minute, want at most %d", test.name, got, test.most)
			}
		})
	}
}

// The line of an address has an end, and who stands there is told in words.
func TestLineIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		for range 6 {
			fail(th, attacker, "alice")
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { fail(th, attacker, "alice") })
		}
		synctest.Wait()
		start := time.Now()
		_, err := th.enter(t.Context(), attacker, "alice")
		if want := errLine(30 * time.Second); err == nil || err.Error() != want.Error() || want.Code != 454 || time.Since(start) != 0 {
			t.Errorf("got %v after %v, want %v at once", err, time.Since(start), want)
		}
		wg.Wait()
	})
}

// The end of the connection ends every wait, and gives the turn on.
func TestContextEndsThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		for range 3 {
			fail(th, attacker, "alice")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		var wg sync.WaitGroup
		for range 2 { // one has the turn, one waits for it
			wg.Go(func() {
				if _, err := th.enter(ctx, attacker, "alice"); err == nil || time.Since(start) != time.Second {
					t.Errorf("got %v after %v", err, time.Since(start))
				}
			})
		}
		wg.Wait()
		if got, refused := fail(th, attacker, "alice"); got != 4*time.Second || refused {
			t.Errorf("the next one waited %v (refused: %v), want 4s", got, refused)
		}
	})
}

// What is remembered has a bound, however many addresses and names there are.
func TestMemoryIsBounded(t *testing.T) {
	th := newThrottle()
	for i := range maxRemembered + 5000 {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		fail(th, from, "alice")
	}
	if th.pairs.Len() != maxRemembered || th.addresses.Len() != maxRemembered {
		t.Errorf("%d pairs and %d addresses are remembered, want %d", th.pairs.Len(), th.addresses.Len(), maxRemembered)
	}
}
