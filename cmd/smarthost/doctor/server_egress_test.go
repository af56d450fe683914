package doctor

import (
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/forward/route"
)

const (
	in4, in6 = "203.0.113.25:25", "[2001:db8:b::25]:25"
	probeMX  = "probe.example. 1 IN MX 5 in.probe.example."
	worseMX  = "probe.example. 1 IN MX 20 worse.probe.example."
	probeA   = "in.probe.example. 1 IN A 203.0.113.25"
	probe6   = "in.probe.example. 1 IN AAAA 2001:db8:b::25"
)

func TestPort25(t *testing.T) {
	both := zone{records: []string{worseMX, probeMX, probeA, probe6}}
	only4 := zone{records: []string{probeMX, probeA}}
	for name, c := range map[string]struct {
		server    Server
		zone      zone
		four, six string // greetings; "" = refused
		want      []string
	}{
		"open":           {Server{}, both, "220 in ready", "220 in ready", []string{"good port 25: IPv4 open outwards: in.probe.example [203.0.113.25] says 220 in ready", "good port 25: IPv6 open"}},
		"closed":         {Server{}, both, "", "", []string{"problem port 25: IPv4 closed outwards: in.probe.example [203.0.113.25]: connection refused", "warning port 25: IPv6 closed"}},
		"no v6":          {Server{}, both, "220 in", "", []string{"good port 25: IPv4", "warning port 25: IPv6 closed"}},
		"no v4":          {Server{}, both, "", "220 in", []string{"problem port 25: IPv4", "good port 25: IPv6"}},
		"unwanted":       {Server{}, only4, "554 we do not like you", "", []string{"warning port 25: in.probe.example [203.0.113.25] does not want this machine: 554 we do not like you", "note port 25: IPv6 none of the mail servers tried"}},
		"machine of v4":  {Server{Sources: addrs("198.51.100.7")}, both, "220 in", "220 in", []string{"good port 25: IPv4", "note port 25: IPv6 this machine has no IPv6"}},
		"machine of v6":  {Server{Sources: addrs("2001:db8:a::7")}, both, "220 in", "220 in", []string{"warning port 25: IPv4 this machine has no IPv4", "good port 25: IPv6"}},
		"link-local v6":  {Server{Sources: addrs("198.51.100.7", "fe80::1")}, both, "220 in", "220 in", []string{"good port 25: IPv4", "note port 25: this machine has no IPv6"}},
		"family ipv4":    {Server{Family: route.IPv4}, both, "220 in", "", []string{"good port 25: IPv4"}},
		"family ipv6":    {Server{Family: route.IPv6}, both, "", "220 in", []string{"good port 25: IPv6"}},
		"no MX":          {Server{}, zone{records: []string{probeA}}, "220 in", "", []string{"problem port 25: no mail server to try was found in DNS (probe.example: "}},
		"no answer":      {Server{}, zone{failing: []string{"probe.example."}}, "220 in", "", []string{"problem port 25: answered SERVFAIL"}},
		"second domain":  {Server{Probes: []string{"none.example", "probe.example"}}, only4, "220 in", "", []string{"good port 25: IPv4", "note port 25: IPv6"}},
		"nothing is MX":  {Server{}, zone{records: []string{"probe.example. 1 IN MX 0 ."}}, "220 in", "", []string{"problem port 25: no mail server to try"}},
		"forged control": {Server{}, only4, "220 a\x1b[31mb", "", []string{"good port 25: 220 a?[31mb", "note port 25: IPv6"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world{}
			peers := map[string]*peer{in4: {greeting: c.four}, in6: {greeting: c.six}}
			for at, p := range peers {
				if p.greeting != "" {
					w[at] = p.serve(t)
				}
			}
			if c.server.Probes == nil {
				c.server.Probes = []string{"probe.example"}
			}
			v := visitTo(t, c.server, c.zone, w)
			shows(t, v.checkEgress(t.Context()), c.want...)
			peers[in4].mu.Lock()
			defer peers[in4].mu.Unlock()
			for _, line := range peers[in4].said {
				if line != "QUIT" {
					t.Errorf("said %q to a stranger's server", line)
				}
			}
		})
	}
}

func TestRelay(t *testing.T) {
	ca := (*issuer)(nil).issue(t, "CA", true, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	good := ca.issue(t, "relay.example", false, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)).serverTLS()
	wrong := ca.issue(t, "other.example", false, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)).serverTLS()
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	relay := &route.Relay{Host: "relay.example", Port: 587, TLS: route.Required, User: "u", Password: "secret"}
	clear := &route.Relay{Host: "relay.example", Port: 587, TLS: route.Clear}
	records := zone{records: []string{"relay.example. 1 IN A 203.0.113.1", "relay.example. 1 IN AAAA 2001:db8:c::1"}}
	full := func() *peer {
		return &peer{tls: good, offers: []string{"STARTTLS"}, inTLS: []string{"AUTH PLAIN"}}
	}
	for name, c := range map[string]struct {
		server    Server
		zone      zone
		four, six *peer
		want      []string
	}{
		"good":         {Server{Relay: relay}, records, full(), full(), []string{"good relay: [2001:db8:c::1]:587", "good relay: 203.0.113.1:587 relay.example answers, its certificate is right, and it takes our login"}},
		"no v6":        {Server{Relay: relay}, records, full(), nil, []string{"warning relay: [2001:db8:c::1]:587 relay.example:587: connect: connection refused", "good relay: "}},
		"dead":         {Server{Relay: relay}, records, nil, nil, []string{"problem relay: connection refused", "problem relay: connection refused"}},
		"v4 machine":   {Server{Relay: relay, Sources: addrs("198.51.100.7")}, records, full(), nil, []string{"good relay: "}},
		"family":       {Server{Relay: relay, Family: route.IPv4}, records, full(), nil, []string{"good relay: "}},
		"other name":   {Server{Relay: relay, Family: route.IPv4}, records, &peer{tls: wrong, offers: []string{"STARTTLS"}}, nil, []string{"problem relay: the certificate is for another name"}},
		"password":     {Server{Relay: relay, Family: route.IPv4}, records, &peer{tls: good, offers: []string{"STARTTLS"}, inTLS: []string{"AUTH PLAIN"}, answers: map[string]string{"AUTH": "535 5.7.8 wrong"}}, nil, []string{"problem relay: our login was refused"}},
		"in clear":     {Server{Relay: clear, Family: route.IPv4}, records, full(), nil, []string{"good relay: relay.example answers", "note relay: not protected by verified TLS (none)"}},
		"no address":   {Server{Relay: relay}, zone{}, nil, nil, []string{"problem relay: the relay relay.example has no address in DNS"}},
		"v6 alone":     {Server{Relay: relay, Sources: addrs("198.51.100.7")}, zone{records: []string{"relay.example. 1 IN AAAA 2001:db8:c::1"}}, nil, nil, []string{"problem relay: connection refused"}},
		"other family": {Server{Relay: relay, Family: route.IPv4}, zone{records: []string{"relay.example. 1 IN AAAA 2001:db8:c::1"}}, nil, nil, []string{"problem relay: forward.family is ipv4"}},
		"no answer":    {Server{Relay: relay}, zone{failing: []string{"relay.example."}}, nil, nil, []string{"problem relay: DNS gave no answer about the relay relay.example"}},
		"an address":   {Server{Relay: &route.Relay{Host: "203.0.113.1", Port: 587, TLS: route.Clear}}, zone{}, full(), nil, []string{"good relay: 203.0.113.1 answers", "note relay: "}},
		"on this host": {Server{Relay: &route.Relay{Host: "127.0.0.1", Port: 587, TLS: route.Clear}, Sources: []netip.Addr{}}, zone{}, full(), nil, []string{"good relay: 127.0.0.1 answers", "note relay: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world{}
			if c.four != nil {
				w["203.0.113.1:587"] = c.four.serve(t)
				w["127.0.0.1:587"] = w["203.0.113.1:587"]
			}
			if c.six != nil {
				w["[2001:db8:c::1]:587"] = c.six.serve(t)
			}
			c.server.RelayRoots = roots
			c.server.RelayResolver = &DNS{Servers: []string{c.zone.serve(t)}}
			v := visitTo(t, c.server, c.zone, w)
			found := v.checkRelay(t.Context())
			shows(t, found, c.want...)
			for _, f := range found {
				if strings.Contains(f.What+f.Do, "secret") {
					t.Errorf("the password is shown: %+v", f)
				}
			}
			if c.four != nil {
				c.four.mu.Lock()
				defer c.four.mu.Unlock()
				for _, line := range c.four.said {
					if verb, _, _ := strings.Cut(line, " "); verb == "MAIL" || verb == "DATA" {
						t.Errorf("said %q", line)
					}
				}
			}
		})
	}
}

// With a relay, port 25 is not looked at, and the other way round.
func TestOneWayOut(t *testing.T) {
	names := func(s Server) (all []string) {
		for _, c := range (&visit{Server: s}).checks() {
			all = append(all, c.name)
		}
		return all[2:3]
	}
	if diff := cmp.Diff([][]string{{"port 25"}, {"relay"}}, [][]string{names(Server{}), names(Server{Relay: &route.Relay{}})}); diff != "" {
		t.Error(diff)
	}
}
