package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/policy"
	"github.com/seed-1397b510/smarthost/server/guard"
)

const (
	standardSize  = 50 << 20         // octets of content, if MaxMessageSize is 0
	standardDrain = 30 * time.Second // if DrainTimeout is 0
)

// An Authenticator decides who a client is; *auth.Authenticator is one.
type Authenticator interface {
	// Mechanisms are offered in EHLO, in this order. They do not depend on whether the accounts can be reached just now:
	// clients that miss AUTH go on without it.
	Mechanisms() []string
	// Begin starts one exchange. The server it returns gives refusals as *smtp.SMTPError: 535 for wrong credentials, 454 if that
	// could not be found out, 501 for a malformed response. ok is called once, before Next reports that it is done.
	Begin(ctx context.Context, mechanism string, peer auth.Peer, ok func(auth.Login)) (sasl.Server, error)
	// Still is called at each MAIL, and when the message's content has come, with what ok was given. It returns the login as it is now, or says why it is of no use any more.
	Still(ctx context.Context, l auth.Login, peer auth.Peer) (now auth.Login, why string)
}

// A Store begins messages; every spool.Store is one.
type Store interface {
	Create(ctx context.Context, e *spool.Envelope) (spool.Draft, error)
}

// A Door is a listener with the way in which TLS begins behind it.
type Door struct {
	Listener net.Listener
	Implicit bool // TLS from the first octet (RFC 8314 §3.3), else STARTTLS (RFC 3207)
}

// A Server takes mail from clients that log in. Its fields must not change once Run was called.
type Server struct {
	Hostname    string                      // greets clients and stands in refusals; required
	Auth        Authenticator               // required
	Policy      *policy.Policy              // required
	Spool       Store                       // required
	Destination func(address string) string // which recipients travel together, see spool.Recipient; required
	// TLS returns the configuration of the next handshake; nil: there is no certificate now, so that STARTTLS ends the connection. Required.
	TLS func() *tls.Config
	Log zerolog.Logger
	// MaxMessageSize is the most octets of one message's content, told in EHLO (RFC 1870); 0 is 50 MiB.
	MaxMessageSize int64

	PerAddress      int            // concurrent connections from one IPv4 address or IPv6 /64; 0 = no limit
	MaxConnections  int            // concurrent connections in all; 0 = no limit
	MaxAuthFailures int            // failed AUTHs that end a connection; 0 = 10
	Proxies         []netip.Prefix // peers that begin with a PROXY header
	RequireTLS      bool           // offer REQUIRETLS (RFC 8689): whoever forwards the mail must honour it
	Timeouts        guard.Timeouts
	// DrainTimeout is how long Run waits at the end for messages that are being received; 0 is 30 s.
	DrainTimeout time.Duration
	// Memory of clients, to be kept over restarts; nil: one that lasts as long as Run.
	Memory *Memory

	Metrics prometheus.Registerer // where Run registers what it counts; nil: nowhere
	// Ready is called by Run when the doors are taken: clients are served, and Probe finds the doors. nil: nobody is told.
	Ready func()
	// Intercept gives each connection somebody who may answer in the server's place, see [guard.Guard]; nil: nobody, as in service.
	Intercept func(c *guard.Conn) guard.Interceptor
	// Refused is told of every refusal, on the connection's goroutine; it must not block. nil: nobody is.
	Refused func(Refusal)

	settings atomic.Pointer[Settings]
	metrics  *metrics
	probing  probing
}

// Configure changes the settings, now and at any time while Run runs. Settings with a fault change nothing.
func (s *Server) Configure(settings Settings) error {
	if err := settings.Validate(); err != nil {
		return err
	}
	settings = settings.withDefaults()
	s.settings.Store(&settings)
	return nil
}

// current are the settings of this moment.
func (s *Server) current() *Settings {
	if settings := s.settings.Load(); settings != nil {
		return settings
	}
	standard := Settings{}.withDefaults()
	return &standard
}

func (s *Server) maxMessageSize() int64 {
	if s.MaxMessageSize == 0 {
		return standardSize
	}
	return s.MaxMessageSize
}

// Run serves the doors until ctx ends. Then it closes them, tells idle clients 421 at once, lets messages that are being received end within
// DrainTimeout, and returns nil when no goroutine is left. It returns an error if a field is missing or a listener breaks. The listeners are
// closed in any case.
func (s *Server) Run(ctx context.Context, doors []Door) error {
	if err := s.check(doors); err != nil {
		for _, d := range doors {
			if d.Listener != nil {
				d.Listener.Close()
			}
		}
		return err
	}
	if s.Memory == nil {
		s.Memory = new(Memory)
	}
	s.metrics = s.newMetrics(s.Metrics)
	g := s.newGuard()
	core := s.newCore()
	s.probing.begin(g, doors)
	if s.Ready != nil {
		s.Ready()
	}

	serving, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	var wg sync.WaitGroup
	listeners := make([]net.Listener, len(doors))
	for i, d := range doors {
		l := g.Listen(d.Listener, d.Implicit)
		listeners[i] = l
		wg.Go(func() {
			if err := core.Serve(l); err != nil {
				broken(fmt.Errorf("serve %s: %w", l.Addr(), err))
			}
		})
	}
	<-serving.Done()
	cause := context.Cause(serving)
	for _, l := range listeners {
		l.Close()
	}
	wg.Wait()
	s.drain(ctx, g)
	// All connections are closed; what is left are goroutines of go-smtp that are about to notice. Shutdown waits for them. It is of no
	// use before, since it does not tell idle clients, and after it Close does nothing.
	if err := core.Shutdown(context.WithoutCancel(ctx)); err != nil && !errors.Is(err, net.ErrClosed) {
		s.Log.Debug().Err(err).Msg("listener closed")
	}
	if ctx.Err() != nil {
		return nil
	}
	return cause
}

// drain ends the connections.
func (s *Server) drain(ctx context.Context, g *guard.Guard) {
	patience := s.DrainTimeout
	if patience == 0 {
		patience = standardDrain
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := g.Drain(ctx); err != nil {
		s.Log.Warn().Err(err).Dur("patience", patience).Msg("connections were cut at the end")
	}
}

// check names every required field that is missing.
func (s *Server) check(doors []Door) error {
	var faults []error
	missing := func(name string, is bool) {
		if is {
			faults = append(faults, fmt.Errorf("server: %s is required", name))
		}
	}
	missing("Hostname", s.Hostname == "")
	missing("Auth", s.Auth == nil)
	missing("a mechanism of Auth", s.Auth != nil && len(s.Auth.Mechanisms()) == 0)
	missing("Policy", s.Policy == nil)
	missing("Spool", s.Spool == nil)
	missing("Destination", s.Destination == nil)
	missing("TLS", s.TLS == nil)
	missing("a door", len(doors) == 0)
	for _, d := range doors {
		missing("a door's listener", d.Listener == nil)
	}
	if s.MaxMessageSize < 0 || s.DrainTimeout < 0 {
		faults = append(faults, errors.New("server: MaxMessageSize and DrainTimeout must not be negative"))
	}
	return errors.Join(faults...)
}

// newCore makes the protocol core. TLS, limits and deadlines are the guard's: go-smtp sees a connection that is ready for AUTH.
func (s *Server) newCore() *smtp.Server {
	core := smtp.NewServer(smtp.BackendFunc(s.newSession))
	core.Domain = s.Hostname
	core.ErrorLog = protocolLog{s.Log}
	core.AllowInsecureAuth = true // the guard hands over no connection without TLS, and the session asks again
	core.MaxLineLength = 0
	core.MaxMessageBytes = 0 // the guard counts, and tells the limit
	core.EnableSMTPUTF8 = true
	core.EnableDSN = true
	core.EnableREQUIRETLS = s.RequireTLS
	return core
}

func (s *Server) newGuard() *guard.Guard {
	return &guard.Guard{
		Hostname:        s.Hostname,
		TLS:             s.TLS,
		PerAddress:      s.PerAddress,
		MaxConnections:  s.MaxConnections,
		MaxMessageSize:  s.maxMessageSize(),
		MaxAuthFailures: s.MaxAuthFailures,
		Proxies:         s.Proxies,
		RequireTLS:      s.RequireTLS,
		MaxRecipients:   func() int { return s.current().MaxRecipients },
		Timeouts:        s.Timeouts,
		Exempt:          s.probing.expected,
		Intercept:       s.Intercept,
		Hooks: guard.Hooks{
			Starved:   s.starved,
			Opened:    s.opened,
			Refused:   s.turnedAway,
			Clear:     s.clear,
			StartTLS:  s.startTLS,
			Handshake: s.handshake,
			Replied:   s.replied,
			Violation: s.violation,
			Closed:    s.closed,
		},
	}
}
