package doctor

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestListeners(t *testing.T) {
	cert := (*issuer)(nil).issue(t, "mx.example.org", false, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)).serverTLS()
	good := (&peer{}).serve(t)
	secure := (&peer{implicit: true, tls: cert}).serve(t)
	foreign := (&peer{greeting: "220 postfix ESMTP"}).serve(t)
	busy := (&peer{greeting: "421 4.3.2 too many"}).serve(t)
	doors := []Door{{Address: ":587"}, {Address: "192.0.2.1:465", Implicit: true}}
	for name, c := range map[string]struct {
		doors []Door
		world world
		want  []string
	}{
		"good":       {doors, world{"127.0.0.1:587": good, "192.0.2.1:465": secure}, []string{"good listeners: 127.0.0.1:587 the server answers", "good listeners: 192.0.2.1:465 the server answers"}},
		"one":        {doors, world{"127.0.0.1:587": good}, []string{"good listeners: ", "problem listeners: 192.0.2.1:465 nothing answers as it should: connection refused"}},
		"none":       {doors, world{}, []string{"warning listeners: no server answers at 127.0.0.1:587, 192.0.2.1:465: it does not run"}},
		"another":    {doors[:1], world{"127.0.0.1:587": foreign}, []string{`warning listeners: it greets as "postfix", not "mx.example.org"`}},
		"busy":       {doors, world{"127.0.0.1:587": busy, "192.0.2.1:465": secure}, []string{"problem listeners: takes nobody: 421 4.3.2 too many", "good listeners: "}},
		"substitute": {[]Door{{Address: ":587", Substitute: ":2587"}}, world{"127.0.0.1:2587": good}, []string{"good listeners: 127.0.0.1:2587 the server answers"}},
		"clear TLS":  {[]Door{{Address: ":587"}, {Address: ":465", Implicit: true}}, world{"127.0.0.1:587": good, "127.0.0.1:465": good}, []string{"good listeners: ", "problem listeners: 127.0.0.1:465"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := visitTo(t, Server{Doors: c.doors}, zone{}, c.world)
			shows(t, v.checkDoors(t.Context()), c.want...)
		})
	}
}

func TestFromHere(t *testing.T) {
	for listener, want := range map[string]string{":587": "127.0.0.1:587", "0.0.0.0:587": "127.0.0.1:587", "[::]:587": "[::1]:587", "localhost:25": "127.0.0.1:25",
		"192.0.2.1:587": "192.0.2.1:587", "[2001:db8::1]:465": "[2001:db8::1]:465", "mx.example.org:587": "", "587": "", "": ""} {
		at, ok := fromHere(listener)
		if ok != (want != "") || ok && at.String() != want {
			t.Errorf("%q: %s, %t", listener, at, ok)
		}
	}
}

func TestOpenRelay(t *testing.T) {
	cert := (*issuer)(nil).issue(t, "mx.example.org", false, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)).serverTLS()
	offers := []string{"STARTTLS"}
	ours := map[string]string{"MAIL": "530 5.7.0 Must issue a STARTTLS command first", "tls:MAIL": "530 5.7.0 Authentication required"}
	four := zone{records: []string{a4}}
	const refused = "good open relay: 198.51.100.7:587 a stranger in clear is told: 530 5.7.0 Must issue"
	for name, c := range map[string]struct {
		zone zone
		peer *peer
		want []string
	}{
		"closed":           {four, &peer{tls: cert, offers: offers, answers: ours}, []string{refused, "good open relay: in TLS without a login is told: 530 5.7.0 Authentication required"}},
		"refused at RCPT":  {four, &peer{tls: cert, offers: offers, answers: map[string]string{"RCPT": "554 5.7.1 relay access denied"}}, []string{"good open relay: in clear is told: 554 5.7.1", "good open relay: in TLS without a login is told: 554 5.7.1"}},
		"told to wait":     {four, &peer{tls: cert, offers: offers, answers: map[string]string{"MAIL": "451 4.7.0 later"}}, []string{"good open relay: in clear is told: 451", "good open relay: in TLS"}},
		"open":             {four, &peer{tls: cert, offers: offers}, []string{"problem open relay: a stranger in clear may send to anybody: 250 2.0.0 fine", "problem open relay: a stranger in TLS without a login may send to anybody"}},
		"open in TLS":      {four, &peer{tls: cert, offers: offers, answers: map[string]string{"MAIL": "530 no", "tls:MAIL": "250 ok"}}, []string{"good open relay: ", "problem open relay: in TLS without a login may send"}},
		"no STARTTLS":      {four, &peer{answers: ours}, []string{refused, "problem open relay: STARTTLS is not offered"}},
		"TLS breaks":       {four, &peer{offers: offers, answers: map[string]string{"MAIL": ours["MAIL"], "STARTTLS": "220 go"}}, []string{refused, "warning open relay: the conversation broke in TLS"}},
		"STARTTLS refused": {four, &peer{offers: offers, answers: map[string]string{"MAIL": ours["MAIL"], "STARTTLS": "454 no"}}, []string{refused, "warning open relay: it takes nobody: 454 no"}},
		"turned away":      {four, &peer{greeting: "554 5.7.1 go away"}, []string{"warning open relay: it takes nobody: 554 5.7.1 go away"}},
		"unreachable":      {four, nil, []string{"note open relay: 198.51.100.7 cannot be reached from here"}},
		"no address":       {zone{}, nil, []string{"note open relay: no address of the host name is known"}},
		"one of two":       {zone{records: []string{a4, a6}}, &peer{tls: cert, offers: offers, answers: ours}, []string{refused, "good open relay: in TLS", "note open relay: 2001:db8:a::7 cannot be reached"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world{}
			if c.peer != nil {
				w["198.51.100.7:587"] = c.peer.serve(t)
			}
			v := visitTo(t, Server{}, c.zone, w)
			shows(t, v.checkOpenRelay(t.Context()), c.want...)
			if c.peer == nil {
				return
			}
			c.peer.mu.Lock()
			defer c.peer.mu.Unlock()
			for _, line := range c.peer.said {
				if verb, _, _ := strings.Cut(line, " "); verb == "DATA" || verb == "BDAT" || verb == "AUTH" {
					t.Errorf("said %q", line)
				}
			}
		})
	}
}

// A renewed certificate that the running server has not taken over is told.
func TestListenerShowsTheCertificate(t *testing.T) {
	old, renewed := (*issuer)(nil).issue(t, "mx.example.org", false, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)), (*issuer)(nil).issue(t, "mx.example.org", false, time.Now(), time.Now().Add(time.Hour))
	w := world{"127.0.0.1:465": (&peer{implicit: true, tls: old.serverTLS()}).serve(t), "127.0.0.1:587": (&peer{}).serve(t)}
	for want, file := range map[string]*issuer{"good listeners: 127.0.0.1:465 the server answers": old, "warning listeners: 127.0.0.1:465 the server shows another certificate": renewed} {
		certFile, _ := writePair(t, file)
		v := visitTo(t, Server{Certificate: certFile, Doors: []Door{{Address: ":465", Implicit: true}, {Address: ":587"}}}, zone{}, w)
		shows(t, v.checkDoors(t.Context()), want, "good listeners: 127.0.0.1:587")
	}
}

func TestListenerBehindProxy(t *testing.T) {
	v := visitTo(t, Server{Doors: []Door{{Address: ":587"}, {Address: "192.0.2.1:587"}}, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, zone{}, world{"192.0.2.1:587": (&peer{}).serve(t)})
	shows(t, v.checkDoors(t.Context()), "note listeners: 127.0.0.1:587 not tried", "good listeners: 192.0.2.1:587")
}

// Strangers try 587, to which a container's port may be mapped, and the ports of the config.
func TestPortsOfStrangers(t *testing.T) {
	v := visitTo(t, Server{Doors: []Door{{Address: ":587", Substitute: ":2587"}, {Address: ":10587"}, {Address: ":465", Implicit: true}}}, zone{}, nil)
	if diff := cmp.Diff([]uint16{587, 2587, 10587}, v.ports()); diff != "" {
		t.Error(diff)
	}
}
