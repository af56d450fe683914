package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
	"github.com/seed-1397b510/smarthost/forward/route"
)

// accountsFile has an account for each list of senders.
func accountsFile(t *testing.T, senders ...[]string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	for i, s := range senders {
		hash, err := auth.HashPassword([]byte("password"), true)
		if err != nil {
			t.Fatal(err)
		}
		if err := userfile.Add(file, auth.Login{Account: auth.Account{Name: fmt.Sprintf("a%d", i), Senders: s}, Hash: hash}); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

const (
	mxOf  = "d.example. 1 IN MX 10 mx.d.example."
	spfIs = "d.example. 1 IN TXT "
	dmIs  = "_dmarc.d.example. 1 IN TXT "
	takes = "good sender domain: d.example takes mail at mx.d.example"
)

func TestSenderDomain(t *testing.T) {
	nat := Server{Addresses: addrs("172.17.0.2"), Sources: addrs("172.17.0.2")}
	relay := Server{Relay: &route.Relay{Host: "relay.example"}}
	six := strings.Repeat(" include:none.example", 3)
	eleven := ""
	many := []string{mxOf}
	for i := range 11 {
		eleven += fmt.Sprintf(" include:i%d.example", i)
		many = append(many, fmt.Sprintf(`i%d.example. 1 IN TXT "v=spf1 -all"`, i))
	}
	const noDMARC = "note dmarc: d.example has no DMARC record"
	for name, c := range map[string]struct {
		server  Server
		records []string
		want    []string
	}{
		"all is well": {Server{}, []string{mxOf, spfIs + `"v=spf1 ip4:198.51.100.7 ip6:2001:db8:a::7 -all"`, dmIs + `"v=DMARC1; p=none"`},
			[]string{"good spf: 198.51.100.7 d.example lets this server send (pass)", "good spf: 2001:db8:a::7", "good dmarc: the DMARC policy of d.example is none", takes}},
		"no spf":         {Server{}, []string{mxOf}, []string{"warning spf: d.example has no SPF record", noDMARC, takes}},
		"no spf, strict": {Server{}, []string{mxOf, dmIs + `"v=DMARC1; p=reject"`}, []string{"problem spf: no SPF record", "problem dmarc: is reject, SPF does not pass for this server, and this version does not sign with DKIM", takes}},
		"v6 forgotten": {Server{}, []string{mxOf, spfIs + `"v=spf1 ip4:198.51.100.7 -all"`, dmIs + `"v=DMARC1; p=quarantine"`},
			[]string{"good spf: ", "problem spf: 2001:db8:a::7 d.example does not let this server send (fail)", "problem dmarc: quarantine", takes}},
		"softfail": {Server{Family: route.IPv4}, []string{mxOf, spfIs + `"v=spf1 ~all"`}, []string{"warning spf: (softfail)", noDMARC, takes}},
		"softfail, strict": {Server{Family: route.IPv4}, []string{mxOf, spfIs + `"v=spf1 ~all"`, dmIs + `"v=DMARC1;p=reject"`},
			[]string{"problem spf: (softfail)", "problem dmarc: reject", takes}},
		"neutral": {Server{Family: route.IPv4}, []string{mxOf, spfIs + `"v=spf1 ?all"`}, []string{"warning spf: (neutral)", noDMARC, takes}},
		"spf alone": {Server{Family: route.IPv4}, []string{mxOf, spfIs + `"v=spf1 ip4:198.51.100.7 -all"`, dmIs + `"v=DMARC1; p=reject"`},
			[]string{"good spf: ", "note dmarc: reject, and SPF alone carries it", takes}},
		"everybody":   {Server{Family: route.IPv4}, []string{mxOf, spfIs + `"v=spf1 +all"`}, []string{"warning spf: (+all)", noDMARC, takes}},
		"two records": {Server{}, []string{mxOf, spfIs + `"v=spf1 -all"`, spfIs + `"v=spf1 +all"`}, []string{"problem spf: is void: there is more than one", noDMARC, takes}},
		"too many":    {Server{}, append(many, spfIs+`"v=spf1`+eleven+` -all"`), []string{"problem spf: is void: it takes more than ten questions", noDMARC, takes}},
		"void":        {Server{}, []string{mxOf, spfIs + `"v=spf1 a:n1.example a:n2.example a:n3.example -all"`}, []string{"problem spf: is void: more than two of the names", noDMARC, takes}},
		"broken":      {Server{}, []string{mxOf, spfIs + `"v=spf1` + six + ` -all"`}, []string{"problem spf: is void: ", noDMARC, takes}},
		"NAT":         {nat, []string{a4, mxOf, spfIs + `"v=spf1 ip4:198.51.100.7 -all"`}, []string{"good spf: 198.51.100.7", noDMARC, takes}},
		"unknown address": {nat, []string{mxOf, spfIs + `"v=spf1 -all"`, dmIs + `"v=DMARC1; p=reject"`},
			[]string{"note spf: in good order; whether it names this server cannot be told", "warning dmarc: reject, and this version does not sign", takes}},
		"unknown address, none": {nat, []string{mxOf}, []string{"warning spf: no SPF record", noDMARC, takes}},
		"relay":                 {relay, []string{mxOf, spfIs + `"v=spf1 -all"`, dmIs + `"v=DMARC1; p=reject"`}, []string{"note spf: whether it names the relay's addresses", "warning dmarc: reject", takes}},
		"relay, none":           {relay, []string{mxOf}, []string{"warning spf: no SPF record", noDMARC, takes}},
		"two DMARC":             {relay, []string{mxOf, dmIs + `"v=DMARC1; p=none"`, dmIs + `"v=DMARC1; p=reject"`}, []string{"warning spf: ", "warning dmarc: _dmarc.d.example is void: there is more than one", takes}},
		"no MX":                 {relay, []string{"d.example. 1 IN A 192.0.2.1"}, []string{"warning spf: ", noDMARC, "note sender domain: d.example has no MX record"}},
		"null MX":               {relay, []string{"d.example. 1 IN MX 0 ."}, []string{"warning spf: ", noDMARC, "problem sender domain: takes no mail (null MX)"}},
		"no domain":             {relay, nil, []string{"warning spf: ", noDMARC, "problem sender domain: neither an MX record nor an address"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.server.Accounts = accountsFile(t, []string{"*@d.example"})
			v := visitTo(t, c.server, zone{records: c.records}, nil)
			shows(t, v.checkSenders(t.Context()), c.want...)
		})
	}
}

// Where DNS cannot tell, nothing is said to be missing.
func TestSenderDomainUnknown(t *testing.T) {
	v := visitTo(t, Server{Accounts: accountsFile(t, []string{"x@d.example"})}, zone{failing: []string{"d.example.", "_dmarc.d.example."}}, nil)
	shows(t, v.checkSenders(t.Context()), "warning spf: could not be evaluated (", "warning dmarc: no answer about the DMARC record", "warning sender domain: no answer about the MX")
}

// An addressless resolver is a zone whose questions for addresses fail.
type addressless struct{ *DNS }

func (r addressless) LookupNetIP(ctx context.Context, network, _ string) ([]netip.Addr, error) {
	return r.DNS.LookupNetIP(ctx, network, "failing.example")
}

// A domain without MX whose addresses DNS cannot tell is not said to have none.
func TestBouncesUnknown(t *testing.T) {
	d := &DNS{Servers: []string{zone{failing: []string{"failing.example."}}.serve(t)}}
	found := visitTo(t, Server{Resolver: addressless{d}}, zone{}, nil).checkBounces(t.Context(), "d.example")
	shows(t, found, "warning sender domain: no answer about the addresses of d.example, which has no MX record")
	if f := found[0]; f.alike != noAnswer || !strings.HasPrefix(f.Do, "run it again") {
		t.Errorf("%+v", f)
	}
}

// Where it cannot tell of many, one finding says so.
func TestSenderDomainsUnknown(t *testing.T) {
	records := zone{records: []string{mxOf}, failing: []string{"_dmarc.d.example."}}
	for _, d := range []string{"e.example", "f.example", "_dmarc.e.example", "_dmarc.f.example"} {
		records.failing = append(records.failing, d+".")
	}
	v := visitTo(t, Server{Accounts: accountsFile(t, []string{"x@e.example", "x@f.example"})}, records, nil)
	shows(t, v.checkSenders(t.Context()), "warning sender domain: no answer about any of the 2 domains that are sent as")
	v = visitTo(t, Server{Accounts: accountsFile(t, []string{"x@d.example", "x@f.example"})}, records, nil)
	if found := v.checkSenders(t.Context()); len(found) != 6 {
		t.Errorf("%+v", found)
	}
}

func TestSenderDomains(t *testing.T) {
	file := accountsFile(t, []string{"*@b.example", "x@A.example"}, []string{"*"}, nil, []string{"y@bücher.example", "z@b.example"})
	hash, err := auth.HashPassword([]byte("password"), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := userfile.Add(file, auth.Login{Account: auth.Account{Name: "me@c.example"}, Hash: hash}); err != nil {
		t.Fatal(err)
	}
	v := visitTo(t, Server{Accounts: file}, zone{}, nil)
	domains, anybody := v.senderDomains()
	if diff := cmp.Diff([]string{"a.example", "b.example", "c.example", "xn--bcher-kva.example"}, domains); diff != "" || anybody != 1 {
		t.Error(diff, anybody)
	}
}

func TestSendersThatCannotBeLookedAt(t *testing.T) {
	none := filepath.Join(t.TempDir(), "users")
	many := []string{}
	for i := range maxDomains + 1 {
		many = append(many, fmt.Sprintf("*@host%02d", i))
	}
	broken := t.TempDir() // a folder cannot be read as a file
	for name, c := range map[string]struct {
		file string
		want string
	}{
		"anybody":  {accountsFile(t, []string{"*"}, []string{"*"}), "note sender domain: 2 accounts may send as anybody"},
		"nobody":   {accountsFile(t, nil), "note sender domain: no account may send"},
		"no file":  {none, "note sender domain: no account may send"},
		"too many": {accountsFile(t, many), "note sender domain: of 41 sender domains the first 40"},
		"no dot":   {accountsFile(t, []string{"*@localhost"}), "warning sender domain: \"localhost\" is no domain in DNS"},
		"literal":  {accountsFile(t, []string{"*@[192.0.2.1]"}), "warning sender domain: \"[192.0.2.1]\" is no domain in DNS"},
		"control":  {accountsFile(t, []string{"*@x\x1b[31m.example"}), "warning sender domain: \"x?[31m.example\" is no domain in DNS"},
		"broken":   {broken, "note sender domain: not looked at, since the accounts, which say what they are, cannot be read"},
	} {
		v := visitTo(t, Server{Accounts: c.file}, zone{}, nil)
		found := v.checkSenders(t.Context())
		shows(t, found[len(found)-1:], c.want)
		if want := map[bool]int{true: 2, false: 1}[name == "too many"]; len(found) != want {
			t.Errorf("%s: %d findings", name, len(found))
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("the accounts file was made")
	}
}

// TestManySenderDomains: what is the same for many domains is told once, what differs beside it.
func TestManySenderDomains(t *testing.T) {
	senders := []string{"*@d.example"}
	for i := range 10 {
		senders = append(senders, fmt.Sprintf("*@d%d.example", i))
	}
	v := visitTo(t, Server{Accounts: accountsFile(t, senders), Relay: &route.Relay{Host: "relay.example"}}, zone{records: []string{mxOf, spfIs + `"v=spf1 -all"`}}, nil)
	found := v.checkSenders(t.Context())
	shows(t, found, "note spf: d.example has an SPF record", "note dmarc: d.example has no DMARC record; the same goes for d0.example, d1.example, d2.example, d3.example, d4.example and 5 more", takes,
		"warning spf: d0.example has no SPF record; the same goes for d1.example", "problem sender domain: d0.example has neither")
	if of := found[1].Detail["domains"].([]string); len(of) != 11 || of[10] != "d9.example" {
		t.Errorf("the details name %q", of)
	}
}

func TestDMARCRecord(t *testing.T) {
	for _, c := range []struct {
		text  string
		below bool
		want  dmarc
	}{
		{"v=DMARC1; p=none", false, dmarc{policy: "none"}},
		{"v=DMARC1;p=Reject; ;;", false, dmarc{policy: "reject"}},
		{"v=DMARC1; p=none; sp=reject", true, dmarc{policy: "reject"}},
		{"v=DMARC1; p=none; sp=reject", false, dmarc{policy: "none"}},
		{"v=DMARC1; rua=mailto:a@b", false, dmarc{fault: "it has no policy (p=)"}},
		{"v=DMARC1; p=maybe", false, dmarc{fault: "its policy is “maybe”; there are none, quarantine and reject"}},
		{"v=DMARC1; p", false, dmarc{fault: "“p” has no value"}},
		{"v=DMARC1; p=none; p=reject", false, dmarc{fault: "“p” stands there twice"}},
	} {
		if got := parseDMARC(c.text, c.below); got != c.want {
			t.Errorf("%q: %+v, want %+v", c.text, got, c.want)
		}
	}
	for text, want := range map[string]bool{"v=DMARC1": true, "v = DMARC1 ; p=none": true, "V=DMARC1; p=none": true, "v=dmarc1; p=none": false, "p=none; v=DMARC1": false, "v=spf1": false} {
		if got := isDMARC(text); got != want {
			t.Errorf("isDMARC(%q) = %t", text, got)
		}
	}
}

// The record of a domain above counts, with its policy for those below.
func TestDMARCOfTheDomainAbove(t *testing.T) {
	v := visitTo(t, Server{}, zone{records: []string{dmIs + `"v=DMARC1; p=none; sp=quarantine"`}}, nil)
	want := dmarc{policy: "quarantine", at: "d.example"}
	if got := v.lookUpDMARC(t.Context(), "a.b.d.example"); got != want {
		t.Errorf("%+v", got)
	}
	if got := v.lookUpDMARC(t.Context(), "e.example"); got != (dmarc{absent: true}) {
		t.Errorf("%+v", got)
	}
}

func FuzzDMARC(f *testing.F) {
	f.Add("v=DMARC1; p=none; sp=reject; rua=mailto:a@b", true)
	f.Fuzz(func(t *testing.T, text string, below bool) {
		d := parseDMARC(text, below)
		if (d.policy == "") == (d.fault == "") {
			t.Errorf("%q: %+v", text, d)
		}
	})
}
