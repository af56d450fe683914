package smarthosttest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/policy"
	"github.com/seed-1397b510/smarthost/policy/limit"
	"github.com/seed-1397b510/smarthost/server"
)

// A Server is a submission server that keeps what it is sent. It is itself the inbox of all users together. Its methods may be called at
// the same time.
type Server struct {
	Addr    string // of the door with STARTTLS
	TLSAddr string // of the door with implicit TLS

	view
	config      Config
	engine      *server.Server
	limits      *limit.Limits
	accounts    accounts
	store       *store
	sessions    *sessions
	scripts     scripts
	observers   sync.Map // *observer by session id, of connections that are open
	authority   *authority
	certificate *tls.Config
	uncertified atomic.Bool // Trouble
	doors       [2]net.Listener
	holes       []func() error // ends of black holes
	dialled     atomic.Uint32  // connections in memory
	trust       trust

	running sync.WaitGroup
	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	stopped chan struct{}
	runErr  error // of the engine, when stopped is closed
	closing sync.Once
}

// NewServer starts a server that ends with the test, and fails the test if that is not possible. When the test has failed,
// the transcripts are in its log.
func NewServer(tb TB, options ...Option) *Server {
	tb.Helper()
	var c Config
	for _, o := range options {
		o(&c)
	}
	s, err := start(c, tb)
	if err != nil {
		tb.Fatalf("smarthosttest: %v", err)
		return nil
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("smarthosttest: %v", err)
		}
		if tb.Failed() {
			tb.Logf("%s", s.transcripts())
		}
	})
	return s
}

// Start starts a server outside of a test; the caller closes it. One, None and Script panic where they would fail a test.
func Start(c Config) (*Server, error) { return start(c, untested{}) }

func start(c Config, tb TB) (*Server, error) {
	s, err := build(c, tb)
	if err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// build makes all of a server but its doors.
func build(c Config, tb TB) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	s := &Server{config: c, limits: new(limit.Limits), store: newStore(c.MaxMessages, c.MaxOctets), sessions: newSessions(c.MaxSessions), stopped: make(chan struct{})}
	s.view = view{server: s, tb: tb}
	s.scripts.seed, s.scripts.magic.on = c.Seed, c.Magic
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, u := range c.Users {
		if err := s.accounts.add(u); err != nil {
			return nil, err
		}
	}
	s.limits.Configure(s.classes())
	var err error
	if s.authority, err = newAuthority(append([]string{c.Hostname, "localhost", "127.0.0.1", "::1"}, c.Hosts...)...); err != nil {
		return nil, err
	}
	leaf, err := s.authority.certificate(s.authority.template())
	if err != nil {
		return nil, err
	}
	s.certificate = serverTLS(leaf)
	s.engine, err = s.newEngine()
	return s, err
}

// open opens the doors and serves.
func (s *Server) open() error {
	if err := s.listen(); err != nil {
		return err
	}
	s.run()
	return nil
}

// newEngine is the production server, with memory in place of its stores.
func (s *Server) newEngine() (*server.Server, error) {
	c := &s.config
	engine := &server.Server{
		Hostname: c.Hostname,
		Auth:     &logins{s.newAuthenticator(), s},
		Policy:   &policy.Policy{Hostname: c.Hostname, Limits: s.limits, AllowLiterals: c.AllowLiterals},
		Spool:    s.store,
		Destination: func(address string) string {
			return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
		},
		TLS: func() *tls.Config {
			if s.uncertified.Load() {
				return nil
			}
			return s.certificate
		},
		Log:             c.Log,
		MaxMessageSize:  c.MaxMessageSize,
		PerAddress:      c.PerAddress,
		MaxConnections:  c.MaxConnections,
		MaxAuthFailures: c.MaxAuthFailures,
		Proxies:         c.Proxies,
		RequireTLS:      c.RequireTLS,
		Timeouts:        c.Timeouts,
		DrainTimeout:    closeTimeout,
		Intercept:       s.observe,
	}
	return engine, engine.Configure(c.Settings)
}

// newAuthenticator is the production server's, for hashes that cost next to nothing: logins do not stand in line for the processor, or
// they would be told 454 on a machine that runs many tests.
func (s *Server) newAuthenticator() *auth.Authenticator {
	return &auth.Authenticator{Store: &s.accounts, Log: s.config.Log, Verifications: manyLogins}
}

const manyLogins = 1 << 12 // at the same time

// closeTimeout is how long Close waits for a message that is being received.
const closeTimeout = 5 * time.Second

// classes are the limits of the config, and those of users with limits of their own.
func (s *Server) classes() map[string]limit.Class {
	classes := map[string]limit.Class{}
	maps.Copy(classes, s.config.Limits)
	s.accounts.mu.Lock()
	defer s.accounts.mu.Unlock()
	for name, of := range s.accounts.users {
		classes[ownClass(name)] = of.Limit
	}
	return classes
}

// SetUser adds a user, or changes the one of that name. Connections that are open see the change with their next message.
func (s *Server) SetUser(u User) error {
	if err := u.Validate(); err != nil {
		return err
	}
	if err := s.accounts.add(u); err != nil {
		return err
	}
	s.limits.Configure(s.classes())
	return nil
}

// Configure changes the settings, see [server.Settings].
func (s *Server) Configure(settings server.Settings) error { return s.engine.Configure(settings) }

// listen opens the doors.
func (s *Server) listen() error {
	addresses := [2]string{s.config.Listen, s.config.Implicit}
	for i := range s.doors {
		if s.config.InMemory {
			s.doors[i] = newPipeListener([2]int{587, 465}[i])
			continue
		}
		l, err := net.Listen("tcp", addresses[i])
		if err != nil {
			if i > 0 {
				s.doors[0].Close()
			}
			return err
		}
		s.doors[i] = l
	}
	if s.config.IPv6Blackhole {
		if err := s.swallowIPv6(); err != nil {
			return errors.Join(err, s.doors[0].Close(), s.doors[1].Close(), s.unswallow())
		}
	}
	s.Addr, s.TLSAddr = s.doors[0].Addr().String(), s.doors[1].Addr().String()
	return nil
}

// swallowIPv6 takes the doors' ports on ::1.
func (s *Server) swallowIPv6() error {
	for _, l := range s.doors {
		end, err := blackhole(l.Addr().(*net.TCPAddr).Port)
		if err != nil {
			return err
		}
		s.holes = append(s.holes, end)
	}
	return nil
}

// unswallow gives them back.
func (s *Server) unswallow() (err error) {
	for _, end := range s.holes {
		err = errors.Join(err, end())
	}
	s.holes = nil
	return err
}

// run serves until Close, and returns when clients are served.
func (s *Server) run() {
	ready := make(chan struct{})
	s.engine.Ready = func() { close(ready) }
	s.running.Go(func() {
		defer close(s.stopped)
		s.runErr = s.engine.Run(s.ctx, []server.Door{{Listener: wrapped{s.doors[0], s.ctx}}, {Listener: wrapped{s.doors[1], s.ctx}, Implicit: true}})
	})
	select {
	case <-ready:
	case <-s.stopped:
	}
}

// Close ends the server. Clients that are idle are told 421, a message that is being received may end, and no goroutine is left when it returns.
// A second Close does nothing.
func (s *Server) Close() error {
	var err error
	s.closing.Do(func() {
		s.stop()
		s.running.Wait()
		err = errors.Join(s.runErr, s.trust.remove(), s.unswallow())
	})
	return err
}

// User returns a user by its name.
func (s *Server) User(name string) (User, bool) { return s.accounts.find(name) }

// ClientTLS is a configuration with which a client trusts this server and no other. It is the caller's own.
func (s *Server) ClientTLS() *tls.Config {
	return &tls.Config{RootCAs: s.CertPool(), ServerName: s.config.Hostname, MinVersion: tls.VersionTLS12}
}

// CertPool holds the root that has signed the server's certificate.
func (s *Server) CertPool() *x509.CertPool { return s.authority.pool() }

// CAPEM is that root as PEM.
func (s *Server) CAPEM() []byte { return s.authority.pem() }

// DialContext connects to one of the server's doors, told apart by the port in address; a network or host that is not the server's is an error.
// It fits wherever a client takes a function to dial with, and is the only way to a server in memory.
func (s *Server) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	for i, l := range s.doors {
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if _, asked, err := net.SplitHostPort(address); err != nil || asked != port {
			continue
		}
		if memory, ok := l.(*pipeListener); ok {
			return memory.dial(ctx, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), s.nextPort()))
		}
		return new(net.Dialer).DialContext(ctx, network, s.doors[i].Addr().String())
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s is no address of this server; its doors are %s and %s", address, s.Addr, s.TLSAddr)}
}

// DialFrom connects to a server in memory from any address: by implicit TLS, or to the door with STARTTLS.
func (s *Server) DialFrom(ctx context.Context, from netip.Addr, implicit bool) (net.Conn, error) {
	door := s.doors[0]
	if implicit {
		door = s.doors[1]
	}
	memory, ok := door.(*pipeListener)
	if !ok {
		return nil, errors.New("smarthosttest: clients choose their address only with InMemory")
	}
	return memory.dial(ctx, netip.AddrPortFrom(from, s.nextPort()))
}

// nextPort is the client's port of the next connection in memory.
func (s *Server) nextPort() uint16 { return uint16(1024 + s.dialled.Add(1)%60000) }
