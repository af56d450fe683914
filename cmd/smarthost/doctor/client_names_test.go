package doctor

import (
	"context"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// startNames answers from records; names that begin with "broken" have no AAAA but a fault of the server.
func startNames(t *testing.T, records ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all []dns.RR
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rr)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative = true
		want, kind := q.Question[0].Name, q.Question[0].Qtype
		m.Rcode = dns.RcodeNameError
		for _, rr := range all {
			h := rr.Header()
			if !strings.EqualFold(h.Name, want) {
				continue
			}
			m.Rcode = dns.RcodeSuccess
			if h.Rrtype == dns.TypeCNAME {
				want = rr.(*dns.CNAME).Target
			}
			if h.Rrtype == kind || h.Rrtype == dns.TypeCNAME {
				m.Answer = append(m.Answer, rr)
			}
		}
		if strings.HasPrefix(want, "broken") && kind == dns.TypeAAAA {
			m.Rcode = dns.RcodeServerFailure
		}
		w.WriteMsg(m)
	})}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	t.Cleanup(func() { server.Shutdown(); conn.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestNames(t *testing.T) {
	t.Parallel()
	resolver := startNames(t, "alias.example.org. CNAME mx.example.org.", "mx.example.org. A 127.0.0.1", "two.example.org. A 127.0.0.1", "two.example.org. AAAA ::1",
		"six.example.org. AAAA ::1", "broken.example.org. A 127.0.0.1")
	s := startScript(t, &script{})
	for host, want := range map[string]string{
		"mx.example.org":     `note no AAAA record`,
		"two.example.org":    `good two.example.org is at 127\.0\.0\.1, ::1 \(lookup \d+ ms\)`,
		"six.example.org":    `warning no A record`,
		"alias.example.org":  `warning alias.example.org is an alias \(CNAME\) of mx.example.org.*passwd.client`,
		"broken.example.org": `warning the lookup of the AAAA record fails: server misbehaving`,
		"none.example.org":   `problem none.example.org has no address`,
	} {
		c := s.client()
		c.Host, c.Resolver = host, resolver
		all := find(examine(t, c), "name")
		matches := false
		for _, f := range all {
			matches = matches || regexp.MustCompile(want).MatchString(f.Level.String()+" "+f.What+" "+f.Why)
		}
		if !matches {
			t.Errorf("%s: nothing matches %s: %+v", host, want, all)
		}
	}
}

func TestNamesThatCannotBeFound(t *testing.T) {
	t.Parallel()
	dead := &net.DNSError{Err: "i/o timeout", IsTimeout: true}
	all := judgeNames("mx.example.org", "", family{err: dead}, family{err: dead})
	if len(all) != 1 || !strings.Contains(all[0].What, "cannot be found out") || !strings.Contains(all[0].Do, "resolv.conf") {
		t.Errorf("DNS is dead: %+v", all)
	}
	slow := judgeNames("mx.example.org", "", family{addrs: cut(nil), took: 3 * time.Second, err: dead}, family{err: &net.DNSError{IsNotFound: true}})
	if len(slow) != 1 || slow[0].Level != Problem {
		t.Errorf("one family is dead, the other empty: %+v", slow)
	}
	empty := family{err: &net.DNSError{Err: "no such host", IsNotFound: true}}
	for _, all := range [][]Finding{judgeNames("mx.example.org", "", empty, family{err: dead}), judgeNames("mx.example.org", "", family{err: dead}, empty)} {
		if len(all) != 1 || !strings.Contains(all[0].What, "cannot be found out: i/o timeout") {
			t.Errorf("one family is dead, the other has nothing: %+v", all)
		}
	}
}

func TestManyAddresses(t *testing.T) {
	t.Parallel()
	var many []netip.Addr
	for i := range 50 {
		many = append(many, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	if all := judgeNames("mx.example.org", "", family{addrs: many}, family{addrs: many}); !strings.HasSuffix(all[0].What, ", 192.0.2.9 and 90 more (lookup 0 ms)") {
		t.Errorf("a hundred addresses: %+v", all[0])
	}
}
