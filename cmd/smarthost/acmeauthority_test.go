package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"github.com/rs/zerolog"
)

// TestMain tells Pebble, which asks the environment alone, to check at once, to check each name anew, and to refuse no request by chance.
func TestMain(m *testing.M) {
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_AUTHZREUSE", "0")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	m.Run()
}

// An acmeAuthority is Pebble, the ACME server that Let's Encrypt has for tests, in this process. It finds every name at 127.0.0.1.
type acmeAuthority struct {
	Directory string
	CA        string         // file of the certificate of its HTTPS
	Roots     *x509.CertPool // of what it issues
	HTTP, TLS string         // where it looks for the answers to its checks

	mu        sync.Mutex
	asked     map[string]int // requests by the beginning of their path
	intercept func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

func newAuthority(t *testing.T, life time.Duration) *acmeAuthority {
	a := &acmeAuthority{asked: map[string]int{}, HTTP: freePort(t), TLS: freePort(t)}
	log := stdlog.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(log, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(life / time.Second)}})
	checks := va.New(log, port(t, a.HTTP), port(t, a.TLS), false, nameServer127(t), store)
	front := wfe.New(log, store, checks, issuer, nil, false, false, 0, 0)
	next := front.Handler()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		a.asked[kind]++
		intercept := a.intercept
		a.mu.Unlock()
		if intercept != nil {
			intercept(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	a.Directory = s.URL + wfe.DirectoryPath
	a.CA = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(a.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	a.Roots = x509.NewCertPool()
	a.Roots.AddCert(issuer.GetRootCert(0).Cert)
	return a
}

// Intercept puts something between the clients and the authority.
func (a *acmeAuthority) Intercept(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.intercept = f
}

// Orders is how many orders have been placed.
func (a *acmeAuthority) Orders() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked["order-plz"]
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func port(t *testing.T, addr string) int {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// nameServer127 knows every name, at 127.0.0.1.
func nameServer127(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if question := q.Question[0]; question.Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		w.WriteMsg(m)
	})}
	ready := make(chan struct{})
	s.NotifyStartedFunc = func() { close(ready) }
	go s.ActivateAndServe()
	<-ready
	t.Cleanup(func() { s.Shutdown() })
	return l.Addr().String()
}

// logLines is a log that tests can wait for.
type logLines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{}
}

func newLogLines() *logLines { return &logLines{grown: make(chan struct{}, 1)} }

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.grown <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Await returns when the log holds the words n times.
func (l *logLines) Await(t *testing.T, words string, n int) {
	t.Helper()
	late := time.After(20 * time.Second)
	for strings.Count(l.String(), words) < n {
		select {
		case <-l.grown:
		case <-late:
			t.Fatalf("the log does not say %q %d times:\n%s", words, n, l)
		}
	}
}

// issuer is what a server has that uses the authority. Another call with the same folder is a restart.
func (a *acmeAuthority) issuer(folder, hostname string) (*certificates, *logLines) {
	log := newLogLines()
	c := &Config{Hostname: hostname, Data: folder}
	c.TLS.ACME, c.TLS.ACMEDirectory, c.TLS.ACMECA, c.TLS.ACMEEmail = true, a.Directory, a.CA, "postmaster@example.org"
	c.Listen.ACMEHTTP, c.Listen.ACMETLS = a.HTTP, a.TLS
	certificates := newCertificates(c, zerolog.New(log))
	certificates.ACME.Issued = certificates.Reload
	return certificates, log
}
