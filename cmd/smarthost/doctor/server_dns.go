package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A Resolver asks DNS. *DNS is one, and so is *net.Resolver.
// Methods may be called from many goroutines at once. A *net.DNSError with IsNotFound means that DNS has no such name or
// no such record; any other error means that it could not tell.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// A DNS asks name servers and nothing else: the hosts file, which net.Resolver reads too, knows this machine by names and
// addresses that nobody else sees.
type DNS struct {
	Servers []string // host:port, asked in this order
}

const (
	askTime    = 2 * time.Second // one question to one name server
	maxServers = 3               // as in resolv.conf(5)
)

// systemDNS asks the name servers that this machine is set up with, or one on this machine if there are none.
func systemDNS() *DNS {
	config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil || len(config.Servers) == 0 {
		return &DNS{Servers: []string{"127.0.0.1:53"}}
	}
	d := new(DNS)
	for _, s := range config.Servers {
		d.Servers = append(d.Servers, net.JoinHostPort(s, config.Port))
	}
	return d
}

// ask returns the records of one type, within stepTime. The error is always a *net.DNSError.
func (d *DNS) ask(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	fault := &net.DNSError{Err: "there is no name server to ask", Name: name, IsTemporary: true}
	if _, ok := dns.IsDomainName(name); !ok {
		return nil, &net.DNSError{Err: "not a name", Name: name, IsNotFound: true}
	}
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	q.SetEdns0(1232, false)
	for range 2 {
		for _, server := range d.Servers[:min(len(d.Servers), maxServers)] {
			m, err := exchange(ctx, q, server)
			if err != nil {
				timeout, is := errors.AsType[net.Error](err)
				fault = &net.DNSError{Err: "no answer", Name: name, Server: server, IsTemporary: true, IsTimeout: is && timeout.Timeout()}
				continue
			}
			switch records := ofKind(m.Answer, kind); {
			case m.Rcode == dns.RcodeNameError, m.Rcode == dns.RcodeSuccess && len(records) == 0:
				return nil, &net.DNSError{Err: "no such name or record", Name: name, Server: server, IsNotFound: true}
			case m.Rcode == dns.RcodeSuccess:
				return records, nil
			}
			fault = &net.DNSError{Err: "answered " + dns.RcodeToString[m.Rcode], Name: name, Server: server, IsTemporary: true}
		}
		if !fault.IsTimeout {
			break // asking again at once would bring the same
		}
	}
	return nil, fault
}

// exchange asks one name server, by TCP if the answer is too long for UDP.
func exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	m, _, err := (&dns.Client{Timeout: askTime}).ExchangeContext(ctx, q, server)
	if err == nil && m.Truncated {
		m, _, err = (&dns.Client{Net: "tcp", Timeout: askTime}).ExchangeContext(ctx, q, server)
	}
	return m, err
}

// ofKind leaves out the CNAMEs on the way and other additions.
func ofKind(all []dns.RR, kind uint16) []dns.RR {
	var some []dns.RR
	for _, rr := range all {
		if rr.Header().Rrtype == kind {
			some = append(some, rr)
		}
	}
	return some
}

// LookupNetIP asks for one family: network is "ip4" or "ip6".
func (d *DNS) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	kind := dns.TypeA
	if network == "ip6" {
		kind = dns.TypeAAAA
	}
	records, err := d.ask(ctx, host, kind)
	var addrs []netip.Addr
	for _, rr := range records {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs, err
}

// LookupIPAddr asks for both families. It fails if one cannot be told and the other has nothing.
func (d *DNS) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	var addrs []net.IPAddr
	var missing, failed error
	for _, network := range []string{"ip4", "ip6"} {
		found, err := d.LookupNetIP(ctx, network, host)
		for _, a := range found {
			addrs = append(addrs, net.IPAddr{IP: a.AsSlice()})
		}
		switch {
		case err == nil:
		case notFound(err):
			missing = err
		default:
			failed = err
		}
	}
	switch {
	case len(addrs) > 0:
		return addrs, nil
	case failed != nil:
		return nil, failed
	}
	return nil, missing
}

// LookupAddr asks for the names of an address, without the final dot.
func (d *DNS) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	arpa, err := dns.ReverseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "not an address", Name: addr, IsNotFound: true}
	}
	records, err := d.ask(ctx, arpa, dns.TypePTR)
	var names []string
	for _, rr := range records {
		names = append(names, strings.TrimSuffix(rr.(*dns.PTR).Ptr, "."))
	}
	return names, err
}

// LookupMX asks for the mail exchangers, in the order of the answer.
func (d *DNS) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	records, err := d.ask(ctx, name, dns.TypeMX)
	var all []*net.MX
	for _, rr := range records {
		mx := rr.(*dns.MX)
		all = append(all, &net.MX{Host: mx.Mx, Pref: mx.Preference})
	}
	return all, err
}

// LookupTXT asks for text records, each as one string.
func (d *DNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	records, err := d.ask(ctx, name, dns.TypeTXT)
	var all []string
	for _, rr := range records {
		all = append(all, strings.Join(rr.(*dns.TXT).Txt, ""))
	}
	return all, err
}

func notFound(err error) bool {
	fault, ok := errors.AsType[*net.DNSError](err)
	return ok && fault.IsNotFound
}

// dnsFault says in a few words why DNS could not tell.
func dnsFault(err error) string {
	fault, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return clean(err.Error())
	case fault.Server == "":
		return clean(fault.Err)
	}
	return clean(fault.Server + ": " + fault.Err)
}
