package doctor

import (
	"bufio"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// An authority is a CA of the tests' own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, parent *authority, name string) *authority {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-1000 * time.Hour * 24), NotAfter: time.Now().Add(1000 * time.Hour * 24)}
	cert, key := sign(t, template, parent)
	return &authority{cert, key}
}

// sign makes a certificate; without a parent it signs itself.
func sign(t *testing.T, template *x509.Certificate, parent *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if parent == nil {
		parent = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, &key.PublicKey, parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// leaf is a certificate for names, or for 127.0.0.1 and mx.example.org, good between two moments from now.
func (a *authority) leaf(t *testing.T, from, until time.Duration, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}, DNSNames: names, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(until)}
	if len(names) == 0 {
		template.DNSNames, template.IPAddresses = []string{"mx.example.org"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	cert, key := sign(t, template, a)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// A script is a submission server that answers as it is told to, beginning with the longest prefix of the command.
type script struct {
	banner    string
	clear     map[string]string // replies before TLS
	secure    map[string]string // replies inside TLS, where they differ
	config    *tls.Config
	implicit  bool
	injection bool // carries what it has read into TLS

	authority *authority
	addr      netip.AddrPort
	mu        sync.Mutex
	heard     []string // "tls " in front of what came inside TLS
}

const offersTLS = "250-mx.example.org\r\n250-SIZE 52428800\r\n250 STARTTLS"

// startScript listens on loopback; what is empty in s is filled with what a good server says.
func startScript(t *testing.T, s *script) *script {
	t.Helper()
	s.authority = newAuthority(t, nil, "test CA")
	if s.config == nil {
		s.config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if s.config.Certificates == nil {
		s.config.Certificates = []tls.Certificate{s.authority.leaf(t, -day, 89*day)}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = netip.MustParseAddrPort(l.Addr().String())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return s
}

// good are the replies of a server with which nothing is wrong.
var good = map[string]string{
	"EHLO": offersTLS, "STARTTLS": "220 go ahead", "AUTH": "530 5.7.0 Must issue a STARTTLS command first", "MAIL": "451 4.7.0 come back with TLS",
	"RCPT": "503 5.5.1 no", "RSET": "250 2.0.0 ok", "NOOP": "250 2.0.0 ok", "QUIT": "221 2.0.0 bye", "DATA": "503 5.5.1 no",
	"tls EHLO": "250-mx.example.org\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN", "tls AUTH": "235 2.7.0 Logged in",
	"tls MAIL": "530 5.7.0 Authentication required",
}

func (s *script) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	in, prefix := bufio.NewReader(conn), ""
	if s.implicit {
		conn = tls.Server(conn, s.config)
		in, prefix = bufio.NewReader(conn), "tls "
	}
	io.WriteString(conn, cmp.Or(s.banner, "220 mx.example.org ESMTP")+"\r\n")
	loggedIn := false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.mu.Lock()
		s.heard = append(s.heard, prefix+line)
		s.mu.Unlock()
		answer := s.answer(prefix, line, loggedIn)
		loggedIn = loggedIn || strings.HasPrefix(answer, "235")
		if answer == "close" {
			return
		}
		io.WriteString(conn, answer+"\r\n")
		switch {
		case line == "QUIT":
			return
		case line == "DATA" && strings.HasPrefix(answer, "354"):
			s.content(in, conn)
		case line == "STARTTLS" && strings.HasPrefix(answer, "220"):
			early := io.LimitReader(in, int64(in.Buffered()))
			if !s.injection {
				io.Copy(io.Discard, early)
				early = strings.NewReader("")
			}
			conn = tls.Server(conn, s.config)
			in, prefix = bufio.NewReader(io.MultiReader(early, conn)), "tls "
		}
	}
}

// answer takes a script's own replies before the good ones, and "login " ones after a login.
func (s *script) answer(prefix, line string, loggedIn bool) string {
	own := s.clear
	if prefix != "" {
		own = s.secure
	}
	word, _, _ := strings.Cut(line, " ")
	if loggedIn {
		if a := own["login "+word]; a != "" {
			return a
		}
		if word == "MAIL" || word == "RCPT" {
			return "250 2.1.0 ok"
		}
	}
	return cmp.Or(own[line], own[word], good[prefix+word], good[word], "500 5.5.2 what?")
}

func (s *script) content(in *bufio.Reader, conn net.Conn) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		s.mu.Lock()
		s.heard = append(s.heard, strings.TrimRight(line, "\r\n"))
		s.mu.Unlock()
		if line == ".\r\n" {
			io.WriteString(conn, s.secure["."]+"\r\n")
			return
		}
	}
}

func (s *script) transcript() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.heard, "\n")
}

// client examines it, and trusts its authority.
func (s *script) client() Client {
	return Client{Host: s.addr.Addr().String(), Port: int(s.addr.Port()), Roots: s.authority.pool()}
}

// examine runs an examination and returns all findings.
func examine(t *testing.T, c Client) []Finding {
	t.Helper()
	var all []Finding
	if err := c.Run(t.Context(), func(f Finding) { all = append(all, f) }); err != nil {
		t.Fatal(err)
	}
	return all
}

// find returns the findings of one check.
func find(all []Finding, check string) []Finding {
	var some []Finding
	for _, f := range all {
		if f.Check == check {
			some = append(some, f)
		}
	}
	return some
}
