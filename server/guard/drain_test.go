package guard

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// checklist 113
func TestDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	r.b.store, r.b.busy = make(chan struct{}), make(chan struct{})
	idle, clear, half, inData, storing := r.hello(), r.clear(), r.hello(), r.rcpt(), r.rcpt()
	half.send("NO")
	storing.say("DATA", "354")
	storing.send("x\r\n.\r\nNOOP\r\n")
	<-r.b.busy
	inData.say("DATA", "354")
	inData.send("x\r\n")

	var drained sync.WaitGroup
	drained.Go(func() {
		if err := r.g.Drain(context.Background()); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	for _, k := range []*client{idle, clear, half} {
		k.want("421 4.3.2 mx.test is shutting down")
		k.wantEnd()
		k.Close()
	}
	inData.send("y\r\n.\r\n")
	<-r.b.busy
	close(r.b.store)
	for _, k := range []*client{inData, storing} {
		k.want("250 2.0.0")
		k.want("421 4.3.2")
		k.wantEnd()
		k.Close()
	}
	drained.Wait()
	late := newClient(t, r.dial())
	late.want("421 4.3.2")
	late.wantEnd()
}

// A handshake under way is not cut: its client hears why the connection ends. One that says nothing holds nobody up.
func TestDrainLetsHandshakesEnd(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, &Guard{}, implicit, true)
			shake := func() *client {
				k := newClient(t, r.dial())
				if !implicit {
					k.want("220")
					k.say("EHLO client.test", "250")
					k.say("STARTTLS", "220")
				}
				return k
			}
			slow, silent := shake(), shake()
			synctest.Wait()
			var drained sync.WaitGroup
			drained.Go(func() {
				began := time.Now()
				if err := r.g.Drain(context.Background()); err != nil {
					t.Errorf("drain: %v", err)
				}
				if took := time.Since(began); took != 2*time.Second {
					t.Errorf("it took %v", took)
				}
			})
			<-time.After(time.Second)
			slow = slow.startTLS()
			slow.want("421 4.3.2 mx.test is shutting down")
			slow.wantEnd()
			silent.wantEnd()
			slow.Close()
			silent.Close()
			drained.Wait()
		})
	}
}

func TestDrainEndsAllWhenTimeIsUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	k := r.rcpt()
	k.say("DATA", "354")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.g.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if reply, err := k.read(); err == nil {
		t.Errorf("got %q", reply)
	}
}

// A last reply is not taken away by a reset, though there is more to read than the guard will.
func TestLastReplySurvivesUnreadInput(t *testing.T) {
	t.Parallel()
	k := newRig(t, &Guard{}, false, false).secure()
	k.send("QUIT\r\n" + strings.Repeat("NOOP\r\n", 20_000))
	k.want("221 2.0.0")
	k.wantEnd()
}

// checklist 22: the limits of handshake, login and session are absolute.
func TestAbsoluteLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &Guard{Timeouts: Timeouts{Login: 3 * time.Minute, Session: time.Hour}}, false, true)
		talk := func(k *client, lasts time.Duration, want string) {
			t.Helper()
			began := time.Now()
			var sending sync.WaitGroup
			sending.Go(func() {
				ticker := time.NewTicker(time.Minute - time.Second)
				defer ticker.Stop()
				for range ticker.C {
					if _, err := io.WriteString(k, "NOOP\r\n"); err != nil {
						return
					}
				}
			})
			defer sending.Wait()
			defer k.Close()
			for {
				reply, err := k.read()
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(reply, "421") {
					if took := time.Since(began); !strings.Contains(reply, want) || took != lasts {
						t.Errorf("got %q after %v", reply, took)
					}
					return
				}
			}
		}
		talk(r.hello(), 3*time.Minute, "4.4.2 mx.test waited too long for a login")
		k := r.hello()
		k.say("AUTH PLAIN AGEAc2VjcmV0", "235 2.7.0")
		k.SetDeadline(time.Now().Add(3 * time.Hour))
		talk(k, time.Hour, "4.4.2 mx.test ends a session")

		shy := r.clear()
		shy.say("STARTTLS", "220")
		began := time.Now()
		shy.wantEnd()
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("a handshake may take %v", took)
		}
	})
}

// A client that asks and never reads is not written to for ever, and what it asks is not read on.
// fault 28
func TestClientThatNeverReads(t *testing.T) {
	for name, begin := range map[string]func(r *rig) *client{"in clear": (*rig).clear, "in TLS": (*rig).loggedIn} {
		synctest.Test(t, func(t *testing.T) {
			closed := make(chan error, 1)
			r := newRig(t, &Guard{Hooks: Hooks{Closed: func(_ *Conn, err error) { closed <- err }}}, false, true)
			k := begin(r)
			began := time.Now()
			taken := 0
			for {
				n, err := io.WriteString(k, strings.Repeat("NOOP\r\n", 1000))
				if taken += n; err != nil {
					break
				}
			}
			if err, took := <-closed, time.Since(began); err == nil || took < 2*time.Minute || took > 2*time.Minute+10*time.Second {
				t.Errorf("%s: closed after %v: %v", name, took, err)
			}
			if taken > 64<<10 {
				t.Errorf("%s: %d octets were read", name, taken)
			}
			k.Close()
		})
	}
}

// A client that begins a handshake and reads nothing of it has half a minute, as one that says nothing.
// fault 27, 28
func TestHandshakeThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		r := newRig(t, &Guard{Hooks: Hooks{Handshake: func(_ *Conn, err error) { failed <- err }}}, true, true)
		k := newClient(t, &deaf{r.dial(), make(chan struct{})})
		began := time.Now()
		var shaking sync.WaitGroup
		shaking.Go(func() { tls.Client(k.Conn, &tls.Config{InsecureSkipVerify: true}).Handshake() })
		if err := <-failed; err == nil || time.Since(began) != 30*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		k.Close()
		shaking.Wait()
	})
}

// A deaf conn reads nothing.
type deaf struct {
	net.Conn
	closed chan struct{}
}

func (d *deaf) Read([]byte) (int, error) {
	<-d.closed
	return 0, net.ErrClosed
}

func (d *deaf) Close() error {
	select {
	case <-d.closed:
	default:
		close(d.closed)
	}
	return d.Conn.Close()
}

// While TLS waits for a command it may have to write: the client can ask for new keys at any time (RFC 8446 §4.6.3).
func TestWritesAreAllowedInEachWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &Guard{}, false, true)
		sockets := make(chan *deadlined, 1)
		r.g.Intercept = func(c *Conn) Interceptor {
			socket := &deadlined{Conn: c.raw}
			c.raw, c.rw = socket, socket
			sockets <- socket
			return nil
		}
		k := r.loggedIn()
		k.send("NOOP\r\n")
		k.want("250")
		<-time.After(4 * time.Minute)
		socket := <-sockets
		socket.mu.Lock()
		defer socket.mu.Unlock()
		if !socket.write.After(time.Now()) || socket.write.After(time.Now().Add(5*time.Minute)) {
			t.Errorf("after four minutes writes are allowed until %v from now", time.Until(socket.write))
		}
	})
}

// A deadlined conn knows until when it may be written to.
type deadlined struct {
	net.Conn
	mu    sync.Mutex
	write time.Time
}

func (d *deadlined) SetWriteDeadline(at time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write = at
	return d.Conn.SetWriteDeadline(at)
}

// What a connection that waits costs: the guard's part of it, buffers given back.
func TestIdleCost(t *testing.T) {
	const n = 200
	r := newRig(t, &Guard{}, false, false)
	before := heap()
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = r.hello()
	}
	each := (heap() - before) / n
	t.Logf("%d octets of heap for both ends of an idle connection", each)
	if each > 48<<10 {
		t.Errorf("an idle connection and its client cost %d octets", each)
	}
	runtime.KeepAlive(clients)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func TestHooksAndIdentity(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var events []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, s)
	}
	closed := make(chan *Conn, 1)
	r := newRig(t, &Guard{Hooks: Hooks{
		Opened: func(c *Conn) {
			c.User = "mine"
			if len(c.Session()) != 12 || c.Addr() != loopback || c.TLS() != nil || c.Context().Err() != nil {
				t.Errorf("%v: %v, TLS %v", c.Session(), c.Addr(), c.TLS())
			}
			note("opened")
		},
		StartTLS: func(*Conn) { note("starttls") },
		Handshake: func(c *Conn, err error) {
			note("handshake")
		},
		Violation: func(_ *Conn, what string) { note(what) },
		Closed: func(c *Conn, err error) {
			if err != nil {
				t.Errorf("closed: %v", err)
			}
			note("closed")
			closed <- c
		},
	}}, false, false)
	k := r.hello()
	k.say("QUIT", "221")
	k.Close()
	c := <-closed
	if c.TLS() == nil || c.Context().Err() == nil || c.User != "mine" {
		t.Errorf("TLS %v, context %v, user %v", c.TLS(), c.Context().Err(), c.User)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(events, " "); got != "opened starttls handshake closed" {
		t.Errorf("got %s", got)
	}
}
