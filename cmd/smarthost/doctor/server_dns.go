package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed-1397b510/smarthost/forward/route"
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
	d := new(DNS)
	text, _ := os.ReadFile("/etc/resolv.conf") // without one there are none
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "nameserver" {
			d.Servers = append(d.Servers, net.JoinHostPort(words[1], "53"))
		}
	}
	if len(d.Servers) == 0 {
		d.Servers = []string{"127.0.0.1:53"}
	}
	return d
}

// ask returns the records of one type, within stepTime. The error is always a *net.DNSError.
func (d *DNS) ask(ctx context.Context, name string, kind dnsmessage.Type) ([]dnsmessage.ResourceBody, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	fault := &net.DNSError{Err: "there is no name server to ask", Name: name, IsTemporary: true}
	q, err := newQuestion(name, kind)
	if err != nil {
		return nil, &net.DNSError{Err: "not a name", Name: name, IsNotFound: true}
	}
	for range 2 {
		for _, server := range d.Servers[:min(len(d.Servers), maxServers)] {
			m, err := q.exchange(ctx, server)
			if err != nil {
				timeout, is := errors.AsType[net.Error](err)
				fault = &net.DNSError{Err: "no answer", Name: name, Server: server, IsTemporary: true, IsTimeout: is && timeout.Timeout()}
				continue
			}
			switch records := ofKind(m.Answers, kind); {
			case m.RCode == dnsmessage.RCodeNameError, m.RCode == dnsmessage.RCodeSuccess && len(records) == 0:
				return nil, &net.DNSError{Err: "no such name or record", Name: name, Server: server, IsNotFound: true}
			case m.RCode == dnsmessage.RCodeSuccess:
				return records, nil
			}
			fault = &net.DNSError{Err: "answered " + rcodeText(m.RCode), Name: name, Server: server, IsTemporary: true}
		}
		if !fault.IsTimeout {
			break // asking again at once would bring the same
		}
	}
	return nil, fault
}

// rcodeText is the name of a response code in the registry of IANA, as other programs show it.
func rcodeText(code dnsmessage.RCode) string {
	names := map[dnsmessage.RCode]string{dnsmessage.RCodeFormatError: "FORMERR", dnsmessage.RCodeServerFailure: "SERVFAIL",
		dnsmessage.RCodeNotImplemented: "NOTIMP", dnsmessage.RCodeRefused: "REFUSED"}
	return cmp.Or(names[code], fmt.Sprintf("with code %d", code))
}

// ofKind leaves out the CNAMEs on the way and other additions.
func ofKind(all []dnsmessage.Resource, kind dnsmessage.Type) []dnsmessage.ResourceBody {
	var some []dnsmessage.ResourceBody
	for _, r := range all {
		if r.Header.Type == kind {
			some = append(some, r.Body)
		}
	}
	return some
}

// LookupNetIP asks for one family: network is "ip4" or "ip6".
func (d *DNS) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	kind := dnsmessage.TypeA
	if network == "ip6" {
		kind = dnsmessage.TypeAAAA
	}
	records, err := d.ask(ctx, host, kind)
	var addrs []netip.Addr
	for _, r := range records {
		switch r := r.(type) {
		case *dnsmessage.AResource:
			addrs = append(addrs, netip.AddrFrom4(r.A))
		case *dnsmessage.AAAAResource:
			addrs = append(addrs, netip.AddrFrom16(r.AAAA).Unmap())
		}
	}
	return addrs, err
}

// LookupIPAddr asks for both families. It fails if one cannot be told and the other has nothing.
func (d *DNS) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	found, err := route.Addresses(ctx, d, host)
	var addrs []net.IPAddr
	for _, a := range found {
		addrs = append(addrs, net.IPAddr{IP: a.AsSlice()})
	}
	return addrs, err
}

// LookupAddr asks for the names of an address, without the final dot.
func (d *DNS) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "not an address", Name: addr, IsNotFound: true}
	}
	records, err := d.ask(ctx, reverseName(ip.Unmap()), dnsmessage.TypePTR)
	var names []string
	for _, r := range records {
		if ptr, ok := r.(*dnsmessage.PTRResource); ok {
			names = append(names, strings.TrimSuffix(ptr.PTR.String(), "."))
		}
	}
	return names, err
}

// LookupMX asks for the mail exchangers, in the order of the answer.
func (d *DNS) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	records, err := d.ask(ctx, name, dnsmessage.TypeMX)
	var all []*net.MX
	for _, r := range records {
		if mx, ok := r.(*dnsmessage.MXResource); ok {
			all = append(all, &net.MX{Host: mx.MX.String(), Pref: mx.Pref})
		}
	}
	return all, err
}

// LookupTXT asks for text records, each as one string.
func (d *DNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	records, err := d.ask(ctx, name, dnsmessage.TypeTXT)
	var all []string
	for _, r := range records {
		if txt, ok := r.(*dnsmessage.TXTResource); ok {
			all = append(all, strings.Join(txt.TXT, ""))
		}
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
