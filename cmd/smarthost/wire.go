package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
	"github.com/seed-1397b510/smarthost/forward"
	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/notify"
	"github.com/seed-1397b510/smarthost/forward/route"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
	"github.com/seed-1397b510/smarthost/policy"
	"github.com/seed-1397b510/smarthost/policy/limit"
	"github.com/seed-1397b510/smarthost/server"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// service is the running server: everyone who takes part in the mail's way, introduced to those they need.
type service struct {
	Config       *Config // in force; only reload changes it
	Log          zerolog.Logger
	Certificates *certificates
	Users        *userfile.File
	Limits       *limit.Limits
	Policy       *policy.Policy
	Spool        *sqlitespool.Spool
	Router       *currentRouter
	Deliverer    *deliver.Deliverer
	Forwarder    *forward.Forwarder
	Server       *server.Server
	Sightings    *auth.Sightings
	State        *state
	Digest       *digest
	Notifier     *notify.Notifier
	Routes       *watchedRoutes
	Refusals     *admin.Refusals
	Metrics      *prometheus.Registry
	Health       *admin.Health
	Admin        *admin.Server

	Started               time.Time
	DoorNames, AdminNames []string // for people
	AdminDoors            []admin.Door
	AdminPassed           []net.Listener           // of them, those that were open before this program began
	inForce               atomic.Pointer[Config]   // Config, for those who ask while reload changes it
	configFault           atomic.Bool              // the last reload refused the config
	configWaits           atomic.Pointer[[]string] // keys whose new values wait for a restart
	files                 fileWatch                // only who reloads uses it
	writers               writers                  // of those files
	unwritten             atomic.Pointer[[]string] // files that a writer keeps open
	relayRoots            *x509.CertPool           // that the Deliverer trusts; only reload changes it
	reloads               chan chan<- error        // wishes for a reload; its end is told
}

// newService opens what the config names. The caller closes the Spool.
func newService(ctx context.Context, c *Config, log zerolog.Logger) (*service, error) {
	s := &service{Config: c, Log: log, Started: time.Now(), Metrics: newRegistry(), reloads: make(chan chan<- error)}
	s.inForce.Store(c)
	hooks, err := newHooks(c)
	if err != nil {
		return nil, err
	}
	queue := sqlitespool.Config{Dir: queueFolder(c), History: c.Queue.History, Metrics: s.Metrics, Log: log}
	if len(hooks) > 0 {
		queue.Listeners = hooks
	}
	store, err := sqlitespool.Open(ctx, queue)
	if err != nil && isFull(queue.Dir) {
		err = fmt.Errorf("the disk of %s is full, and no server can work there: make room, 64 MiB at least (%w)", queue.Dir, err)
	}
	if err != nil {
		return nil, err
	}
	s.Spool = store
	s.Notifier = &notify.Notifier{Hooks: hooks, Outbox: store, Agent: "smarthost/" + versionText(), Metrics: s.Metrics, Log: log}
	s.Notifier.Prepare()
	if err := s.introduce(); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return s, nil
}

func (s *service) introduce() error {
	c := s.Config
	s.Certificates = newCertificates(c, s.Log)
	if err := s.Certificates.Load(); err != nil {
		return c.at(err, "tls.certificate", "tls.key")
	}
	s.Users = &userfile.File{Path: c.userFile(), Log: s.Log, Writing: s.writers.writing}
	s.Sightings = new(auth.Sightings)
	s.Limits = new(limit.Limits)
	s.Policy = &policy.Policy{Hostname: c.Hostname, Limits: s.Limits, Metrics: s.Metrics}
	s.Router = new(currentRouter)
	s.Deliverer = &deliver.Deliverer{Hostname: c.Hostname, Metrics: s.Metrics, Log: s.Log}
	s.Routes = &watchedRoutes{currentRouter: s.Router, Deliverer: s.Deliverer, good: time.Now()}
	s.Refusals = new(admin.Refusals)
	s.Health = &admin.Health{Checks: s.healthChecks()}
	s.Forwarder = &forward.Forwarder{
		Spool:          s.Spool,
		Router:         s.Routes,
		Deliverer:      s.Routes,
		Hostname:       c.Hostname,
		Workers:        c.Forward.Connections,
		PerDestination: c.Forward.PerDestination,
		Metrics:        s.Metrics,
		Log:            s.Log,
	}
	s.Server = &server.Server{
		Hostname:       c.Hostname,
		Auth:           &auth.Authenticator{Store: s.Users, Sightings: s.Sightings, Metrics: s.Metrics, Log: s.Log},
		Policy:         s.Policy,
		Spool:          s.Spool,
		Destination:    s.Router.Destination,
		TLS:            s.Certificates.TLS,
		Log:            s.Log,
		MaxMessageSize: c.Submission.MaxMessageSize,
		PerAddress:     c.Listen.PerAddress,
		MaxConnections: c.Listen.MaxConnections,
		Proxies:        prefixes(c.Listen.Proxies),
		RequireTLS:     honoursRequireTLS(c),
		Memory:         new(server.Memory),
		Metrics:        s.Metrics,
		Refused:        s.noteRefusal,
	}
	s.Digest = s.newDigest()
	s.State = &state{
		File:     c.stateFile(),
		Memories: map[string]memory{"limits": s.Limits, "clients": s.Server.Memory, devicesMemory: s.Sightings, "digest": s.Digest},
		Log:      s.Log,
	}
	s.Admin = s.newAdmin()
	return errors.Join(s.configure(c), s.State.Load())
}

// currentRouter is the router in force, which a reload exchanges.
type currentRouter struct{ atomic.Pointer[route.Router] }

func (r *currentRouter) Destination(address string) string { return r.Load().Destination(address) }

func (r *currentRouter) Hops(ctx context.Context, destination string) ([]route.Hop, error) {
	return r.Load().Hops(ctx, destination)
}

func (r *currentRouter) RelayHops(ctx context.Context, relay route.Relay) ([]route.Hop, error) {
	return r.Load().RelayHops(ctx, relay)
}

func newRouter(c *Config) (*route.Router, error) {
	r := &route.Router{AllowPrivate: c.Forward.AllowLoopback, Family: c.Forward.Family}
	if listensOn25(c) {
		r.Hostname = c.Hostname // else an MX of this name is another mail server on this machine, which is just where its mail should go
	}
	if c.Forward.Relay == "" {
		return r, nil
	}
	password := ""
	if c.Forward.RelayPasswordFile != "" {
		text, err := os.ReadFile(c.Forward.RelayPasswordFile)
		if err != nil {
			return nil, fmt.Errorf("forward.relay_password_file: %w", err)
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	relay, err := parseRelay(c.Forward.Relay, password)
	if err != nil {
		return nil, fmt.Errorf("forward.relay: %w", err)
	}
	r.Relay = relay
	return r, nil
}

// listensOn25 tells that mail that an MX of this machine's name takes would come back here.
func listensOn25(c *Config) bool {
	return slices.ContainsFunc(slices.Concat(c.Listen.Submission, c.Listen.Submissions), func(addr string) bool {
		_, port, err := net.SplitHostPort(addr)
		return err == nil && port == "25"
	})
}

// honoursRequireTLS tells that RFC 8689 can be kept: with a relay whose certificate is verified. The way to an MX is not
// authenticated (no DNSSEC, no MTA-STS).
func honoursRequireTLS(c *Config) bool {
	if c.Forward.Relay == "" {
		return false
	}
	relay, err := parseRelay(c.Forward.Relay, "stands in for the one in the file")
	return err == nil && relay.TLS.Verified()
}

func newCertificates(c *Config, log zerolog.Logger) *certificates {
	if c.TLS.Certificate != "" {
		return &certificates{CertFile: c.TLS.Certificate, KeyFile: c.TLS.Key, Hostname: c.Hostname, Log: log}
	}
	if c.TLS.ACME {
		issuer := newACME(c, log)
		return &certificates{CertFile: issuer.certFile(), KeyFile: issuer.certFile(), ACME: issuer, Log: log}
	}
	folder := filepath.Join(c.Data, "tls")
	return &certificates{
		CertFile: filepath.Join(folder, "certificate.pem"),
		KeyFile:  filepath.Join(folder, "key.pem"),
		Private:  &privateCA{Folder: folder, Hostname: c.Hostname},
		Log:      log,
	}
}

// readRoots adds the authorities in file to those of the system; nil means just the system's.
func readRoots(file string) (*x509.CertPool, error) { return readAuthorities("forward.ca", file) }

func readAuthorities(key, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: %s holds no PEM certificate", key, file)
	}
	return roots, nil
}

func prefixes(words []string) []netip.Prefix {
	var all []netip.Prefix
	for _, w := range words {
		if p, err := parsePrefix(w); err == nil { // checked when the config was read
			all = append(all, p)
		}
	}
	return all
}

// window is the duplicate window as the server takes it, where 0 means the default.
func window(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
