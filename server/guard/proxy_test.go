package guard

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// proxy2 is a header of version 2 with what stands behind its length.
func proxy2(command, family byte, rest string) string {
	header := append([]byte(nil), beginProxy2...)
	header = append(header, command, family)
	return string(binary.BigEndian.AppendUint16(header, uint16(len(rest)))) + rest
}

const (
	proxyIPv4 = "\xc0\x00\x02\x07\x7f\x00\x00\x01\x00\x05\x00\x19" // 192.0.2.7 port 5 to 127.0.0.1 port 25
	proxyIPv6 = "\x20\x01\x0d\xb8" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" + "\x20\x01\x0d\xb8" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x00\x05\x00\x19"
)

// headers of a proxy, and whose address they tell.
var proxyHeaders = map[string]string{
	"PROXY UNKNOWN\r\n": "",
	"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n": "", // the longest
	"PROXY TCP4 192.0.2.7 127.0.0.1 5 25\r\n":                              "192.0.2.7",
	"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n":           "255.255.255.255",
	"PROXY TCP6 :: :: 1 1\r\n":                                             "::",
	"PROXY TCP6 2001:db8::7 2001:db8::1 5 25\r\n":                          "2001:db8::7",
	proxy2(0x21, 0x11, proxyIPv4):                                          "192.0.2.7",
	proxy2(0x21, 0x21, proxyIPv6):                                          "2001:db8::7",
	proxy2(0x21, 0x11, proxyIPv4+"\x04\x00\x02\r\n"):                       "192.0.2.7", // with an extension
	proxy2(0x21, 0x11, proxyIPv4+"\x04\x0f\xf1"+strings.Repeat("x", 4081)): "192.0.2.7", // as long as it may be
	proxy2(0x20, 0x00, ""):                                                 "",          // a health check
	proxy2(0x20, 0x11, proxyIPv4):                                          "",
}

// A header may come in parts, cut anywhere, and what follows it in the same part is left where it is. The client's address is the one that it tells.
func TestProxyHeaderInParts(t *testing.T) {
	t.Parallel()
	const rest = "EHLO laptop\r\n"
	for header := range proxyHeaders {
		at := []int{1, 2, 5, 6, 11, 12, 14, 15, 16, 17, len(header) - 1, len(header)}
		if len(header) < 200 {
			for i := range len(header) {
				at = append(at, i)
			}
		}
		for _, at := range at {
			all := header + rest
			parts := io.MultiReader(strings.NewReader(all[:at]), strings.NewReader(all[at:]))
			if at == 0 {
				parts = iotest.OneByteReader(parts)
			}
			got, err := readProxyHeader(parts)
			if err != nil || string(got) != header {
				t.Errorf("%.40q cut at %d: got %.40q, %v", header, at, got, err)
				continue
			}
			if left, _ := io.ReadAll(parts); string(left) != rest {
				t.Errorf("%.40q cut at %d: %q is left", header, at, left)
			}
		}
	}
}

// The same before the server, octet by octet, on doors of both kinds.
func TestProxyHeaderOctetByOctet(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		for header, want := range proxyHeaders {
			synctest.Test(t, func(t *testing.T) {
				opened := make(chan netip.Addr, 1)
				r := proxied(t, &Guard{Hooks: Hooks{Opened: func(c *Conn) { opened <- c.Addr() }}}, implicit)
				k := newClient(t, r.dial())
				for _, octet := range strings.SplitAfter(header, "") {
					k.send(octet)
				}
				if implicit {
					k = k.startTLS()
				}
				k.want("220 mx.test ESMTP")
				if want == "" {
					want = proxyAddr.Addr().String()
				}
				if got := <-opened; got.String() != want {
					t.Errorf("%.40q: the client is %v, want %v", header, got, want)
				}
				k.say("QUIT", "221")
				k.wantEnd()
				k.Close()
			})
		}
	}
}

// What is no header is not waited for once that is clear, and a header without end is not read on.
func TestNoProxyHeader(t *testing.T) {
	long := "PROXY UNKNOWN " + strings.Repeat("x", 200)
	for sent, taken := range map[string]int{
		"E":                                     1,
		"PROXY\r":                               6,
		"\r\n\r\n\x00\r\nQUIT\r":                12,
		"PROXYTCP4 ":                            6,
		long:                                    longestProxy1,
		"PROXY TCP4 192.0.2.7 127.0.0.1 5 25\n": 36,
		"PROXY TCP4 192.0.2.7 127.0.0.1 5 66666\r\n":                     40,
		"PROXY TCP4 192.0.2.7 127.0.0.1 5\r\n":                           34,
		"PROXY TCP9 192.0.2.7 127.0.0.1 5 25\r\n":                        37,
		"PROXY \r\nEHLO x\r\n":                                           16,
		"PROXY UNKNOWN\nE\n":                                             16,
		proxy2(0x31, 0x11, proxyIPv4):                                    28,
		proxy2(0x21, 0x11, proxyIPv4[1:]):                                27,
		proxy2(0x21, 0x55, proxyIPv4):                                    28,
		proxy2(0x21, 0x11, proxyIPv4+strings.Repeat("x", 4097-12)):       16,
		proxy2(0x20, 0x00, strings.Repeat("\r\nMAIL FROM:<x@y>", 0xf00)): 16,
	} {
		synctest.Test(t, func(t *testing.T) {
			violations := make(chan string, 1)
			r := proxied(t, &Guard{Hooks: Hooks{
				Opened:    func(*Conn) { t.Errorf("%.40q was let in", sent) },
				Violation: func(_ *Conn, what string) { violations <- what },
			}}, false)
			conn := newClient(t, r.dial())
			begin := time.Now()
			n := 0
			for n < len(sent) {
				if _, err := io.WriteString(conn, sent[n:n+1]); err != nil {
					break
				}
				n++
			}
			got, err := io.ReadAll(conn)
			if took := time.Since(begin); err != nil || len(got) > 0 || n != taken || took != 0 {
				t.Errorf("%.40q: %d octets were read, want %d; got %q, %v after %v", sent, n, taken, got, err, took)
			}
			if what := <-violations; what != "no valid PROXY header from a listed proxy" {
				t.Errorf("%.40q: told %q", sent, what)
			}
			conn.Close()
		})
	}
}

// The whole header has half a minute, however its octets come, and nobody else waits for it.
// fault 27
func TestSlowProxyHeader(t *testing.T) {
	for header := range proxyHeaders {
		if len(header) < 20 {
			continue // such as come in half a minute
		}
		synctest.Test(t, func(t *testing.T) {
			r := proxied(t, &Guard{}, false)
			conn := newClient(t, r.dial())
			begin := time.Now()
			var sending sync.WaitGroup
			sending.Go(func() { trickle(conn, 2*time.Second, strings.SplitAfter(header, "")) })
			other := r.dial()
			io.WriteString(other, "PROXY UNKNOWN\r\n")
			newClient(t, other).want("220 ")
			if got, err := io.ReadAll(conn); err != nil || len(got) > 0 || time.Since(begin) != 30*time.Second {
				t.Errorf("%.40q: got %q, %v after %v", header, got, err, time.Since(begin))
			}
			conn.Close()
			other.Close()
			sending.Wait()
		})
	}
}

// Whatever a proxy sends, in whatever parts: no more is read than one header, and it is the same.
func FuzzProxyHeader(f *testing.F) {
	for header := range proxyHeaders {
		f.Add([]byte(header), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		whole, err := readProxyHeader(bytes.NewReader(in))
		left := bytes.NewReader(in)
		parts, errParts := readProxyHeader(&stepReader{left, int(step)%7 + 1})
		if diff := cmp.Diff(whole, parts); diff != "" || (err == nil) != (errParts == nil) {
			t.Fatalf("%q, %v; in parts of %d %q, %v", whole, err, step, parts, errParts)
		}
		if err == nil && (len(in)-left.Len() != len(whole) || !bytes.HasPrefix(in, whole) || len(whole) > longestProxy2) {
			t.Fatalf("%d octets were read for a header of %d", len(in)-left.Len(), len(whole))
		}
	})
}

// A stepReader gives no more than n octets at a time.
type stepReader struct {
	io.Reader
	n int
}

func (s *stepReader) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.n)]) }

var proxyAddr = netip.MustParseAddrPort("198.51.100.9:1234")

// proxied is a rig over pipes whose other end is a proxy.
func proxied(t *testing.T, g *Guard, implicit bool) *rig {
	g.Proxies = []netip.Prefix{netip.PrefixFrom(proxyAddr.Addr(), 32)}
	r := newRig(t, g, implicit, true)
	r.pipe.peer = proxyAddr
	return r
}
