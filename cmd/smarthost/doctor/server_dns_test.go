package doctor

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Only what name servers say counts: the hosts file knows localhost, and this zone does not.
func TestDNSReadsNoHostsFile(t *testing.T) {
	d := &DNS{Servers: []string{zone{}.serve(t)}}
	for _, network := range []string{"ip4", "ip6"} {
		if addrs, err := d.LookupNetIP(t.Context(), network, "localhost"); !notFound(err) {
			t.Errorf("%s: %v, %v", network, addrs, err)
		}
	}
	if names, err := d.LookupAddr(t.Context(), "127.0.0.1"); !notFound(err) {
		t.Error(names, err)
	}
}

func TestDNSAnswers(t *testing.T) {
	long := strings.Repeat("x", 200)
	d := &DNS{Servers: []string{zone{records: []string{
		"a.example. 1 IN A 192.0.2.1", "a.example. 1 IN AAAA 2001:db8::1", "a.example. 1 IN MX 10 mx.example.",
		`t.example. 1 IN TXT "v=spf1 " "-all"`, `t.example. 1 IN TXT "` + long + `" "` + long + `" "` + long + `"`,
		"1.2.0.192.in-addr.arpa. 1 IN PTR a.example.",
	}}.serve(t)}}
	ips, err := d.LookupIPAddr(t.Context(), "a.example")
	if err != nil || len(ips) != 2 || ips[0].String() != "2001:db8::1" || ips[1].String() != "192.0.2.1" {
		t.Error(ips, err)
	}
	mx, err := d.LookupMX(t.Context(), "a.example")
	if diff := cmp.Diff([]*net.MX{{Host: "mx.example.", Pref: 10}}, mx); diff != "" || err != nil {
		t.Error(diff, err)
	}
	txt, err := d.LookupTXT(t.Context(), "t.example") // too long for UDP
	if diff := cmp.Diff([]string{"v=spf1 -all", long + long + long}, txt); diff != "" || err != nil {
		t.Error(diff, err)
	}
	names, err := d.LookupAddr(t.Context(), "192.0.2.1")
	if diff := cmp.Diff([]string{"a.example"}, names); diff != "" || err != nil {
		t.Error(diff, err)
	}
	// The name is there, the record is not; and no such name.
	for _, name := range []string{"t.example", "none.example", strings.Repeat("x", 64) + ".example"} {
		if mx, err := d.LookupMX(t.Context(), name); !notFound(err) {
			t.Error(name, mx, err)
		}
	}
}

// A name server that fails is passed over; when all fail, that is no "no such name".
func TestDNSFailures(t *testing.T) {
	good := zone{records: []string{"a.example. 1 IN A 192.0.2.1"}}.serve(t)
	bad := zone{failing: []string{"a.example."}}.serve(t)
	addrs, err := (&DNS{Servers: []string{"127.0.0.1:1", bad, good}}).LookupNetIP(t.Context(), "ip4", "a.example")
	if len(addrs) != 1 || err != nil {
		t.Error(addrs, err)
	}
	for words, servers := range map[string][]string{"answered SERVFAIL": {bad}, "no answer": {"127.0.0.1:1"}, "no name server": nil} {
		_, err := (&DNS{Servers: servers}).LookupIPAddr(t.Context(), "a.example")
		fault, ok := errors.AsType[*net.DNSError](err)
		if !ok || fault.IsNotFound || !fault.Temporary() || !strings.Contains(dnsFault(err), words) {
			t.Errorf("%s: %v", words, err)
		}
	}
}

// A question that got lost is asked once more.
func TestDNSAsksAgain(t *testing.T) {
	t.Parallel()
	lost := zone{records: []string{"a.example. 1 IN A 192.0.2.1"}, deafFor: new(atomic.Int32)}
	lost.deafFor.Store(1)
	addrs, err := (&DNS{Servers: []string{lost.serve(t)}}).LookupNetIP(t.Context(), "ip4", "a.example")
	if len(addrs) != 1 || err != nil {
		t.Error(addrs, err)
	}
}
