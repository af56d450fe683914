package deliver

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
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/route"
)

// A peer is a scripted hop. Answers are raw octets; "hang" says nothing more, "close" closes, a final "close" closes after
// the octets before it.
type peer struct {
	greeting string            // "" = 220
	ehlo     []string          // what EHLO offers
	inTLS    []string          // what it offers in TLS; nil = ehlo without STARTTLS
	answer   map[string]string // by beginning of the command, the longest counts; "." is the final dot
	tls      *tls.Config
	direct   bool // TLS from the first octet

	mu       sync.Mutex
	commands []string
	bodies   []string // as on the wire
	conns    int
}

func (p *peer) dial(wg *sync.WaitGroup) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		p.mu.Lock()
		p.conns++
		p.mu.Unlock()
		b := &buffered{Conn: server, queue: make(chan []byte, 1000)}
		wg.Go(b.pump)
		wg.Go(func() { p.serve(b) })
		return client, nil
	}
}

// A buffered connection takes what is written at once, as a kernel does; crypto/tls cannot do without.
type buffered struct {
	net.Conn
	queue chan []byte
}

func (b *buffered) Write(p []byte) (int, error) {
	b.queue <- []byte(string(p))
	return len(p), nil
}

func (b *buffered) Close() error {
	close(b.queue)
	return nil
}

func (b *buffered) pump() {
	defer b.Conn.Close()
	for p := range b.queue {
		b.Conn.Write(p)
	}
}

func (p *peer) serve(nc net.Conn) {
	defer nc.Close()
	secure := p.direct
	if secure {
		nc = tls.Server(nc, p.tls)
	}
	br := bufio.NewReader(nc)
	say := func(s string) (open bool) {
		text, shut := strings.CutSuffix(s, "close")
		if text == "hang" {
			io.Copy(io.Discard, br)
			return false
		}
		_, err := io.WriteString(nc, text)
		return err == nil && !shut
	}
	if !say(or(p.greeting, "220 peer ready\r\n")) {
		return
	}
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		p.note(line)
		a := p.reply(line, secure)
		if !say(a) {
			return
		}
		switch {
		case line == "DATA" && strings.HasPrefix(a, "354"):
			body, err := readBody(br)
			if err != nil {
				return
			}
			p.mu.Lock()
			p.bodies = append(p.bodies, body)
			p.mu.Unlock()
			if !say(p.reply(".", secure)) {
				return
			}
		case line == "STARTTLS" && strings.HasPrefix(a, "220"):
			t := tls.Server(nc, p.tls)
			if t.Handshake() != nil {
				return
			}
			nc, br, secure = t, bufio.NewReader(t), true
		case line == "QUIT":
			return
		}
	}
}

func readBody(br *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" && (b.Len() == 0 || strings.HasSuffix(b.String(), "\r\n")) {
			return b.String(), nil
		}
		b.WriteString(line)
	}
}

func (p *peer) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands = append(p.commands, line)
}

func (p *peer) reply(line string, secure bool) string {
	best := ""
	for prefix := range p.answer {
		if strings.HasPrefix(line, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	if best != "" {
		return p.answer[best]
	}
	verb, _, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO":
		ext := p.ehlo
		if secure && p.inTLS != nil {
			ext = p.inTLS
		}
		s := "250-peer\r\n"
		for _, e := range ext {
			if e != "STARTTLS" || !secure {
				s += "250-" + e + "\r\n"
			}
		}
		return s + "250 HELP\r\n"
	case "DATA":
		return "354 go on\r\n"
	case "STARTTLS":
		return "220 go ahead\r\n"
	case "AUTH":
		return "235 2.7.0 welcome\r\n"
	case "QUIT":
		return "221 bye\r\n"
	default:
		return "250 2.0.0 fine\r\n"
	}
}

// said returns the commands with that beginning.
func (p *peer) said(prefix string) (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.commands {
		if strings.HasPrefix(c, prefix) {
			out = append(out, c)
		}
	}
	return out
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

const content = "Subject: x\r\n\r\n.dot\r\nbody\r\n"

func opener(s string) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

func message(to ...string) Message {
	m := Message{From: "a@sender.example", Open: opener(content), Size: int64(len(content))}
	for _, t := range to {
		m.Recipients = append(m.Recipients, Recipient{Address: t})
	}
	return m
}

var (
	mx    = route.Hop{Host: "mx.example", Port: 25, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	relay = route.Hop{Host: "mx.example", Port: 587, Addrs: mx.Addrs, Relay: true, TLS: route.Required, User: "u", Password: "secret"}
)

// bubble runs f with a Deliverer that talks to the peer, in time that only passes when all wait.
func bubble(t *testing.T, p *peer, f func(t *testing.T, d *Deliverer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		d := &Deliverer{Hostname: "us.example", Dial: p.dial(&wg), RootCAs: roots}
		f(t, d)
		wg.Wait()
	})
}

// codes are the codes of results in order.
func codes(rs []Result) (out []int) {
	for _, r := range rs {
		out = append(out, r.Reply.Code)
	}
	return out
}

// deferred asserts that the hop could not be talked to, in words with the given text.
func deferred(t *testing.T, rs []Result, err error, text string) {
	t.Helper()
	e, ok := err.(*smtp.SMTPError) // the bare value is promised
	if !ok || !e.Temporary() || !strings.Contains(e.Message, text) || rs != nil {
		t.Errorf("got %v, %v; want no results and 4xx with %q", rs, err, text)
	}
}

var (
	roots                           = x509.NewCertPool()
	goodTLS, wrongTLS, oldTLS, self = certificates()
)

// certificates makes an authority, and server configurations: good, for another name, expired, self-signed.
func certificates() (good, wrong, old, own *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	// synctest's time begins in the year 2000.
	from, to := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	issue := func(c, parent *x509.Certificate, key *ecdsa.PrivateKey) *tls.Config {
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, key)
		if err != nil {
			panic(err)
		}
		if c == ca {
			root, _ := x509.ParseCertificate(der)
			roots.AddCert(root)
		}
		return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	}
	leaf := func(name string, to time.Time) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to, DNSNames: []string{name}}
	}
	issue(ca, ca, key)
	stranger := leaf("mx.example", to)
	strange, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return issue(leaf("mx.example", to), ca, key), issue(leaf("other.example", to), ca, key),
		issue(leaf("mx.example", from.AddDate(0, 6, 0)), ca, key), issue(stranger, stranger, strange)
}

var errBroken = errors.New("disk broke")
