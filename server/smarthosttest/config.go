package smarthosttest

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/policy/limit"
	"github.com/seed-1397b510/smarthost/server"
	"github.com/seed-1397b510/smarthost/server/guard"
)

const (
	standardHostname = "smarthost.test"
	standardListen   = "127.0.0.1:0"
	standardMessages = 10_000
	standardSessions = 10_000
	standardOctets   = 1 << 30
)

// DefaultUser is who there is if no other user is named. It may send as anybody.
var DefaultUser = User{Name: "app", Password: "secret", Senders: []string{"*"}}

// A Config says what a server is like. Its zero value is a server on loopback with [DefaultUser], as strict as a production server whose config is empty.
type Config struct {
	Hostname string   // greets clients, and is a name of the certificate; "" is smarthost.test
	Hosts    []string // more names and addresses of the certificate, besides localhost, 127.0.0.1 and ::1
	Users    []User   // nil: DefaultUser

	Listen   string // address of the door with STARTTLS; "" is 127.0.0.1:0
	Implicit string // address of the door with implicit TLS (RFC 8314 §3.3); "" is 127.0.0.1:0
	// IPv6Blackhole makes the same ports on ::1 take no connection and refuse none: a client that tries localhost there first hangs. On Linux.
	IPv6Blackhole bool
	InMemory      bool // no sockets: clients come by Server.DialContext alone

	Settings        server.Settings        // how strangers are refused, recipients, duplicates; zero: the production server's
	Limits          map[string]limit.Class // by the names that User.Class has; limit.Standard is for users without a class
	MaxMessageSize  int64                  // octets of content; 0 is 50 MiB
	MaxAuthFailures int                    // failed AUTHs that end a connection; 0 is 10
	MaxConnections  int                    // at the same time; 0 is no limit
	PerAddress      int                    // the same, from one address; 0 is no limit
	Proxies         []netip.Prefix         // peers that begin with a PROXY header
	AllowLiterals   bool                   // take recipients at address literals and at single-label domains
	RequireTLS      bool                   // offer REQUIRETLS (RFC 8689)
	Timeouts        guard.Timeouts

	MaxMessages int    // that are kept, the oldest give way; 0 is 10,000
	MaxOctets   int64  // of all messages that are kept, and again of all that are being received; 0 is 1 GiB
	MaxSessions int    // that are kept, the oldest give way; 0 is 10,000
	Magic       bool   // recipients may ask for a fault by their names, see WithMagic
	Secrets     bool   // show passwords in transcripts
	Seed        uint64 // of rules with a probability; 0 is 1
	Log         zerolog.Logger
}

// Validate names all faults.
func (c Config) Validate() error {
	var faults []error
	seen := map[string]bool{}
	for _, u := range c.Users {
		if err := u.Validate(); err != nil {
			faults = append(faults, err)
		}
		if name := folded(u.Name); seen[name] {
			faults = append(faults, fmt.Errorf("smarthosttest: there are two users %q", u.Name))
		} else {
			seen[name] = true
		}
	}
	if c.MaxMessages < 0 || c.MaxSessions < 0 || c.MaxOctets < 0 {
		faults = append(faults, errors.New("smarthosttest: MaxMessages, MaxOctets and MaxSessions must not be negative"))
	}
	if c.IPv6Blackhole && c.InMemory {
		faults = append(faults, errors.New("smarthosttest: IPv6Blackhole needs sockets, and InMemory has none"))
	}
	if err := c.Settings.Validate(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (c Config) withDefaults() Config {
	if c.Hostname == "" {
		c.Hostname = standardHostname
	}
	if c.Users == nil {
		c.Users = []User{DefaultUser}
	}
	for _, address := range []*string{&c.Listen, &c.Implicit} {
		if *address == "" {
			*address = standardListen
		}
	}
	if c.MaxMessages == 0 {
		c.MaxMessages = standardMessages
	}
	if c.MaxOctets == 0 {
		c.MaxOctets = standardOctets
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = standardSessions
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	return c
}

// An Option changes a Config.
type Option func(*Config)

// WithConfig begins with c in place of the zero Config.
func WithConfig(c Config) Option { return func(to *Config) { *to = c } }

// WithUser adds a user. The first one takes the place of [DefaultUser].
func WithUser(u User) Option { return func(c *Config) { c.Users = append(c.Users, u) } }

// WithHostname sets the name that greets clients.
func WithHostname(name string) Option { return func(c *Config) { c.Hostname = name } }

// WithHost adds names and addresses to the certificate.
func WithHost(names ...string) Option { return func(c *Config) { c.Hosts = append(c.Hosts, names...) } }

// WithSettings sets what can be set while a server runs, see [server.Settings].
func WithSettings(s server.Settings) Option { return func(c *Config) { c.Settings = s } }

// WithMaxSize sets the most octets of one message's content.
func WithMaxSize(octets int64) Option { return func(c *Config) { c.MaxMessageSize = octets } }

// WithTimeouts sets the server's deadlines.
func WithTimeouts(t guard.Timeouts) Option { return func(c *Config) { c.Timeouts = t } }

// WithLog sends the server's own log there.
func WithLog(log zerolog.Logger) Option { return func(c *Config) { c.Log = log } }

// WithSeed sets the seed of rules with a probability.
func WithSeed(seed uint64) Option { return func(c *Config) { c.Seed = seed } }

// WithMagic lets recipients ask for a fault by their names, for those who test a program through its forms and have no other say. Where no rule
// acts, reject-550@example.com is refused with this code (of 4xx or 5xx); defer-451-2@example.com is refused twice and then taken, each address
// counted for itself; slow-5s@example.com is answered after that time; and drop-rcpt, drop-data and drop-content end the connection at this
// stage. What is behind a + is the test's own: reject-550+anna@example.com.
func WithMagic() Option { return func(c *Config) { c.Magic = true } }

// WithSecrets shows passwords in transcripts.
func WithSecrets() Option { return func(c *Config) { c.Secrets = true } }

// WithIPv6Blackhole makes connections to ::1 hang, see Config.IPv6Blackhole. A client that is given localhost in place of 127.0.0.1 must
// try the other address (RFC 8305).
func WithIPv6Blackhole() Option { return func(c *Config) { c.IPv6Blackhole = true } }

// InMemory makes a server without sockets, for use inside a testing/synctest bubble, and where sockets are not to be had.
// Clients come by [Server.DialContext].
func InMemory() Option { return func(c *Config) { c.InMemory = true } }
