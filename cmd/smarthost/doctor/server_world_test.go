package doctor

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// A zone is what name servers on loopback know: records in the form of a zone file, and names that get SERVFAIL.
type zone struct {
	records []string
	failing []string
	deafFor *atomic.Int32 // questions that get no answer; nil = none
}

func (z zone) answer(w mdns.ResponseWriter, q *mdns.Msg) {
	if z.deafFor != nil && z.deafFor.Add(-1) >= 0 {
		return
	}
	m := new(mdns.Msg)
	m.SetReply(q)
	m.Rcode = mdns.RcodeNameError
	asked := q.Question[0]
	for _, text := range z.records {
		rr, err := mdns.NewRR(text)
		if err != nil {
			panic(err)
		}
		if rr.Header().Name == asked.Name {
			m.Rcode = mdns.RcodeSuccess
			if rr.Header().Rrtype == asked.Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
	}
	for _, name := range z.failing {
		if name == asked.Name {
			m.Rcode = mdns.RcodeServerFailure
		}
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		m.Truncate(mdns.MinMsgSize)
	}
	w.WriteMsg(m)
}

// serve answers on UDP and TCP until the test ends, and returns where.
func (z zone) serve(t *testing.T) string {
	t.Helper()
	listener, conn := samePort(t)
	for _, server := range []*mdns.Server{{PacketConn: conn, Handler: mdns.HandlerFunc(z.answer)}, {Listener: listener, Handler: mdns.HandlerFunc(z.answer)}} {
		started, ended := make(chan struct{}), make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			server.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			server.Shutdown()
			<-ended
		})
	}
	return conn.LocalAddr().String()
}

// samePort listens on one port for TCP and UDP. A port that is free for one may be taken for the other.
func samePort(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if conn, err := net.ListenPacket("udp", listener.Addr().String()); err == nil {
			return listener, conn
		}
		listener.Close()
	}
	t.Fatal("no port is free for both TCP and UDP")
	return nil, nil
}

// A peer is a scripted SMTP server.
type peer struct {
	greeting string            // "" = 220; "hang" says nothing
	offers   []string          // keywords of EHLO before TLS
	inTLS    []string          // and inside
	answers  map[string]string // by beginning of the command, those of TLS with "tls:" before
	tls      *tls.Config
	implicit bool

	mu   sync.Mutex
	said []string
}

// serve takes connections on loopback until the test ends.
func (p *peer) serve(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				defer conn.Close()
				p.talk(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		stop()
		all.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

func (p *peer) talk(conn net.Conn) {
	secure := p.implicit
	if secure {
		conn = tls.Server(conn, p.tls)
	}
	in := bufio.NewReader(conn)
	say := func(text string) { conn.Write([]byte(text + "\r\n")) }
	switch p.greeting {
	case "":
		say("220 mx.example.org ESMTP")
	case "hang":
	default:
		say(p.greeting)
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		p.mu.Lock()
		p.said = append(p.said, line)
		p.mu.Unlock()
		say(p.answer(line, secure))
		switch {
		case line == "QUIT":
			return
		case line == "STARTTLS" && p.tls != nil:
			conn = tls.Server(conn, p.tls)
			in, secure = bufio.NewReader(conn), true
		}
	}
}

func (p *peer) answer(line string, secure bool) string {
	verb, _, _ := strings.Cut(line, " ")
	for _, key := range []string{"tls:" + verb, verb} {
		if text, ok := p.answers[key]; ok && (secure || key == verb) {
			return text
		}
	}
	switch {
	case verb == "EHLO" && secure:
		return strings.Join(append([]string{"250-peer"}, p.inTLS...), "\r\n250-") + "\r\n250 HELP"
	case verb == "EHLO":
		return strings.Join(append([]string{"250-peer"}, p.offers...), "\r\n250-") + "\r\n250 HELP"
	case verb == "STARTTLS":
		return "220 go"
	case verb == "AUTH":
		return "235 2.7.0 welcome"
	case verb == "QUIT":
		return "221 bye"
	}
	return "250 2.0.0 fine"
}

// A world leads connections to addresses of the whole Internet to peers on loopback; all others are refused.
type world map[string]netip.AddrPort

func (w world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	at, ok := w[address]
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return new(net.Dialer).DialContext(ctx, network, at.String())
}

// visitTo examines s, with the answers of z and the peers of w.
func visitTo(t *testing.T, s Server, z zone, w world) *visit {
	t.Helper()
	if s.Hostname == "" {
		s.Hostname = "mx.example.org"
	}
	if s.Resolver == nil {
		s.Resolver = &DNS{Servers: []string{z.serve(t)}}
	}
	if s.Addresses == nil {
		s.Addresses = addrs("127.0.0.1", "198.51.100.7", "2001:db8:a::7")
	}
	if s.Sources == nil {
		s.Sources = addrs("198.51.100.7", "2001:db8:a::7")
	}
	s.Dial = w.dial
	return s.visit(t.Context())
}

func addrs(words ...string) []netip.Addr {
	all := make([]netip.Addr, len(words))
	for i, w := range words {
		all[i] = netip.MustParseAddr(w)
	}
	return all
}

// shows asserts what was found, in order, each as "level check: part of the words". All but good ones say why and what to do.
func shows(t *testing.T, found []Finding, want ...string) {
	t.Helper()
	for i, f := range found {
		if (f.Level == Good) != (f.Why == "") || (f.Level == Good) != (f.Do == "") {
			t.Errorf("%s %s: %s: why %q, do %q", f.Level, f.Check, f.What, f.Why, f.Do)
		}
		if i >= len(want) {
			t.Errorf("also found: %s %s: %s", f.Level, f.Check, f.What)
			continue
		}
		head, words, _ := strings.Cut(want[i], ": ")
		if got := f.Level.String() + " " + f.Check; got != head || !strings.Contains(f.Where+" "+f.What, words) {
			t.Errorf("got  %s: %s %s\nwant %s", got, f.Where, f.What, want[i])
		}
	}
	for i := len(found); i < len(want); i++ {
		t.Errorf("not found: %s", want[i])
	}
}

// An issuer makes certificates of one authority.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue signs a certificate; a nil issuer has it sign itself.
func (i *issuer) issue(t *testing.T, name string, ca bool, from, to time.Time) *issuer {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		IsCA: ca, BasicConstraintsValid: ca}
	if ca {
		template.KeyUsage = x509.KeyUsageCertSign
	} else {
		template.DNSNames = []string{name}
	}
	parent, signer := template, key
	if i != nil {
		parent, signer = i.cert, i.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}
}

// serverTLS is what a server with this certificate uses.
func (i *issuer) serverTLS(chain ...*issuer) *tls.Config {
	c := tls.Certificate{PrivateKey: i.key, Certificate: [][]byte{i.cert.Raw}}
	for _, above := range chain {
		c.Certificate = append(c.Certificate, above.cert.Raw)
	}
	return &tls.Config{Certificates: []tls.Certificate{c}}
}
