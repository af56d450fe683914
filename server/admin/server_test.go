package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

// pipes is a listener whose connections are pipes, for time that passes at once.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	end   chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), end: make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.end) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// run serves until the function that it returns is called.
func (h *house) run(t *testing.T, doors ...Door) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, doors) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the end: %v", err)
		}
	})
}

// A caller that sends its header or its body slowly, or reads nothing, is cut off.
func TestSlowCallers(t *testing.T) {
	for name, c := range map[string]struct {
		sent  string
		every time.Duration // between further octets
		most  time.Duration
	}{
		"says nothing":   {"", 0, web.HeaderTime},
		"header by drop": {"GET /livez HTTP/1.1\r\nX: ", time.Second, web.HeaderTime},
		"body by drop":   {"POST /api/v1/queue HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{", time.Second, web.ReadTime},
		"body stops":     {"POST /api/v1/queue HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{", 0, web.ReadTime},
		"idle":           {"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 0, web.IdleTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, l := newHouse(), newPipes()
				defer h.run(t, Door{Listener: l, Trusted: true})()
				conn := l.dial()
				defer conn.Close()
				began := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() {
					_, err := conn.Write([]byte(c.sent))
					for err == nil && c.every > 0 {
						time.Sleep(c.every)
						_, err = conn.Write([]byte("a"))
					}
				})
				said, _ := io.ReadAll(conn)
				took := time.Since(began)
				conn.Close()
				sending.Wait()
				if took < c.most || took > c.most+time.Second {
					t.Errorf("it lasted %s, want %s", took, c.most)
				}
				if name == "body stops" && !strings.Contains(string(said), " 408 ") {
					t.Errorf("%s", said)
				}
				if len(h.orders) > 0 {
					t.Error("half an order was carried out")
				}
			})
		})
	}
}

// An order for a million mails takes longer than a request may take to come, tells how far it is, and ends with whoever gave it.
func TestLongOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newHouse(), newPipes()
		cut := make(chan error, 1)
		h.change = func(ctx context.Context, progress func(Outcome)) (Outcome, error) {
			for n := range 120 {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					cut <- ctx.Err()
					return Outcome{Changed: n}, ctx.Err()
				}
				progress(Outcome{Changed: n})
			}
			return Outcome{Changed: 120}, nil
		}
		defer h.run(t, Door{Listener: l, Trusted: true})()
		const order = `{"do":"retry","all":true}`
		ask := func(accept string) net.Conn {
			conn := l.dial()
			fmt.Fprintf(conn, "POST /api/v1/queue HTTP/1.1\r\nHost: localhost\r\nAccept: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", accept, len(order), order)
			return conn
		}
		conn := ask("application/x-ndjson")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(response.Body)
		var pieces []Outcome
		for lines.Scan() {
			var o Outcome
			if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
				t.Fatal(err)
			}
			pieces = append(pieces, o)
		}
		conn.Close()
		if n := len(pieces); n != 121 || pieces[n-1].Changed != 120 || !pieces[n-1].Done || pieces[n-2].Done {
			t.Errorf("%d pieces, the last is %+v", n, pieces[len(pieces)-1])
		}

		conn = ask("application/json")
		response, err = http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		var whole Outcome
		if err := json.NewDecoder(response.Body).Decode(&whole); err != nil || whole.Changed != 120 || !whole.Done {
			t.Errorf("%+v %v", whole, err)
		}
		conn.Close()

		conn = ask("application/json")
		time.Sleep(3 * time.Second)
		conn.Close()
		synctest.Wait()
		select {
		case <-cut:
		default:
			t.Error("the order goes on though nobody waits for it")
		}
	})
}

func TestAnOrderThatFailsInTheMiddle(t *testing.T) {
	h := newHouse()
	h.change = func(_ context.Context, progress func(Outcome)) (Outcome, error) {
		progress(Outcome{Changed: 500})
		return Outcome{Changed: 500}, errors.New("disk of " + relayPassword)
	}
	text := h.check(t, asked{trusted: true, method: "POST", path: "/api/v1/queue", body: `{"do":"hold","all":true}`, accept: "application/x-ndjson", want: 200})
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"changed":500`) || !strings.Contains(lines[1], `"error":`) || strings.Contains(text, relayPassword) {
		t.Errorf("%q", text)
	}
	h.check(t, asked{trusted: true, method: "POST", path: "/api/v1/queue", body: `{"do":"hold","all":true}`, want: 500})
}

// The log names the user at the other end of the socket, and the socket's end is the server's.
func TestSocket(t *testing.T) {
	h := newHouse()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stop := h.run(t, Door{Listener: l, Trusted: true})
	defer stop()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	for range 2 * maxCallers { // each gives its place back
		client.CloseIdleConnections()
		response, err := client.Post("http://localhost/api/v1/reload", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatal(response.Status)
		}
	}
	stop()
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the socket is open still")
	}
	who := fmt.Sprintf(`"who":"uid %d"`, os.Getuid())
	if runtime.GOOS == "linux" && strings.Count(h.log.String(), who) != 2*maxCallers {
		t.Errorf("the log lacks %s", who)
	}
}

// A fault of ours ends one request, and the log tells where it was.
func TestPanicsAreLogged(t *testing.T) {
	h, l := newHouse(), newPipes()
	h.change = func(context.Context, func(Outcome)) (Outcome, error) { panic("of the queue") }
	stop := h.run(t, Door{Listener: l, Trusted: true})
	defer stop()
	for range 2 {
		conn := l.dial()
		const order = `{"do":"retry","all":true}`
		fmt.Fprintf(conn, "POST /api/v1/queue HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(order), order)
		if text, _ := io.ReadAll(conn); len(text) > 0 {
			t.Errorf("it answers %s", text)
		}
		conn.Close()
	}
	stop()
	if log := h.log.String(); strings.Count(log, "http: panic serving pipe: of the queue") != 2 || !strings.Contains(log, `"level":"error"`) {
		t.Errorf("the log is %s", log)
	}
}

func TestRunFails(t *testing.T) {
	l := newPipes()
	if err := new(Server).Run(t.Context(), []Door{{Listener: l}}); err == nil {
		t.Error("a server without fields runs")
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error("its door is open")
	}
	h, broken := newHouse(), newPipes()
	broken.Close()
	if err := h.Run(t.Context(), []Door{{Listener: newPipes()}, {Listener: broken}}); err == nil || !strings.Contains(err.Error(), "serve pipe") {
		t.Errorf("%v", err)
	}
}

func TestSpansAndScopes(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "2h": 2 * time.Hour, "5d": 120 * time.Hour, "1h30m": 90 * time.Minute,
		"": 0, "0": 0, "-2h": 0, "5dd": 0, "5d1h": 0, "99999999d": 0, "x": 0} {
		var s Span
		if err := s.UnmarshalText([]byte(text)); time.Duration(s) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %s, %v", text, time.Duration(s), err)
		}
		if want > 0 {
			again, _ := s.MarshalText()
			var back Span
			if err := back.UnmarshalText(again); err != nil || back != s {
				t.Errorf("%q becomes %q", text, again)
			}
		}
	}
	if got, err := ParseScopes("read, queue"); err != nil || len(got) != 2 || got[1] != Mail {
		t.Errorf("%v %v", got, err)
	}
	for _, list := range []string{"", "root", "read,", "read queue"} {
		if got, err := ParseScopes(list); err == nil {
			t.Errorf("%q: %v", list, got)
		}
	}
	if (Caller{}).May(Read) {
		t.Error("a token without scopes can read")
	}
	if text := fmt.Sprintf("%v %+v %#v", Relay("secret"), Order{Relay: "secret"}, Order{Relay: "secret"}); strings.Contains(text, "secret") {
		t.Error(text)
	}
}
