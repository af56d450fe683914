package guard

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
)

// checklist 1, 2, 3, 5, 8, 9, 20, 24, 25, 26, 27, 28, 30
func TestClear(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{MaxMessageSize: 1000}, false, false)
	k := r.clear()
	reply := k.say("ehlo localhost", "250-mx.test\r\n250-")
	if strings.Contains(reply, "AUTH") || !strings.Contains(reply, "250-SIZE 1000\r\n") || !strings.HasSuffix(reply, "250 STARTTLS\r\n") {
		t.Errorf("EHLO in clear: %q", reply)
	}
	k.say("HELO x", "250 mx.test\r\n")
	k.say("NOOP", "250 2.0.0")
	k.say("RSET", "250 2.0.0")
	for _, line := range []string{"MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", "BDAT 5", "AUTH PLAIN AGEAYg==", "VRFY x", "HELP", "WHAT"} {
		k.say(line, "530 5.7.0 Must issue a STARTTLS command first")
	}
	k.say("STARTTLS x", "501 5.5.4")
	k.say("STARTTLS", "220 2.0.0")
	k = k.startTLS()
	k.say("MAIL FROM:<a@b>", "503 5.5.1")
	reply = k.say("EHLO x", "250-mx.test")
	if !strings.Contains(reply, "AUTH PLAIN") || strings.Contains(reply, "STARTTLS") {
		t.Errorf("EHLO in TLS: %q", reply)
	}
	k.say("STARTTLS", "503 5.5.1")
	k.say("QUIT", "221 2.0.0")
	k.wantEnd()

	k = r.clear()
	k.say("QUIT", "221 2.0.0")
	k.wantEnd()
	k = r.clear()
	k.send("POST / HTTP/1.1\r\nHost: x\r\n\r\n")
	k.wantEnd()
}

// checklist 31
func TestStartTLSWithMoreIsRefused(t *testing.T) {
	t.Parallel()
	k := newRig(t, &Guard{}, false, false).clear()
	k.send("STARTTLS\r\nNOOP\r\n")
	k.want("554 5.5.1")
	k.wantEnd()
}

// checklist 32
func TestBrokenHandshakeCloses(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	k := newRig(t, &Guard{Hooks: Hooks{Handshake: func(_ *Conn, err error) { failed <- err }}}, false, false).clear()
	k.say("STARTTLS", "220")
	k.send("NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n")
	rest, err := io.ReadAll(k.r)
	if err != nil || strings.Contains(string(rest), "250") {
		t.Errorf("got %q, %v after a broken handshake", rest, err)
	}
	if err := <-failed; err == nil {
		t.Error("no error told")
	}
}

// checklist 29
func TestNoCertificate(t *testing.T) {
	t.Parallel()
	k := newRig(t, &Guard{TLS: func() *tls.Config { return nil }}, false, false).clear()
	k.say("STARTTLS", "421 4.7.0")
	k.wantEnd()
}

// checklist 36
func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, true, false)
	k := newClient(t, r.dial()).startTLS()
	k.want("220 mx.test ESMTP")
	k.say("EHLO x", "250-mx.test")
	k.say("QUIT", "221")
	k.wantEnd()
}

func TestClearHook(t *testing.T) {
	t.Parallel()
	g := &Guard{Hooks: Hooks{Clear: func(_ *Conn, verb string) *smtp.SMTPError {
		if verb != "MAIL" {
			return nil
		}
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "TLS failed before"}
	}}}
	k := newRig(t, g, false, false).clear()
	k.say("MAIL FROM:<a@b>", "451 4.7.0 TLS failed before\r\n")
	k.say("RCPT TO:<a@b>", "530 5.7.0")
}

func TestLimits(t *testing.T) {
	t.Parallel()
	const tries = 1000
	refused := make(chan netip.Addr, 2+tries) // none of them waits
	r := newRig(t, &Guard{PerAddress: 1, MaxConnections: 2, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Hooks: Hooks{Refused: func(a netip.Addr, _ *smtp.SMTPError) { refused <- a }}}, false, false)
	proxied := func(header string) *client {
		k := newClient(t, r.dial())
		k.send(header)
		return k
	}
	one := proxied("PROXY TCP6 2001:db8::1 ::1 5 25\r\n")
	one.want("220")
	two := proxied("PROXY TCP6 2001:db8::2 ::1 5 25\r\nEHLO early\r\n")
	two.want("421 4.7.0 mx.test takes no more than 1 connections")
	two.wantEnd()
	if a := <-refused; a != netip.MustParseAddr("2001:db8::2") {
		t.Errorf("refused %v", a)
	}
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x00\x05\x00\x19"
	three := proxied(v2)
	three.want("220")
	proxied("PROXY TCP4 192.0.2.2 127.0.0.1 5 25\r\n").want("421 4.3.2 mx.test serves 2")
	<-refused
	three.say("QUIT", "221")
	three.wantEnd()
	three.Close()
	proxied("EHLO no header\r\n").wantEnd()
	// The client sees the end before the server has counted it.
	for range tries {
		greeting, err := proxied("PROXY UNKNOWN\r\n").read()
		if err == nil && strings.HasPrefix(greeting, "220") {
			return
		}
	}
	t.Error("the place of a connection that has ended is never free")
}

// On a door with implicit TLS nothing is said in clear to those who are turned away, and what was counted is forgotten when it is over.
func TestLimitsOfImplicitTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &Guard{PerAddress: 1}, true, true)
		free := func() int {
			r.g.mu.Lock()
			defer r.g.mu.Unlock()
			return len(r.g.origins) + r.g.admitted + len(r.g.conns)
		}
		var pathless []*client // as on a socket that is none of IP: nobody is told from another
		for range 2 {
			k := newClient(t, r.dial()).startTLS()
			k.want("220")
			pathless = append(pathless, k)
		}
		r.pipe.peer = proxyAddr
		k := newClient(t, r.dial()).startTLS()
		k.want("220")
		second := newClient(t, r.dial())
		second.wantEnd()
		for _, k := range append(pathless, k) {
			k.say("QUIT", "221")
			k.Close()
		}
		second.Close()
		synctest.Wait()
		if n := free(); n != 0 {
			t.Errorf("%d entries are left of those who have gone", n)
		}
	})
}

// gluedConn sends first along with the first octets written.
type gluedConn struct {
	net.Conn
	first string
}

func (g *gluedConn) Write(p []byte) (int, error) {
	glued := append([]byte(g.first), p...)
	n, err := g.Conn.Write(glued)
	n -= len(g.first)
	g.first = ""
	return max(n, 0), err
}

func TestProxyHeaderBeforeImplicitTLS(t *testing.T) {
	t.Parallel()
	opened := make(chan netip.Addr, 1)
	r := newRig(t, &Guard{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Hooks: Hooks{Opened: func(c *Conn) { opened <- c.Addr() }}}, true, false)
	k := newClient(t, &gluedConn{r.dial(), "PROXY TCP4 192.0.2.7 127.0.0.1 5 465\r\n"}).startTLS()
	k.want("220 mx.test ESMTP")
	if a := <-opened; a != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("client is %v", a)
	}
}

// Strangers do not say who they are for somebody else.
// fault 63
func TestStrangersProxyHeader(t *testing.T) {
	t.Parallel()
	opened := make(chan *Conn, 1)
	r := newRig(t, &Guard{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Hooks: Hooks{Opened: func(c *Conn) { opened <- c }}}, false, false)
	k := r.clear()
	k.say("PROXY TCP4 192.0.2.2 127.0.0.1 5 25", "530 5.7.0")
	k.say("XCLIENT ADDR=192.0.2.2 LOGIN=alice", "530 5.7.0")
	k.send(proxy2(0x21, 0x11, proxyIPv4) + "\r\n")
	for range 4 { // lines
		k.want("5")
	}
	k.say("STARTTLS", "220")
	k = k.startTLS()
	k.say("EHLO x", "250-")
	for _, line := range []string{"PROXY TCP4 192.0.2.2 127.0.0.1 5 25", "XCLIENT ADDR=192.0.2.2 LOGIN=alice", "XFORWARD ADDR=192.0.2.2"} {
		k.say(line, "500 5.5.2")
	}
	if c := <-opened; c.Addr() != loopback || c.RemoteAddr().(*net.TCPAddr).IP.String() != "127.0.0.1" {
		t.Errorf("the client is %v, %v", c.Addr(), c.RemoteAddr())
	}
}

// Whatever comes in the place of a handshake ends the connection, without much of it being read or any wait.
// fault 30
func TestHostileHandshakes(t *testing.T) {
	record := func(kind byte, size int, content string) string {
		return string([]byte{kind, 3, 3, byte(size >> 8), byte(size)}) + content
	}
	const most = 16 << 10
	for name, hostile := range map[string]string{
		"a hello of 16 MiB":     record(22, most, "\x01\xff\xff\xff\x03\x03"+strings.Repeat("x", most-6)),
		"a record of 64 KiB":    record(22, 0xffff, strings.Repeat("x", 0xffff)),
		"changes of the cipher": record(20, 1, "\x01"),
		"empty records":         record(22, 0, ""),
		"warnings":              record(21, 2, "\x01\x00"),
		"early data":            record(23, most, strings.Repeat("x", most)),
		"clear text":            "MAIL FROM:<a@b.test>\r\n",
	} {
		for _, implicit := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				failed := make(chan error, 1)
				r := newRig(t, &Guard{Hooks: Hooks{Handshake: func(_ *Conn, err error) { failed <- err }}}, implicit, true)
				k := newClient(t, r.dial())
				if !implicit {
					k.want("220")
					k.say("STARTTLS", "220")
				}
				began := time.Now()
				var reading sync.WaitGroup
				reading.Go(func() {
					if rest, _ := io.ReadAll(k.r); strings.Contains(string(rest), "250") {
						t.Errorf("%s: got %q", name, rest)
					}
				})
				taken := 0
				for {
					n, err := io.WriteString(k, hostile)
					if taken += n; err != nil {
						break
					}
				}
				if err := <-failed; err == nil || taken > 100<<10 || time.Since(began) > 10*time.Second {
					t.Errorf("%s: handshake: %v, after %v and %d octets", name, err, time.Since(began), taken)
				}
				k.Close()
				reading.Wait()
			})
		}
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := origin(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("origin(%s) = %s, want %s", addr, got, want)
		}
	}
	if origin(netip.Addr{}).IsValid() {
		t.Error("no address has an origin")
	}
}

type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

// fault 29: a full table of file descriptors is waited out, without spinning, and told once a minute.
func TestAcceptSurvivesFullTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := &net.OpError{Op: "accept", Err: &net.OpError{Err: syscall.EMFILE}}
		var told []error
		g := &Guard{Hooks: Hooks{Starved: func(err error) { told = append(told, err) }}}
		errs := append([]error{syscall.ECONNABORTED}, slices.Repeat([]error{full}, 67)...)
		l := g.Listen(&failing{errs: append(errs, net.ErrClosed)}, false)
		began := time.Now()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took < time.Minute || took > 70*time.Second {
			t.Errorf("68 failures took %v", took)
		}
		if len(told) != 2 || !errors.Is(told[0], syscall.EMFILE) {
			t.Errorf("told %v", told)
		}
	})
}
