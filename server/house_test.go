package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/policy"
	"github.com/seed-1397b510/smarthost/policy/limit"
	"github.com/seed-1397b510/smarthost/server/dialogue"
)

const (
	hostname = dialogue.Hostname
	password = dialogue.Password
)

// house is a server with real accounts, policy and guard, behind doors that are pipes. Only the accounts' store and the
// spool's are doubles, which can be put into trouble.
type house struct {
	server      *Server
	submission  *pipeListener
	submissions *pipeListener
	accounts    *dialogue.Accounts
	store       *memoryStore
	certificate *certificate
	log         *dialogue.Log
	registry    *prometheus.Registry
	stop        context.CancelFunc
	stopped     chan error // what Run returned
}

// open starts a server that ends with the test.
func open(t testing.TB, change func(*Server)) *house {
	h := &house{
		submission:  newPipeListener(),
		submissions: newPipeListener(),
		accounts:    new(dialogue.Accounts),
		store:       new(memoryStore),
		certificate: new(certificate),
		log:         new(dialogue.Log),
		registry:    prometheus.NewRegistry(),
		stopped:     make(chan error, 1),
	}
	h.server = &Server{
		Metrics:     h.registry,
		Hostname:    hostname,
		Auth:        &auth.Authenticator{Store: h.accounts},
		Policy:      &policy.Policy{Hostname: hostname, Limits: new(limit.Limits)}, // which limit nothing until a test says so
		Spool:       h.store,
		Destination: func(address string) string { return address[strings.LastIndexByte(address, '@')+1:] },
		TLS:         h.certificate.config,
		Log:         zerolog.New(h.log).With().Timestamp().Logger(),
	}
	if change != nil {
		change(h.server)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	var run sync.WaitGroup
	run.Go(func() {
		h.stopped <- h.server.Run(ctx, []Door{{Listener: h.submission}, {Listener: h.submissions, Implicit: true}})
	})
	t.Cleanup(func() {
		cancel()
		run.Wait()
	})
	return h
}

func (h *house) dial(t testing.TB, addr string, implicit bool) net.Conn {
	t.Helper()
	if addr == "" {
		addr = "192.0.2.1"
	}
	l := h.submission
	if implicit {
		l = h.submissions
	}
	conn, err := l.dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// stage is the house for dialogues.
func (h *house) stage() *dialogue.House {
	return &dialogue.House{
		Dial: func(from string, implicit bool) (net.Conn, error) {
			if implicit {
				return h.submissions.dial(from)
			}
			return h.submission.dial(from)
		},
		TLS: clientTLS(),
		Configure: func(to dialogue.Settings) error {
			return h.server.Configure(Settings{Unauthenticated: Mode(to.Unauthenticated), Help: to.Help, MaxRecipients: to.MaxRecipients, DuplicateWindow: to.DuplicateWindow})
		},
		Accounts:    h.accounts,
		Limits:      h.server.Policy.Limits,
		Spool:       h.store.be,
		Certificate: h.certificate.be,
		Kept:        h.store.kept,
		Log:         h.log,
		Registry:    h.registry,
	}
}

// player is a client of the house for dialogues.
func (h *house) player(t testing.TB) *dialogue.Player {
	return &dialogue.Player{House: h.stage(), File: t.Name()}
}

// TestDialogues plays the files in testdata, see package dialogue.
func TestDialogues(t *testing.T) {
	dialogue.Play(t, "testdata", func(t testing.TB, size int64) *dialogue.House {
		return open(t, func(s *Server) { s.MaxMessageSize = size }).stage()
	})
}

// memoryStore keeps what was committed, and knows duplicates as an engine does.
type memoryStore struct {
	mu       sync.Mutex
	state    string
	messages []stored
	sent     map[string]sent
	open     int // drafts neither committed nor aborted
}

type stored struct {
	envelope spool.Envelope
	seal     spool.Seal
	content  []byte
}

type sent struct {
	id    string
	until time.Time
}

var errDisk = errors.New("write /var/lib/smarthost/queue: input/output error")

func (m *memoryStore) be(state string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = state
	return nil
}

func (m *memoryStore) Create(_ context.Context, e *spool.Envelope) (spool.Draft, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.state {
	case "full":
		return nil, fmt.Errorf("create: %w", spool.ErrFull)
	case "broken":
		return nil, errDisk
	}
	m.open++
	return &memoryDraft{store: m, envelope: *e}, nil
}

func (m *memoryStore) kept() (of []dialogue.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.messages {
		one := dialogue.Message{Content: s.content}
		for _, r := range s.envelope.Recipients {
			one.Recipients = append(one.Recipients, r.Address)
		}
		of = append(of, one)
	}
	return of
}

type memoryDraft struct {
	store    *memoryStore
	envelope spool.Envelope
	content  bytes.Buffer
	ended    bool
}

func (d *memoryDraft) Write(b []byte) (int, error) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if d.store.state == "filling" {
		return 0, fmt.Errorf("write: %w", spool.ErrFull)
	}
	return d.content.Write(b)
}

func (d *memoryDraft) Commit(ctx context.Context, seal spool.Seal) error {
	m := d.store
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.state == "failing" {
		return errDisk
	}
	d.end()
	key := string(seal.Key)
	if earlier, ok := m.sent[key]; ok && key != "" && time.Now().Before(earlier.until) {
		return &spool.Duplicate{ID: earlier.id}
	}
	if m.sent == nil {
		m.sent = make(map[string]sent)
	}
	m.sent[key] = sent{d.envelope.ID, time.Now().Add(seal.Window)}
	content := bytes.Clone(seal.Top)
	from := int64(0)
	for _, cut := range seal.Cut {
		content = append(content, d.content.Bytes()[from:cut.From]...)
		from = cut.To
	}
	content = append(content, d.content.Bytes()[from:]...)
	d.envelope.Arrived, d.envelope.Size = seal.Arrived, int64(len(content))
	m.messages = append(m.messages, stored{d.envelope, seal, content})
	return nil
}

func (d *memoryDraft) Abort() error {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	d.end()
	return nil
}

func (d *memoryDraft) end() {
	if !d.ended {
		d.ended = true
		d.store.open--
	}
}

// certificate is what the server shows, valid from before the beginning of synctest's time.
type certificate struct {
	mu   sync.Mutex
	gone bool
}

func (c *certificate) be(there bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = !there
}

func (c *certificate) config() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil
	}
	return &tls.Config{Certificates: []tls.Certificate{keyPair()}, MinVersion: tls.VersionTLS12}
}

var keyPair = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{hostname},
		NotBefore:    time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// clientTLS trusts the server's certificate.
var clientTLS = sync.OnceValue(func() *tls.Config {
	leaf, err := x509.ParseCertificate(keyPair().Certificate[0])
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{RootCAs: pool, ServerName: hostname, MinVersion: tls.VersionTLS12}
})

// pipeListener is a listener whose connections are pipes from any address.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial(addr string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	peer := &net.TCPAddr{IP: net.ParseIP(addr), Port: 40000}
	select {
	case l.conns <- addressed{theirs, peer}:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25), Port: 587} }

type addressed struct {
	net.Conn
	peer net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.peer }
func (a addressed) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25), Port: 587} }

// forget drops all messages.
func (m *memoryStore) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages, m.sent = m.messages[:0], nil
}
