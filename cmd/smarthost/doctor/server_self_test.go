package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/forward/route"
)

const (
	a4    = "mx.example.org. 1 IN A 198.51.100.7"
	a6    = "mx.example.org. 1 IN AAAA 2001:db8:a::7"
	ptr4  = "7.100.51.198.in-addr.arpa. 1 IN PTR mx.example.org."
	ptr6  = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 1 IN PTR mx.example.org."
	other = "mail.example.net. 1 IN A 198.51.100.7"
)

// 2001:db8::/32 stands for public addresses here, as 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24 do.
func TestHostname(t *testing.T) {
	private := Server{Addresses: addrs("127.0.0.1", "172.17.0.2"), Sources: addrs("172.17.0.2")}
	for name, c := range map[string]struct {
		server Server
		zone   zone
		want   []string
	}{
		"short":          {Server{Hostname: "laptop"}, zone{}, []string{"problem hostname: \"laptop\" is not a full name"}},
		"local":          {Server{Hostname: "laptop.local"}, zone{}, []string{"problem hostname: \"laptop.local\" is not a full name"}},
		"address":        {Server{Hostname: "192.0.2.1"}, zone{}, []string{"problem hostname: \"192.0.2.1\" is not a full name"}},
		"short, relay":   {Server{Hostname: "laptop", Relay: &route.Relay{}}, zone{}, []string{"warning hostname: not a full name"}},
		"none":           {Server{}, zone{}, []string{"problem hostname: mx.example.org has no address in DNS"}},
		"both":           {Server{}, zone{records: []string{a4, a6}}, []string{"good hostname: the A record", "good hostname: the AAAA record"}},
		"no answer":      {Server{}, zone{failing: []string{"mx.example.org."}}, []string{"warning hostname: no answer about the addresses of mx.example.org"}},
		"another":        {Server{}, zone{records: []string{"mx.example.org. 1 IN A 203.0.113.9"}}, []string{"warning hostname: no address of this machine, which has public ones (198.51.100.7)"}},
		"loopback":       {Server{}, zone{records: []string{"mx.example.org. 1 IN A 127.0.1.1"}}, []string{"problem hostname: 127.0.1.1, which means another machine to everybody"}},
		"NAT":            {private, zone{records: []string{a4}}, []string{"note hostname: behind a NAT or in a container"}},
		"AAAA, no IPv6":  {private, zone{records: []string{a4, a6}}, []string{"note hostname: the A record", "warning hostname: has an AAAA record, but this machine has no IPv6"}},
		"its private IP": {private, zone{records: []string{"mx.example.org. 1 IN A 172.17.0.2"}}, []string{"good hostname: the A record"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := visitTo(t, c.server, c.zone, nil)
			shows(t, v.checkHostname(t.Context()), c.want...)
		})
	}
}

// A halfResolver is a zone whose IPv6 questions alone fail.
type halfResolver struct{ *DNS }

func (r halfResolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if network == "ip6" {
		host = "failing.example"
	}
	return r.DNS.LookupNetIP(ctx, network, host)
}

func TestHostnameHalfKnown(t *testing.T) {
	d := &DNS{Servers: []string{zone{records: []string{a4}, failing: []string{"failing.example."}}.serve(t)}}
	v := visitTo(t, Server{Resolver: halfResolver{d}}, zone{}, nil)
	shows(t, v.checkHostname(t.Context()), "warning hostname: no answer about the IPv6 addresses", "good hostname: the A record")
}

// TestHostnameAtManyAddresses: what a name with far too many addresses brings is bounded.
func TestHostnameAtManyAddresses(t *testing.T) {
	var records []string
	for i := range 50 {
		records = append(records, fmt.Sprintf("mx.example.org. 1 IN A 198.51.100.%d", i+1))
	}
	v := visitTo(t, Server{Addresses: addrs("172.17.0.2"), Sources: addrs("172.17.0.2")}, zone{records: records}, nil)
	found := v.checkHostname(t.Context())
	if len(found) != maxShown+1 {
		t.Errorf("%d findings: %+v", len(found), found)
	}
	shows(t, found[maxShown:], "note hostname: 42 more addresses were not looked at")
	if found := v.checkReverse(t.Context()); len(found) != maxShown {
		t.Errorf("%d findings: %+v", len(found), found)
	}
}

func TestReverseName(t *testing.T) {
	nat := Server{Addresses: addrs("172.17.0.2"), Sources: addrs("172.17.0.2")}
	relay := Server{Relay: &route.Relay{}, Sources: addrs("198.51.100.7")}
	four := Server{Sources: addrs("198.51.100.7")}
	for name, c := range map[string]struct {
		server Server
		zone   zone
		want   []string
	}{
		"both":       {Server{}, zone{records: []string{a4, a6, ptr4, ptr6}}, []string{"good reverse name: 198.51.100.7 leads to mx.example.org and back", "good reverse name: 2001:db8:a::7 leads"}},
		"none on v6": {Server{}, zone{records: []string{a4, a6, ptr4}}, []string{"good reverse name: ", "problem reverse name: 2001:db8:a::7 the address has no reverse name"}},
		"ipv4 only":  {Server{Family: route.IPv4}, zone{records: []string{a4, a6, ptr4}}, []string{"good reverse name: 198.51.100.7"}},
		"not back":   {four, zone{records: []string{ptr4}}, []string{"problem reverse name: mx.example.org, which does not lead back"}},
		"other name": {four, zone{records: []string{a4, other, "7.100.51.198.in-addr.arpa. 1 IN PTR mail.example.net."}}, []string{"warning reverse name: is mail.example.net, which leads back, but the server greets as mx.example.org"}},
		"no answer":  {four, zone{failing: []string{"7.100.51.198.in-addr.arpa."}}, []string{"warning reverse name: no answer about the reverse name"}},
		"relay":      {relay, zone{records: []string{a4}}, []string{"note reverse name: the address has no reverse name"}},
		"NAT":        {nat, zone{records: []string{a4, ptr4}}, []string{"good reverse name: 198.51.100.7"}},
		"unknown":    {nat, zone{}, []string{"note reverse name: the public address of this machine is not known from here"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := visitTo(t, c.server, c.zone, nil)
			shows(t, v.checkReverse(t.Context()), c.want...)
		})
	}
}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{"203.0.113.1": true, "2001:db8::1": true, "10.0.0.1": false, "192.168.1.1": false, "100.64.0.1": false,
		"100.128.0.1": true, "127.0.0.1": false, "169.254.1.1": false, "fe80::1": false, "fd00::1": false, "::1": false} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("public(%s) = %t", text, got)
		}
	}
}

// The system is asked for what is not given.
func TestMachineAsksTheSystem(t *testing.T) {
	m := newMachine(nil, addrs("192.0.2.1"))
	if !slices.Contains(m.own, netip.MustParseAddr("127.0.0.1")) || m.sources[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("%+v", m)
	}
	if diff := cmp.Diff(addrs("127.0.0.1"), chosenSources("nowhere", "127.0.0.9:25"), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if m := newMachine(addrs("192.0.2.1"), []netip.Addr{}); len(m.own) != 1 || len(m.sources) != 0 {
		t.Errorf("%+v", m)
	}
}
