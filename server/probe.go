package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-1397b510/smarthost/server/guard"
)

// probeTime is how long a door may take to greet.
const probeTime = 3 * time.Second

// probing is what Run leaves behind for those who ask whether it serves.
type probing struct {
	mu    sync.Mutex
	guard *guard.Guard
	doors []Door
	peers map[netip.AddrPort]struct{} // connections of Probe
}

func (p *probing) begin(g *guard.Guard, doors []Door) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.guard, p.doors, p.peers = g, doors, map[netip.AddrPort]struct{}{}
}

func (p *probing) expect(peer netip.AddrPort, is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if is {
		p.peers[peer] = struct{}{}
	} else {
		delete(p.peers, peer)
	}
}

func (p *probing) expected(peer netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, is := p.peers[peer]
	return is
}

// Connections is how many connections are counted just now, of MaxConnections at most.
func (s *Server) Connections() int {
	s.probing.mu.Lock()
	g := s.probing.guard
	s.probing.mu.Unlock()
	if g == nil {
		return 0
	}
	return g.Admitted()
}

// Probe connects to each door as a client does and reads the greeting, inside TLS where TLS comes first. Its connections count for no limit,
// and bring no PROXY header. The error names the doors that do not greet; before Run there is none that does.
func (s *Server) Probe(ctx context.Context) error {
	s.probing.mu.Lock()
	doors := s.probing.doors
	s.probing.mu.Unlock()
	if len(doors) == 0 {
		return errors.New("no door is open")
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	faults := make([]error, len(doors))
	var wg sync.WaitGroup
	for i, d := range doors {
		wg.Go(func() {
			if err := s.probing.knock(ctx, d); err != nil {
				faults[i] = fmt.Errorf("%s: %w", d.Listener.Addr(), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(faults...)
}

// knock makes one connection. A listener that is none of TCP is taken for open.
func (p *probing) knock(ctx context.Context, d Door) error {
	at, ok := d.Listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil
	}
	conn, done, err := p.dial(ctx, at.AddrPort())
	if err != nil {
		return err
	}
	defer done()
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if d.Implicit {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // whether the certificate is right is another question
	}
	in := bufio.NewReader(conn)
	greeting, err := in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("it lets clients in and does not greet: %w", err)
	}
	if !strings.HasPrefix(greeting, "220 ") {
		return fmt.Errorf("it greets with %q", strings.TrimSpace(greeting))
	}
	if _, err := conn.Write([]byte("QUIT\r\n")); err == nil {
		in.ReadString('\n')
	}
	return nil
}

// dial connects from a port that is known before the other side can see the connection.
func (p *probing) dial(ctx context.Context, at netip.AddrPort) (conn net.Conn, done func(), err error) {
	addr := at.Addr().Unmap()
	if addr.IsUnspecified() {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	conn, done, err = p.dialAddr(ctx, netip.AddrPortFrom(addr, at.Port()))
	if err != nil && at.Addr().Is6() && at.Addr().IsUnspecified() {
		return p.dialAddr(ctx, netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()))
	}
	return conn, done, err
}

func (p *probing) dialAddr(ctx context.Context, at netip.AddrPort) (net.Conn, func(), error) {
	var self netip.AddrPort
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var bound error
		err := c.Control(func(fd uintptr) { self, bound = bind(int(fd), at.Addr()) })
		if err = errors.Join(err, bound); err == nil {
			p.expect(self, true)
		}
		return err
	}}
	done := func() {
		if self.IsValid() {
			p.expect(self, false)
		}
	}
	conn, err := dialer.DialContext(ctx, "tcp", at.String())
	if err != nil {
		done()
		return nil, nil, err
	}
	return conn, done, nil
}

// bind gives a socket a free port of an address of this machine.
func bind(fd int, addr netip.Addr) (netip.AddrPort, error) {
	var want unix.Sockaddr = &unix.SockaddrInet4{Addr: unmapped(addr)}
	if addr.Is6() {
		want = &unix.SockaddrInet6{Addr: addr.As16()}
		if zone, err := net.InterfaceByName(addr.Zone()); err == nil {
			want.(*unix.SockaddrInet6).ZoneId = uint32(zone.Index)
		}
	}
	if err := unix.Bind(fd, want); err != nil {
		return netip.AddrPort{}, err
	}
	got, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch got := got.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(got.Addr), uint16(got.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(got.Addr), uint16(got.Port)), nil
	}
	return netip.AddrPort{}, errors.New("the socket has no address")
}

func unmapped(addr netip.Addr) (four [4]byte) {
	if addr.Is4() {
		four = addr.As4()
	}
	return four
}
