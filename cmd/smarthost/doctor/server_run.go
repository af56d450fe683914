package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/forward/route"
)

const (
	stepTime  = 5 * time.Second  // one question to DNS, one connection, one reply
	wholeTime = 50 * time.Second // all checks together
	lastWait  = 2 * time.Second  // for a check that the end of the time finds in the middle of something
)

// A Server examines the server of this machine that its fields describe: its name, its ways out, its data.
// It needs no running server, and disturbs none. It changes nothing but for a nameless temporary file in the data folder.
type Server struct {
	Hostname       string // required
	Config         string // the config file, for the words of the advice; "" = there is none
	Doors          []Door
	Data           string         // the data folder; required
	Accounts       string         // the accounts file; required
	Exposed        []string       // files with secrets that every user of this machine can read
	MaxConnections int            // that the server takes; 0 = no limit
	Proxies        []netip.Prefix // who has to begin with a PROXY protocol header

	Certificate, Key string         // PEM files
	Roots            *x509.CertPool // authorities that clients know; nil = those of the system
	CA               string         // the CA's certificate, if a private one of the server issues the certificate; "" = the operator's
	Authority        string         // URL of the ACME authority that the server gets the certificate from; "" = it does not

	Relay         *route.Relay   // nil = mail goes to the MX of each recipient
	RelayRoots    *x509.CertPool // authorities for the relay; nil = those of the system
	Family        route.Family   // that mail leaves on
	RelayResolver route.Resolver // finds the relay as the forwarder does; nil = net.DefaultResolver
	Probes        []string       // domains whose mail servers port 25 is tried with; nil = gmail.com and outlook.com

	Resolver  Resolver                                                             // nil = the name servers of /etc/resolv.conf
	Dial      func(ctx context.Context, network, address string) (net.Conn, error) // nil = net.Dialer
	Addresses []netip.Addr                                                         // of this machine; nil = those of its interfaces
	Sources   []netip.Addr                                                         // from which it sends; nil = what the system would choose

	Progress Progress
}

// A Door is one address that the server listens on.
type Door struct {
	Address    string // as net.Listen takes it
	Substitute string // where the server listens if it may not open Address; "" = nowhere
	Implicit   bool   // TLS from the first octet
}

// A visit is one run of a Server, with what several checks want to know and one asks.
type visit struct {
	Server
	names selfNames
	roll  func() roll
	at    machine
}

// A check yields its findings. They are reported in the order of the list, though all run at the same time.
type check struct {
	name, doing string
	run         func(ctx context.Context) []Finding
}

func (v *visit) checks() []check {
	out := check{"port 25", "port 25 outwards", v.checkEgress}
	if v.Relay != nil {
		out = check{"relay", "the relay", v.checkRelay}
	}
	return []check{
		{"hostname", "the host name in DNS", v.checkHostname},
		{"reverse name", "the reverse name", v.checkReverse},
		out,
		{"sender domain", "SPF, DMARC and MX of the senders' domains", v.checkSenders},
		{"clock", "the clock", v.checkClock},
		{"certificate", "the certificate", v.checkCertificate},
		{"data", "the data folder and its disk", v.checkData},
		{"queue", "the queue", v.checkQueue},
		{"accounts", "the accounts", v.checkAccounts},
		{"listeners", "the listeners", v.checkDoors},
		{"open relay", "what strangers may do", v.checkOpenRelay},
		{"limits", "the limits of the process", v.checkLimits},
	}
}

// Run examines the server and reports what it finds. The error is ctx's, or tells what is missing in s.
func (s Server) Run(ctx context.Context, report Report) error {
	if s.Hostname == "" || s.Data == "" || s.Accounts == "" {
		return errors.New("doctor: Hostname, Data and Accounts are required")
	}
	whole, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	v := s.visit(whole)
	checks := v.checks()
	ended := make([]chan []Finding, len(checks))
	for i, c := range checks {
		// Nobody waits for a check that does not end: it may hang in the kernel, at a disk or a file system that is gone.
		ended[i] = make(chan []Finding, 1)
		go func() { ended[i] <- c.guarded(whole) }()
	}
	for i, c := range checks {
		s.Progress.say("%s", c.doing)
		for _, f := range wait(whole, c, ended[i]) {
			report(f)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// guarded runs a check whose faults are its own: the server in service makes an examination too, and must outlive it.
func (c check) guarded(ctx context.Context) (found []Finding) {
	defer func() {
		if fault := recover(); fault != nil {
			found = []Finding{{Check: c.name, Level: Warning, What: clean(fmt.Sprint("the check itself failed: ", fault)),
				Why: "nothing is known of what it looks at: this is a fault of smarthost, not of the server's surroundings",
				Do:  "look at " + c.doing + " by hand, and report this line with the version that smarthost version prints"}}
		}
	}()
	return c.run(ctx)
}

// wait takes what a check has found. After the end of the time that is what it can say within lastWait.
func wait(ctx context.Context, c check, ended <-chan []Finding) []Finding {
	select {
	case found := <-ended:
		return found
	case <-ctx.Done():
	}
	last := time.NewTimer(lastWait)
	defer last.Stop()
	select {
	case found := <-ended:
		return found
	case <-last.C:
		return []Finding{{Check: c.name, Level: Warning, What: "did not come to an end in time",
			Why: "something that it asks does not answer: a disk, a network file system, a name server",
			Do:  "see whether the data folder can be listed and names can be looked up on this machine, then run it again"}}
	}
}

// visit fills in what s leaves out.
func (s Server) visit(ctx context.Context) *visit {
	if s.Resolver == nil {
		s.Resolver = systemDNS()
	}
	if s.Dial == nil {
		s.Dial = new(net.Dialer).DialContext
	}
	if s.Probes == nil {
		s.Probes = []string{"gmail.com", "outlook.com"}
	}
	v := &visit{Server: s, at: newMachine(s.Addresses, s.Sources)}
	s.Progress.say("the host name in DNS")
	v.names = v.lookUpSelf(ctx)
	v.roll = sync.OnceValue(v.readRoll)
	return v
}

// configName names the config in advice.
func (v *visit) configName() string {
	if v.Config == "" {
		return "the config (smarthost config > smarthost.toml writes one)"
	}
	return v.Config
}

// dial connects within stepTime.
func (v *visit) dial(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	return v.Dial(ctx, "tcp", address.String())
}
