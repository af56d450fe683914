package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/emersion/go-smtp"
	mdns "github.com/miekg/dns"
)

// dnsServer answers on loopback: MX and, by the family's code, A and AAAA.
func dnsServer(t *testing.T, mx, a, aaaa int) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(m *mdns.Msg, code int, record string) {
		if m.Rcode = code; code == mdns.RcodeSuccess && record != "" {
			rr, err := mdns.NewRR(record)
			if err != nil {
				t.Error(err)
			}
			m.Answer = append(m.Answer, rr)
		}
	}
	server := &mdns.Server{PacketConn: conn, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		m := new(mdns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		switch name := q.Question[0].Name; q.Question[0].Qtype {
		case mdns.TypeMX:
			answer(m, mx, name+" 60 IN MX 10 mx."+name)
		case mdns.TypeA:
			answer(m, a, name+" 60 IN A 192.0.2.1")
		case mdns.TypeAAAA:
			answer(m, aaaa, "") // the name exists, without an IPv6 address
		}
		w.WriteMsg(m)
	})}
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		server.Shutdown()
		<-ended
	})
	addr := conn.LocalAddr().String()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", addr)
	}}
}

// checklist 93: whatever question fails in a passing way, with Go's own resolver, mail waits and is not returned.
func TestPassingTroubleOfDNS(t *testing.T) {
	const ok, fail, refused, none = mdns.RcodeSuccess, mdns.RcodeServerFailure, mdns.RcodeRefused, mdns.RcodeNameError
	for _, test := range []struct {
		mx, a, aaaa int
		want        int // 0: there are hops
	}{
		{ok, ok, ok, 0},
		{ok, ok, fail, 0},
		{ok, fail, ok, 451}, // ok for AAAA is: no such record
		{ok, fail, fail, 451},
		{ok, refused, ok, 451},
		{fail, ok, ok, 451},
		{refused, ok, ok, 451},
		{none, fail, ok, 451},
		{none, ok, ok, 0},
		{none, none, none, 550},
		{ok, none, none, 550},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			t.Parallel()
			r := &Router{Resolver: dnsServer(t, test.mx, test.a, test.aaaa)}
			hops, err := r.Hops(t.Context(), "d.example")
			var reply *smtp.SMTPError
			switch {
			case test.want == 0 && (err != nil || len(hops) == 0):
				t.Errorf("%v, %v", hops, err)
			case test.want != 0 && (!errors.As(err, &reply) || reply.Code != test.want):
				t.Errorf("%v, want %d", err, test.want)
			}
		})
	}
}
