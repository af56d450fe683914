package guard

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

var errProxy = errors.New("no valid PROXY header from a listed proxy")

// Sizes of PROXY headers in octets, see https://www.haproxy.org/download/3.4/doc/proxy-protocol.txt
const (
	shortestProxy = len("PROXY UNKNOWN\r\n") // of both versions
	longestProxy1 = 107                      // §2.1
	prefixProxy2  = 16                       // §2.2; behind it, as many octets as its last two say
	longestProxy2 = prefixProxy2 + 4096      // where the addresses take 216 and the rest is for extensions that nobody here reads
)

// What PROXY headers begin with.
var (
	beginProxy1 = []byte("PROXY ")
	beginProxy2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// proxied tells whether c comes from a peer that must send a PROXY header.
func (c *Conn) proxied() bool {
	addr := c.Addr().Unmap()
	for _, p := range c.g.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// readProxy reads the PROXY header, version 1 or 2, and takes the client's address from it. A proxy that speaks for itself
// (LOCAL, UNKNOWN) keeps its own. All of the header must come within Timeouts.Handshake.
func (c *Conn) readProxy() error {
	c.arm(time.Now().Add(c.t.Handshake), true)
	text, err := readProxyHeader(c.raw)
	if err != nil {
		return errProxy
	}
	header, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		return errProxy
	}
	if src, _, ok := header.TCPAddrs(); ok && header.Command.IsProxy() {
		addr := src.AddrPort()
		c.mu.Lock()
		c.peer = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		c.mu.Unlock()
	}
	return nil
}

// readProxyHeader reads a PROXY header, in however many parts it comes, and not an octet more: what follows is the client's. What cannot be one
// any more is an error at once. Whether it is right is for others to say.
func readProxyHeader(r io.Reader) ([]byte, error) {
	text := make([]byte, 0, longestProxy1)
	for len(text) < shortestProxy {
		n, err := r.Read(text[len(text):shortestProxy])
		text = text[:len(text)+n]
		if err != nil {
			return nil, err
		}
		if !beginsLike(text, beginProxy1) && !beginsLike(text, beginProxy2) {
			return nil, errProxy
		}
	}
	if text[0] == beginProxy2[0] {
		return readProxy2(r, text)
	}
	for text[len(text)-1] != '\n' { // nobody knows where it ends before it does
		if len(text) == longestProxy1 {
			return nil, errProxy
		}
		next := text[len(text) : len(text)+1]
		if _, err := io.ReadFull(r, next); err != nil {
			return nil, err
		}
		text = text[:len(text)+1]
	}
	return text, nil
}

// readProxy2 reads the rest of a header of version 2.
func readProxy2(r io.Reader, begin []byte) ([]byte, error) {
	var prefix [prefixProxy2]byte
	n := copy(prefix[:], begin)
	if _, err := io.ReadFull(r, prefix[n:]); err != nil {
		return nil, err
	}
	size := prefixProxy2 + int(binary.BigEndian.Uint16(prefix[prefixProxy2-2:]))
	if size > longestProxy2 {
		return nil, errProxy
	}
	text := make([]byte, size)
	n = copy(text, prefix[:])
	_, err := io.ReadFull(r, text[n:])
	return text, err
}

// beginsLike tells whether text begins with begin, as far as it goes.
func beginsLike(text, begin []byte) bool {
	n := min(len(text), len(begin))
	return bytes.Equal(text[:n], begin[:n])
}
