package main

import (
	"flag"
	"fmt"
	"net"
	"net/netip"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/cmd/smarthost/doctor"
)

// serverDoctorFlags are for the examination of the own server.
type serverDoctorFlags struct {
	probes words  // domains
	dns    string // name server
}

// words is a flag that may be given several times.
type words []string

func (w *words) String() string { return fmt.Sprint(*w) }

func (w *words) Set(s string) error {
	*w = append(*w, s)
	return checkHostname(s)
}

func (f *serverDoctorFlags) serverFlags(fs *flag.FlagSet) {
	fs.Var(&f.probes, "probe", "try port 25 with the mail servers of this domain")
	fs.StringVar(&f.dns, "dns", "", "ask this name server")
}

func (f *serverDoctorFlags) given() bool { return len(f.probes) > 0 || f.dns != "" }

// newServerDoctor examines the server that the config describes.
func newServerDoctor(env *environment, c *Config, f *doctorFlags, progress doctor.Progress) (examination, error) {
	router, err := newRouter(c)
	if err != nil {
		return nil, usageError("the config is wrong:\n" + err.Error())
	}
	roots, err := readRoots(c.Forward.CA)
	if err != nil {
		return nil, usageError("the config is wrong:\n" + err.Error())
	}
	certificates := newCertificates(c, zerolog.Nop())
	s := doctor.Server{
		Hostname:       c.Hostname,
		Config:         c.File,
		Doors:          append(doctorDoors(c, "listen.submission", c.Listen.Submission, false), doctorDoors(c, "listen.submissions", c.Listen.Submissions, true)...),
		Data:           c.Data,
		Accounts:       c.userFile(),
		Exposed:        exposed(env, c),
		MaxConnections: c.Listen.MaxConnections,
		Proxies:        prefixes(c.Listen.Proxies),
		Certificate:    certificates.CertFile,
		Key:            certificates.KeyFile,
		Relay:          router.Relay,
		RelayRoots:     roots,
		Family:         c.Forward.Family,
		Probes:         f.probes,
		Progress:       progress,
	}
	if certificates.Private != nil {
		s.CA = certificates.Private.certFile()
	}
	if certificates.ACME != nil {
		s.Authority = certificates.ACME.Directory
	}
	if f.dns != "" {
		server, err := nameServer(f.dns)
		if err != nil {
			return nil, err
		}
		s.Resolver = &doctor.DNS{Servers: []string{server}}
	}
	return s, nil
}

// doctorDoors are where openDoors listens; where nobody chose the port, also the one that stands in for it.
func doctorDoors(c *Config, key string, addrs []string, implicit bool) []doctor.Door {
	var doors []doctor.Door
	for _, a := range addrs {
		d := doctor.Door{Address: a, Implicit: implicit}
		if host, port, err := net.SplitHostPort(a); err == nil && c.given[key] == "" {
			d.Substitute = net.JoinHostPort(host, "2"+port)
		}
		doors = append(doors, d)
	}
	return doors
}

// nameServer takes ADDRESS or ADDRESS:PORT.
func nameServer(s string) (string, error) {
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.String(), nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return "", usageError(fmt.Sprintf("doctor: --dns: %q is not the address of a name server; it must be such as 192.0.2.53 or [2001:db8::53]:53", s))
	}
	return netip.AddrPortFrom(addr, 53).String(), nil
}
