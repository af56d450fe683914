package route

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
)

// A zone is a Resolver: names with their final dot; a missing name does not exist, "!" fails.
type zone struct {
	mx   map[string][]*net.MX
	host map[string][]string
}

func answer[T any](m map[string][]T, name string) ([]T, error) {
	if strings.HasPrefix(name, "!") || strings.HasPrefix(name, "servfail") {
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	if v, ok := m[name]; ok && len(v) > 0 {
		return v, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) { return answer(z.mx, name) }

func (z zone) LookupNetIP(_ context.Context, network, name string) ([]netip.Addr, error) {
	texts, err := answer(z.host, name)
	var out []netip.Addr
	for _, s := range texts {
		if a := netip.MustParseAddr(s); a.Is6() == (network == "ip6") {
			out = append(out, a)
		}
	}
	if err == nil && len(out) == 0 {
		err = &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return out, err
}

func mx(pref uint16, host string) *net.MX { return &net.MX{Host: host, Pref: pref} }

var dns = zone{
	mx: map[string][]*net.MX{
		"order.example.":       {mx(20, "b.example."), mx(10, "A.example.")},
		"null.example.":        {mx(0, ".")},
		"nullandmore.example.": {mx(0, "."), mx(10, "a.example.")},
		"self.example.":        {mx(10, "us.example."), mx(10, "a.example."), mx(20, "b.example.")},
		"backup.example.":      {mx(10, "a.example."), mx(20, "us.example."), mx(30, "b.example.")},
		"ownaddr.example.":     {mx(10, "alias.example.")},
		"dead.example.":        {mx(10, "gone.example.")},
		"half.example.":        {mx(10, "servfail.example."), mx(20, "b.example.")},
		"unsure.example.":      {mx(10, "servfail.example."), mx(20, "gone.example.")},
		"poison.example.":      {mx(10, "evil.example.")},
		"numeric.example.":     {mx(10, "192.0.2.9.")},
	},
	host: map[string][]string{
		"a.example.": {"192.0.2.1", "2001:db8::1"}, "b.example.": {"192.0.2.2"}, "us.example.": {"192.0.2.99"},
		"alias.example.": {"192.0.2.99"}, "implicit.example.": {"192.0.2.3"}, "xn--bcher-kva.example.": {"192.0.2.4"},
		"evil.example.": {"127.0.0.1", "::1", "0.0.0.0", "::", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "::ffff:127.0.0.1", "0.1.2.3", "255.255.255.255"},
		"relay":         {"10.0.0.1", "127.0.0.1"},
	},
}

// checklist 93, 73; attacks 31, 32, 33.
func TestHops(t *testing.T) {
	for _, tt := range []struct {
		domain string
		want   string // hops with their addresses, or code and enhanced code
	}{
		{"order.example", "a.example[2001:db8::1 192.0.2.1] b.example[192.0.2.2]"},
		{"ORDER.example.", "a.example[2001:db8::1 192.0.2.1] b.example[192.0.2.2]"},
		{"implicit.example", "implicit.example[192.0.2.3]"},
		{"bücher.example", "xn--bcher-kva.example[192.0.2.4]"},
		{"null.example", "556 5.1.10"},
		{"nullandmore.example", "a.example[2001:db8::1 192.0.2.1]"},
		{"nowhere.example", "550 5.1.2"},
		{"servfail.example", "451 4.4.3"},
		{"self.example", "554 5.4.6"},
		{"backup.example", "a.example[2001:db8::1 192.0.2.1]"},
		{"ownaddr.example", "554 5.4.6"},
		{"dead.example", "550 5.4.4"},
		{"half.example", "b.example[192.0.2.2]"},
		{"unsure.example", "451 4.4.3"},
		{"poison.example", "550 5.4.4"},
		{"numeric.example", "192.0.2.9[192.0.2.9]"},
		{"[192.0.2.7]", "192.0.2.7[192.0.2.7]"},
		{"[IPv6:2001:db8::7]", "2001:db8::7[2001:db8::7]"},
		{"[2001:db8::7]", "550 5.1.2"},
		{"[127.0.0.1]", "550 5.4.4"},
		{"[192.0.2.99]", "554 5.4.6"},
		{"[nonsense]", "550 5.1.2"},
		{"", "550 5.1.2"},
		{"a..b", "550 5.1.2"},
		{"a\r\nb", "550 5.1.2"},
		{"relay", "451 4.3.5"},
	} {
		r := &Router{Hostname: "us.example", Own: []netip.Addr{netip.MustParseAddr("192.0.2.99")}, Resolver: dns}
		if diff := cmp.Diff(tt.want, show(r.Hops(t.Context(), tt.domain))); diff != "" {
			t.Errorf("%q: %s", tt.domain, diff)
		}
	}
}

// Mail leaves over the family that is set, and waits where there is none: DNS has said that the host exists.
func TestFamily(t *testing.T) {
	for _, tt := range []struct {
		family       Family
		domain, want string
	}{
		{AnyFamily, "order.example", "a.example[2001:db8::1 192.0.2.1] b.example[192.0.2.2]"},
		{IPv4, "order.example", "a.example[192.0.2.1] b.example[192.0.2.2]"},
		{IPv6, "order.example", "a.example[2001:db8::1]"},
		{IPv6, "implicit.example", "451 4.4.4"},
		{IPv6, "numeric.example", "451 4.4.4"},
		{IPv6, "half.example", "451 4.4.3"},
		{IPv6, "[192.0.2.7]", "451 4.4.4"},
		{IPv4, "[IPv6:2001:db8::7]", "451 4.4.4"},
		{IPv6, "nowhere.example", "550 5.1.2"},
		{IPv6, "null.example", "556 5.1.10"},
	} {
		r := &Router{Resolver: dns, Family: tt.family}
		if diff := cmp.Diff(tt.want, show(r.Hops(t.Context(), tt.domain))); diff != "" {
			t.Errorf("%v, %q: %s", tt.family, tt.domain, diff)
		}
		parsed, err := ParseFamily(tt.family.String())
		if err != nil || parsed != tt.family {
			t.Errorf("%v is read back as %v, %v", tt.family, parsed, err)
		}
	}
	r := &Router{Resolver: dns, Family: IPv6, Relay: &Relay{Host: "relay", Port: 587}}
	if got := show(r.Hops(t.Context(), "relay")); got != "451 4.4.4" {
		t.Errorf("a relay without IPv6: %s", got)
	}
	if f, err := ParseFamily("IPv6"); err == nil {
		t.Errorf("IPv6 in capitals is read as %v", f)
	}
}

func show(hops []Hop, err error) string {
	if err != nil {
		e, ok := err.(*smtp.SMTPError)
		if !ok || strings.ContainsAny(e.Message, "\r\n") {
			return fmt.Sprintf("%T %v", err, err)
		}
		return fmt.Sprintf("%d %d.%d.%d", e.Code, e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2])
	}
	var out []string
	for _, h := range hops {
		out = append(out, fmt.Sprint(h.Host, h.Addrs))
		if h.Port != 25 || h.TLS != Opportunistic || h.Relay {
			return fmt.Sprintf("%+v", h)
		}
	}
	return strings.Join(out, " ")
}

// checklist 93: equally good hosts share the load.
func TestEqualPreferenceIsShuffled(t *testing.T) {
	r := &Router{Resolver: zone{mx: map[string][]*net.MX{"x.example.": {mx(10, "a.example."), mx(10, "b.example."), mx(20, "us.example.")}}, host: dns.host}}
	first := map[string]int{}
	for range 100 {
		hops, err := r.Hops(t.Context(), "x.example")
		if err != nil || len(hops) != 3 || hops[2].Host != "us.example" {
			t.Fatal(hops, err)
		}
		first[hops[0].Host]++
	}
	if len(first) != 2 {
		t.Error(first)
	}
}

// attack 33: a thousand MX records and addresses.
func TestHopsAreBounded(t *testing.T) {
	z := zone{mx: map[string][]*net.MX{}, host: map[string][]string{}}
	for i := range 1000 {
		name := fmt.Sprintf("m%d.example.", i)
		z.mx["many.example."] = append(z.mx["many.example."], mx(uint16(i), name))
		z.host[name] = slices.Repeat([]string{"192.0.2.1"}, 40)
	}
	hops, err := (&Router{Resolver: z}).Hops(t.Context(), "many.example")
	n := 0
	for _, h := range hops {
		n += len(h.Addrs)
	}
	if err != nil || n != maxAddrs || len(hops) > maxMX {
		t.Errorf("%d hops, %d addresses, %v", len(hops), n, err)
	}
}

func TestAllowPrivate(t *testing.T) {
	r := &Router{Resolver: dns, AllowPrivate: true, Port: 2525}
	hops, err := r.Hops(t.Context(), "poison.example")
	if err != nil || len(hops) != 1 || hops[0].Port != 2525 || !slices.Contains(hops[0].Addrs, netip.MustParseAddr("127.0.0.1")) ||
		slices.ContainsFunc(hops[0].Addrs, netip.Addr.IsUnspecified) {
		t.Error(hops, err)
	}
}

func TestRelayHops(t *testing.T) {
	relay, err := ParseRelay("smtp://u:p%40ss@relay")
	if err != nil {
		t.Fatal(err)
	}
	r := &Router{Relay: &relay, Resolver: dns}
	got, err := r.Hops(t.Context(), r.Destination("a@b.example"))
	want := []Hop{{Host: "relay", Port: 587, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("127.0.0.1")},
		Relay: true, TLS: Required, User: "u", Password: "p@ss"}}
	if err != nil || !slices.EqualFunc(got, want, func(a, b Hop) bool {
		return cmp.Equal(a, b, cmp.Comparer(func(x, y netip.Addr) bool { return x == y }))
	}) {
		t.Errorf("%+v %v", got, err)
	}
	if other, err := (&Router{Resolver: dns}).RelayHops(t.Context(), relay); err != nil || len(other) != 1 || other[0].Host != "relay" || other[0].TLS != Required {
		t.Errorf("a relay that is not the router's own: %+v %v", other, err)
	}
	for host, want := range map[string]string{"gone": "451 4.4.4", "servfail": "451 4.4.3"} {
		r.Relay = &Relay{Host: host, Port: 587}
		if got := show(r.Hops(t.Context(), "relay")); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
}

func TestDestination(t *testing.T) {
	r := new(Router)
	for address, want := range map[string]string{
		"a@Example.ORG": "example.org", "a@example.org.": "example.org", "a@bücher.example": "xn--bcher-kva.example",
		`"a@b"@c.example`: "c.example", "a@[192.0.2.1]": "[192.0.2.1]", "a@[IPv6:2001:DB8::1]": "[ipv6:2001:db8::1]",
		"a@under_score.example": "under_score.example", "a@B..c": "b..c", "postmaster": "",
	} {
		if got := r.Destination(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	r.Relay = new(Relay)
	if got := r.Destination("a@b"); got != "relay" {
		t.Error(got)
	}
}

// checklist 94: a relay with a login always has verified TLS.
func TestParseRelay(t *testing.T) {
	for text, want := range map[string]Relay{
		"smtp://host.example":                   {Host: "host.example", Port: 587, TLS: Required},
		"smtps://u:p@Host.example.":             {Host: "host.example", Port: 465, TLS: Implicit, User: "u", Password: "p"},
		"smtp://u%40x:a%2Fb%3A@host:2525/":      {Host: "host", Port: 2525, TLS: Required, User: "u@x", Password: "a/b:"},
		"smtp://[2001:db8::1]:25?tls=none":      {Host: "2001:db8::1", Port: 25, TLS: Clear},
		"smtp://192.0.2.1:25?tls=opportunistic": {Host: "192.0.2.1", Port: 25, TLS: Opportunistic},
		"smtp://u:p@host?tls=required":          {Host: "host", Port: 587, TLS: Required, User: "u", Password: "p"},
		"smtps://host?tls=required":             {Host: "host", Port: 465, TLS: Implicit},
	} {
		if got, err := ParseRelay(text); err != nil || got != want {
			t.Errorf("%s: %#v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                               "must begin with smtp://",
		"host:587":                       "must begin with smtp://",
		"http://host":                    "must begin with smtp://",
		"smtp://":                        "is not a host name",
		"smtp://a b":                     "not a URL",
		"smtp://u:hunter2/x@host":        "percent-encoded",
		"smtp://u:hunter2#x@host":        "percent-encoded",
		"smtp://u:hunter2%@host":         "percent-encoded",
		"smtp://host:0":                  "port",
		"smtp://host:70000":              "port",
		"smtp://host/path":               "nothing may follow",
		"smtp://u@host":                  "both user and password",
		"smtp://:hunter2@host":           "both user and password",
		"smtp://u:hunter2%0D%0A@host":    "control characters",
		"smtp://u:hunter2@host?tls=none": "only sent in verified TLS",
		"smtps://host?tls=none":          "always means verified TLS",
		"smtp://host?tls=maybe":          "not one of",
		"smtp://host?ca=x":               "unknown or repeated option",
	} {
		_, err := ParseRelay(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestSecretNeverShows(t *testing.T) {
	r := Relay{Password: "hunter2"}
	data, err := json.Marshal(r)
	text := fmt.Sprintf("%v %+v %#v %s %q %x %d", r, r, r, r.Password, r.Password, r.Password, r.Password) + string(data) + r.Password.String()
	if err != nil || strings.Contains(text, "hunter2") || strings.Contains(text, "68756e7465723") {
		t.Error(text, err)
	}
}

func FuzzParseRelay(f *testing.F) {
	f.Add("smtp://u:p%40@host:587?tls=required")
	f.Add("smtps://[::1]")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRelay(text)
		if err == nil && (r.Host == "" || r.Port == 0 || r.User != "" && !r.TLS.Verified()) {
			t.Errorf("%q: %#v", text, r)
		}
	})
}

func FuzzHops(f *testing.F) {
	f.Add("order.example")
	f.Add("[IPv6:::1]")
	f.Fuzz(func(t *testing.T, domain string) {
		r := &Router{Resolver: dns}
		if hops, err := r.Hops(t.Context(), domain); err != nil {
			if _, ok := errors.AsType[*smtp.SMTPError](err); !ok {
				t.Error(err)
			}
		} else if len(hops) == 0 || len(hops[0].Addrs) == 0 {
			t.Error(hops)
		}
		if d := r.Destination("a@" + domain); r.Destination("a@"+d) != d {
			t.Errorf("%q is not stable", d)
		}
	})
}
