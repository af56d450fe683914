package guard

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A backend records what go-smtp tells it.
type backend struct {
	mu   sync.Mutex
	name string // in EHLO, at the last MAIL
	from []string
	to   []string
	msgs []string
	errs []error

	early error         // Data's answer before it has read anything
	lazy  bool          // Data says yes without reading
	blind bool          // Data says yes whatever it has read
	store chan struct{} // if set, Data waits for it after reading
	busy  chan struct{} // if set, told when it does
}

func (b *backend) NewSession(c *smtp.Conn) (smtp.Session, error) { return &session{b, c}, nil }

func (b *backend) got() (from, to, msgs []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.from, b.to, b.msgs
}

type session struct {
	b *backend
	c *smtp.Conn
}

var errBusy = &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "enough"}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.name = s.c.Hostname()
	s.b.from = append(s.b.from, from)
	if from == "panic@x" {
		panic("test")
	}
	if from == "busy@x" {
		return errBusy
	}
	if from == "wide@x" {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "größe"}
	}
	if from == "plain@error" {
		return errors.New("secret inner words")
	}
	return nil
}

func (s *session) Rcpt(to string, opts *smtp.RcptOptions) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if strings.HasPrefix(to, "no@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "Nobody\x01\nof that name " + strings.Repeat("x ", 400)}
	}
	s.b.to = append(s.b.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	if s.b.early != nil {
		return s.b.early
	}
	if s.b.lazy {
		return nil
	}
	if c, ok := s.c.Conn().(*Conn); ok {
		r = c.Content()
	}
	body, err := io.ReadAll(r)
	if s.b.blind {
		return nil
	}
	if s.b.store != nil {
		s.b.busy <- struct{}{}
		<-s.b.store
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if err != nil {
		s.b.errs = append(s.b.errs, err)
		return err
	}
	s.b.msgs = append(s.b.msgs, string(body))
	return nil
}
func (s *session) AuthMechanisms() []string { return []string{"PLAIN"} }
func (s *session) Auth(mech string) (sasl.Server, error) {
	if mech != "PLAIN" {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	return sasl.NewPlainServer(func(_, user, pass string) error {
		if pass != "secret" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(100, 0, 0), DNSNames: []string{"mx.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS12}
}

// newServer is go-smtp as the guard wants it.
func newServer(b smtp.Backend) *smtp.Server {
	s := smtp.NewServer(b)
	s.Domain, s.AllowInsecureAuth, s.MaxLineLength = "inner.test", true, 0
	s.EnableSMTPUTF8, s.EnableDSN, s.EnableREQUIRETLS = true, true, true
	s.ErrorLog = log.New(io.Discard, "", 0)
	return s
}

// pipes is a listener whose connections are made by dial.
type pipes struct {
	peer  netip.AddrPort // where connections come from; the zero value: from no IP address
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }
func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	if p.peer.IsValid() {
		there = &placed{there, p.peer}
	}
	p.conns <- there
	return here
}

// A placed conn comes from an address.
type placed struct {
	net.Conn
	peer netip.AddrPort
}

func (p *placed) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(p.peer) }

// A rig is a guard with go-smtp behind it and a way in.
type rig struct {
	t    testing.TB
	g    *Guard
	b    *backend
	dial func() net.Conn
	pipe *pipes // nil over TCP
}

// newRig serves g over loopback TCP, or over pipes for tests in a bubble.
func newRig(t testing.TB, g *Guard, implicit, piped bool) *rig {
	t.Helper()
	g.Hostname = "mx.test"
	if g.TLS == nil {
		g.TLS = serverTLS
	}
	r := &rig{t: t, g: g, b: &backend{}}
	var l net.Listener
	if piped {
		p := newPipes()
		l, r.dial, r.pipe = p, p.dial, p
	} else {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l = tcp
		r.dial = func() net.Conn {
			c, err := net.Dial("tcp", tcp.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	guarded := g.Listen(l, implicit)
	var served sync.WaitGroup
	srv := newServer(r.b)
	served.Go(func() { srv.Serve(guarded) })
	t.Cleanup(func() {
		guarded.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		g.Drain(ctx)
		srv.Shutdown(context.Background())
		served.Wait()
	})
	return r
}

// A client speaks raw SMTP.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func newClient(t testing.TB, c net.Conn) *client {
	c.SetDeadline(time.Now().Add(20 * time.Minute)) // in bubbles this is false time
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && a != nil {
		c.SetDeadline(time.Now().Add(20 * time.Second))
	}
	t.Cleanup(func() { c.Close() })
	return &client{t, c, bufio.NewReaderSize(c, 512)}
}

// clear connects and reads the greeting.
func (r *rig) clear() *client {
	r.t.Helper()
	k := newClient(r.t, r.dial())
	k.want("220 mx.test ESMTP")
	return k
}

// secure goes on to the first command inside TLS.
func (r *rig) secure() *client {
	r.t.Helper()
	k := r.clear()
	k.say("STARTTLS", "220 2.0.0 Ready to start TLS")
	return k.startTLS()
}

// hello goes on to EHLO.
func (r *rig) hello() *client {
	r.t.Helper()
	k := r.secure()
	k.say("EHLO laptop", "250-mx.test")
	return k
}

// rcpt goes on to where DATA may follow.
func (r *rig) rcpt() *client {
	r.t.Helper()
	k := r.hello()
	k.envelope()
	return k
}

func (k *client) envelope() {
	k.t.Helper()
	k.say("MAIL FROM:<a@b.test>", "250 2.1.0 Sender ok")
	k.say("RCPT TO:<c@d.test>", "250 2.1.5 Recipient ok")
}

func (k *client) startTLS() *client {
	k.t.Helper()
	c := tls.Client(k.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		k.t.Fatalf("handshake: %v", err)
	}
	return &client{k.t, c, bufio.NewReaderSize(c, 512)}
}

func (k *client) send(s string) {
	k.t.Helper()
	if _, err := io.WriteString(k, s); err != nil {
		k.t.Fatalf("send %.60q: %v", s, err)
	}
}

// read reads one reply, all of its lines.
func (k *client) read() (string, error) {
	var reply strings.Builder
	for {
		line, err := k.r.ReadString('\n')
		reply.WriteString(line)
		if err != nil || len(line) < 4 || line[3] == ' ' {
			return reply.String(), err
		}
	}
}

func (k *client) want(prefix string) string {
	k.t.Helper()
	reply, err := k.read()
	if err != nil || !strings.HasPrefix(reply, prefix) {
		k.t.Fatalf("got %q, %v; want %q", reply, err, prefix)
	}
	return reply
}

func (k *client) say(line, prefix string) string {
	k.t.Helper()
	k.send(line + "\r\n")
	reply, err := k.read()
	if err != nil || !strings.HasPrefix(reply, prefix) {
		k.t.Fatalf("%.80q: got %q, %v; want %q", line, reply, err, prefix)
	}
	return reply
}

// wantEnd asserts that nothing more comes but the end.
func (k *client) wantEnd() {
	k.t.Helper()
	if rest, err := io.ReadAll(k.r); err != nil || len(rest) > 0 {
		k.t.Fatalf("got %q, %v; want the end", rest, err)
	}
}

var loopback = netip.MustParseAddr("127.0.0.1")
