package server

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// tcp runs a server on loopback sockets, one door of each kind.
func tcp(t *testing.T, change func(*Server)) (s *Server, doors []Door) {
	t.Helper()
	for _, implicit := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		doors = append(doors, Door{Listener: l, Implicit: implicit})
	}
	s = open(t, change).server
	own := &Server{Hostname: s.Hostname, Auth: s.Auth, Policy: s.Policy, Spool: s.Spool, Destination: s.Destination, TLS: s.TLS,
		PerAddress: s.PerAddress, MaxConnections: s.MaxConnections, Proxies: s.Proxies}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := own.Run(ctx, doors); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		run.Wait()
	})
	return own, doors
}

// greeted connects and stays connected until the test ends.
func greeted(t *testing.T, d Door, header string) {
	t.Helper()
	c, err := net.Dial("tcp", d.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write([]byte(header)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
}

// Health is asked while all places are taken, and when this machine's address is that of a load balancer.
func TestProbeCountsForNoLimit(t *testing.T) {
	s, doors := tcp(t, func(s *Server) {
		s.PerAddress, s.MaxConnections = 1, 1
		s.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	})
	greeted(t, doors[0], "")
	for range 3 {
		if err := s.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Connections(); n != 1 {
		t.Errorf("%d connections count, want the one that is no probe", n)
	}
}

func TestProbeFromAProxyBringsNoHeader(t *testing.T) {
	s, doors := tcp(t, func(s *Server) { s.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	greeted(t, doors[0], "PROXY TCP4 192.0.2.1 192.0.2.2 1234 587\r\n")
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

// A load balancer that looks whether the port is open connects and hangs up.
func TestProxyThatSendsNoHeader(t *testing.T) {
	s, doors := tcp(t, func(s *Server) { s.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	greeted(t, doors[0], "PROXY TCP4 192.0.2.1 192.0.2.2 1234 587\r\n")
	for _, text := range []string{"", "EHLO laptop\r\n"} {
		c, err := net.Dial("tcp", doors[0].Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte(text))
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestProbeNamesTheDoorThatIsShut(t *testing.T) {
	if err := new(Server).Probe(t.Context()); err == nil {
		t.Error("a server that does not run greets")
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut.Close()
	var s Server
	s.probing.begin(s.newGuard(), []Door{{Listener: silent}, {Listener: shut}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // the silent one lets the probe in and hangs up
		if c, err := silent.Accept(); err == nil {
			c.Close()
		}
	}()
	err = s.Probe(ctx)
	cancel()
	if err == nil || !strings.Contains(err.Error(), silent.Addr().String()+": it lets clients in and does not greet") || !strings.Contains(err.Error(), shut.Addr().String()+": dial") {
		t.Errorf("%v", err)
	}
}

func TestRefusalsAreTold(t *testing.T) { synctest.Test(t, testRefusalsAreTold) }

func testRefusalsAreTold(t *testing.T) {
	var mu sync.Mutex
	var told []Refusal
	h := open(t, func(s *Server) {
		s.Refused = func(r Refusal) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, r)
		}
	})
	clear := talk{t, h.player(t)}
	clear.do("@connect", "S: 220 .*", "C: EHLO laptop", "S: 250-.*", "S: 250-.*", "S: 250-.*", "S: 250-.*", "S: 250-.*", "S: 250 .*", "C: MAIL FROM:<a@example.org>", "S: 530 .*")
	clear.Leave()
	c := h.enter(t, "")
	c.do("@fail 1", "C: MAIL FROM:<a@example.org>", "S: 530 .*", "@login alice", "C: MAIL FROM:<eve@example.net>", "S: 550 .*",
		"C: MAIL FROM:<alice@example.org>", "S: 250 .*", "@spool failing", "C: RCPT TO:<x@example.net>", "S: 250 .*", "C: DATA", "S: 354 .*", "C: Subject: x", "C: .", "S: 451 .*")
	mu.Lock()
	defer mu.Unlock()
	for i := range told {
		if told[i].Reply == "" || told[i].Address != netip.MustParseAddr("192.0.2.1") || told[i].At.IsZero() || len(told[i].Session) != 12 {
			t.Errorf("%+v lacks something", told[i])
		}
	}
	want := []Refusal{
		{Stage: "MAIL", Code: 530},
		{Stage: "AUTH", Code: 535, Hello: "laptop", Account: "alice"},
		{Stage: "MAIL", Code: 530, Hello: "laptop", Account: "alice", From: "a@example.org"},
		{Stage: "MAIL", Code: 550, Hello: "laptop", Account: "alice", From: "eve@example.net"},
		{Stage: "DATA", Code: 451, Hello: "laptop", Account: "alice", From: "alice@example.org"},
	}
	if diff := cmp.Diff(want, told, cmpopts.IgnoreFields(Refusal{}, "At", "Session", "Address", "Reply")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
