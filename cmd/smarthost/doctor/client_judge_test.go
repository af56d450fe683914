package doctor

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCertificates(t *testing.T) {
	t.Parallel()
	trusted := newAuthority(t, nil, "trusted CA")
	between := newAuthority(t, trusted, "between CA")
	private := newAuthority(t, nil, "private CA")
	with := func(c tls.Certificate, more ...*x509.Certificate) []*x509.Certificate {
		return append([]*x509.Certificate{c.Leaf}, more...)
	}
	self, _ := sign(t, &x509.Certificate{DNSNames: []string{"mx.example.org"}, NotBefore: time.Now().Add(-day), NotAfter: time.Now().Add(89 * day)}, nil)
	fetched := between.leaf(t, -day, 89*day)
	fetched.Leaf.IssuingCertificateURL = []string{"http://ca.example/between.crt"}
	for name, c := range map[string]struct {
		chain    []*x509.Certificate
		level    Level
		what     string // of the first finding
		verified bool
	}{
		"good":              {with(trusted.leaf(t, -day, 89*day+time.Hour)), Good, "(89 days), ECDSA P-256", true},
		"with intermediate": {with(between.leaf(t, -day, 89*day), between.cert), Good, "by between CA", true},
		"expired":           {with(trusted.leaf(t, -90*day, -3*day-time.Hour)), Problem, "it expired 3 days ago", false},
		"not yet":           {with(trusted.leaf(t, 5*day+time.Hour, 89*day)), Problem, "5 days from now by this machine's clock", false},
		"ends soon":         {with(trusted.leaf(t, -70*day, 20*day+time.Hour)), Warning, "it ends in 20 days", true},
		"ends very soon":    {with(trusted.leaf(t, -84*day, 6*day+time.Hour)), Problem, "it ends in 6 days", true},
		"short life":        {with(trusted.leaf(t, -day, 5*day)), Good, "good until", true},
		"short life, ends":  {with(trusted.leaf(t, -5*day, 30*time.Hour+time.Minute)), Warning, "it ends in 30 hours", true},
		"other name":        {with(trusted.leaf(t, -day, 89*day, "www.example.org")), Problem, "it is for www.example.org, not for mx.example.org", false},
		"self-signed":       {[]*x509.Certificate{self}, Problem, "it is self-signed", false},
		"private CA sent":   {with(private.leaf(t, -day, 89*day), private.cert), Problem, "does not trust: CN=private CA", false},
		"private CA":        {with(private.leaf(t, -day, 89*day)), Problem, "or whose certificate the server does not send: CN=private CA", false},
		"chain incomplete":  {with(fetched), Problem, "does not send the certificate of CN=between CA", false},
	} {
		got, verified := judgeCertificate(c.chain, "mx.example.org", trusted.pool(), time.Now())
		if len(got) != 1 || got[0].Level != c.level || !strings.Contains(got[0].What, c.what) || verified != c.verified {
			t.Errorf("%s: verified %v, %+v", name, verified, got)
		}
	}
	all, _ := judgeCertificate(with(private.leaf(t, -90*day, -day, "www.example.org")), "mx.example.org", trusted.pool(), time.Now())
	if len(all) != 3 {
		t.Errorf("expired, for another name, and of an unknown authority is told as %d findings: %+v", len(all), all)
	}
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if f, bad := judgeKey(&x509.Certificate{PublicKey: &key.PublicKey}); !bad || f.Level != Warning {
		t.Errorf("an RSA key of 1024 bits: %+v", f)
	}
}

func TestClockByCertificates(t *testing.T) {
	t.Parallel()
	early := &x509.Certificate{NotBefore: time.Now().Add(time.Hour)}
	if all := judgeClocks([]*door{{leaf: early}, {}, {leaf: early}}, time.Now()); len(all) != 1 || all[0].Level != Problem {
		t.Errorf("all certificates are good only later: %+v", all)
	}
	if all := judgeClocks([]*door{{leaf: early}, {leaf: &x509.Certificate{}}}, time.Now()); len(all) != 0 {
		t.Errorf("one certificate is good now: %+v", all)
	}
}

func TestSlowGreeting(t *testing.T) {
	t.Parallel()
	greets := reply{code: 220, lines: []string{"mx"}}
	for _, c := range []struct {
		took  time.Duration
		err   error
		level Level
		what  string
	}{
		{4 * time.Second, nil, Good, "220 mx"},
		{6 * time.Second, nil, Warning, "the greeting takes 6s"},
		{greetingWait, os.ErrDeadlineExceeded, Problem, "no greeting is complete within 30 s"},
	} {
		d := &door{}
		d.greeting(t.Context(), greets, c.err, c.took)
		if f := d.findings[0]; f.Level != c.level || !strings.Contains(f.What, c.what) {
			t.Errorf("after %s: %+v", c.took, f)
		}
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	at := func(addr string, err error) *door {
		return &door{addr: netip.MustParseAddrPort(addr), open: err == nil, err: err, connect: 12 * time.Millisecond}
	}
	silentErr := os.ErrDeadlineExceeded
	for name, c := range map[string]struct {
		doors []*door
		both  bool
		want  []string // level, where, what
	}{
		"all well": {[]*door{at("192.0.2.1:587", nil), at("192.0.2.1:465", nil)}, true,
			[]string{"good 192.0.2.1 port 587 in 12 ms, port 465 in 12 ms"}},
		"dead IPv6": {[]*door{at("192.0.2.1:587", nil), at("[2001:db8::1]:587", silentErr)}, false,
			[]string{"good 192.0.2.1 port 587 in 12 ms", "warning 2001:db8::1 no answer on port 587 within 10 s"}},
		"refused": {[]*door{at("192.0.2.1:587", syscall.ECONNREFUSED), at("192.0.2.2:587", nil)}, false,
			[]string{"warning 192.0.2.1 connections to port 587 are refused", "good 192.0.2.2 port 587 in 12 ms"}},
		"no IPv6 here": {[]*door{at("192.0.2.1:587", nil), at("[2001:db8::1]:587", syscall.ENETUNREACH)}, false,
			[]string{"good 192.0.2.1 port 587 in 12 ms", "note 2001:db8::1 this machine has no route there"}},
		"nothing": {[]*door{at("192.0.2.1:587", silentErr), at("192.0.2.1:465", syscall.ECONNREFUSED)}, true,
			[]string{"problem  no address of the server can be connected to: 192.0.2.1:587: no answer in time; 192.0.2.1:465: connection refused"}},
		"no 465": {[]*door{at("192.0.2.1:587", nil), at("192.0.2.1:465", syscall.ECONNREFUSED)}, true,
			[]string{"good 192.0.2.1 port 587 in 12 ms", "note  port 465 is closed (192.0.2.1:465: connection refused)"}},
		"587 not everywhere": {[]*door{at("192.0.2.1:587", nil), at("192.0.2.1:465", nil), at("192.0.2.2:587", silentErr), at("192.0.2.2:465", nil)}, true,
			[]string{"good 192.0.2.1 port 587 in 12 ms, port 465 in 12 ms", "good 192.0.2.2 port 465 in 12 ms",
				"warning  port 587 works at 192.0.2.1:587, but not everywhere: 192.0.2.2:587: no answer in time"}},
	} {
		var got []string
		for _, f := range reach(c.doors, c.both) {
			got = append(got, f.Level.String()+" "+f.Where+" "+f.What)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	dead := reach([]*door{at("192.0.2.1:587", nil), at("[2001:db8::1]:587", silentErr)}, false)[1]
	if !strings.Contains(dead.Why, "2 min 15 s") || !strings.Contains(dead.Do, "AAAA") {
		t.Errorf("a dead IPv6 address: %+v", dead)
	}
}

// TestMerge: what doors have in common is told once, and what they have not names its doors.
func TestMerge(t *testing.T) {
	t.Parallel()
	same := Finding{Check: "auth", What: "AUTH PLAIN LOGIN"}
	session := func(id string) Finding {
		return Finding{Check: "mail without login", What: "530 [" + id + "]", alike: "530", Detail: map[string]any{"reply": id}}
	}
	doors := []*door{
		{addr: netip.MustParseAddrPort("192.0.2.1:587"), open: true, findings: []Finding{same, session("a"), {Check: "starttls", What: "x"}}},
		{addr: netip.MustParseAddrPort("192.0.2.1:465"), open: true, findings: []Finding{same, session("b")}},
		{addr: netip.MustParseAddrPort("192.0.2.2:587"), open: true, findings: []Finding{same, session("c"), {Check: "starttls", What: "x"}}},
		{addr: netip.MustParseAddrPort("192.0.2.2:465"), open: true, findings: []Finding{{Check: "auth", What: "AUTH LOGIN"}, session("d")}},
		{addr: netip.MustParseAddrPort("192.0.2.3:465")},
	}
	var got []string
	all := merge(doors)
	for _, f := range all {
		got = append(got, f.Check+" ("+f.Where+") "+f.What)
	}
	want := []string{"auth (192.0.2.1:587, 192.0.2.1:465, 192.0.2.2:587) AUTH PLAIN LOGIN", "mail without login () 530 [a]", "starttls (port 587) x", "auth (192.0.2.2:465) AUTH LOGIN"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(all[1].Detail) != 4 {
		t.Errorf("the details of four doors: %v", all[1].Detail)
	}
}

func TestOpenRelayFromOutside(t *testing.T) {
	t.Parallel()
	a := answer{reply: reply{250, []string{"ok"}}, step: "RCPT", taken: true}
	if f := judgeStranger(inClear, a, answer{}, netip.MustParseAddr("198.51.100.1")); f.Level != Problem || !strings.Contains(f.Why, "open relay") {
		t.Errorf("an open relay: %+v", f)
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		&net.DNSError{Err: "server misbehaving", Server: "192.0.2.53:53"}:                                      "server misbehaving (name server 192.0.2.53:53)",
		&net.DNSError{Err: "read udp [::1]:46607->[::1]:53: read: connection refused", Server: "[::1]:53"}:     "connection refused (name server [::1]:53)",
		&net.DNSError{Err: "dial udp 192.0.2.53:53: connect: network is unreachable", Server: "192.0.2.53:53"}: "network is unreachable (name server 192.0.2.53:53)",
		&net.DNSError{Err: "no such host"}:     "no such host",
		context.DeadlineExceeded:               "no answer in time",
		syscall.ECONNRESET:                     "the connection was closed",
		errors.New("tls: \x1b[31mred\n\u202e"): "tls: ?[31mred ?",
	} {
		if got := errorText(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if got := clean(strings.Repeat("ä", 400)); len(got) > maxQuote+4 {
		t.Errorf("%d octets are shown of a long text", len(got))
	}
}
