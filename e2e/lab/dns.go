//go:build e2e

package lab

import (
	"net"
	"testing"

	"github.com/miekg/dns"
)

// StartDNS answers on port 53 of an address from records in zone format; any other name does not exist.
func StartDNS(t *testing.T, address string, records ...string) {
	t.Helper()
	known := map[string][]dns.RR{}
	for _, text := range records {
		rr, err := dns.NewRR(text)
		Check(t, err)
		name := dns.CanonicalName(rr.Header().Name)
		known[name] = append(known[name], rr)
	}
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		all, found := known[dns.CanonicalName(q.Question[0].Name)]
		if !found {
			m.Rcode = dns.RcodeNameError
		}
		for _, rr := range all {
			if rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		w.WriteMsg(m)
	})
	packets, err := net.ListenPacket("udp", net.JoinHostPort(address, "53"))
	Check(t, err)
	streams, err := net.Listen("tcp", net.JoinHostPort(address, "53"))
	Check(t, err)
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: answer}, {Listener: streams, Handler: answer}} {
		done := make(chan error, 1)
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { done <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			s.Shutdown()
			<-done
		})
	}
}
