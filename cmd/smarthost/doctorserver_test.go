package main

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-1397b510/smarthost/cmd/smarthost/doctor"
	"github.com/seed-1397b510/smarthost/forward/route"
)

func serverDoctor(t *testing.T, text string, f doctorFlags) (doctor.Server, *Config, error) {
	t.Helper()
	env := testEnvironment(t, nil)
	c, err := loadConfig(env, writeConfig(t, text))
	if err != nil {
		t.Fatal(err)
	}
	e, err := newServerDoctor(env, c, &f, nil)
	s, _ := e.(doctor.Server)
	return s, c, err
}

// The doctor examines what the config describes.
func TestServerDoctorFollowsTheConfig(t *testing.T) {
	s, c, err := serverDoctor(t, "hostname = \"MX.example.org\"\ndata = \"d\"\n[listen]\nsubmission = [\":1587\"]\nmax_connections = 7\nproxies = [\"192.0.2.9\"]\n[forward]\nfamily = \"ipv4\"\nrelay = \"smtps://u:p@relay.example\"\n",
		doctorFlags{serverDoctorFlags: serverDoctorFlags{dns: "192.0.2.53", probes: words{"example.net"}}})
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(filepath.Dir(c.File), "d")
	want := doctor.Server{Hostname: "mx.example.org", Config: c.File, Data: data, Accounts: filepath.Join(data, "users"), MaxConnections: 7, Family: route.IPv4,
		Proxies:     []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")},
		Doors:       []doctor.Door{{Address: ":1587"}, {Address: ":465", Substitute: ":2465", Implicit: true}},
		Certificate: filepath.Join(data, "tls", "certificate.pem"), Key: filepath.Join(data, "tls", "key.pem"), CA: filepath.Join(data, "tls", "ca.pem"),
		Relay:  &route.Relay{Host: "relay.example", Port: 465, TLS: route.Implicit, User: "u", Password: "p"},
		Probes: words{"example.net"}, Resolver: &doctor.DNS{Servers: []string{"192.0.2.53:53"}}}
	if diff := cmp.Diff(want, s, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmpopts.IgnoreFields(doctor.Server{}, "Dial", "Progress")); diff != "" {
		t.Error(diff)
	}
	s, _, err = serverDoctor(t, "[tls]\ncertificate = \"/c\"\nkey = \"/k\"\n", doctorFlags{})
	if err != nil || s.CA != "" || s.Certificate != "/c" || s.Key != "/k" || s.Resolver != nil {
		t.Errorf("%+v, %v", s, err)
	}
	s, _, err = serverDoctor(t, "hostname = \"mx.example.org\"\n[tls]\nacme = true\nacme_directory = \"https://acme.example/directory\"\n", doctorFlags{})
	if err != nil || s.CA != "" || s.Authority != "https://acme.example/directory" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestServerDoctorUsage(t *testing.T) {
	for text, want := range map[string]string{
		"[forward]\nca = \"nowhere\"\n":                                          "forward.ca",
		"[forward]\nrelay = \"smtp://u@h\"\nrelay_password_file = \"nowhere\"\n": "relay_password_file",
	} {
		_, _, err := serverDoctor(t, text, doctorFlags{})
		var usage usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for args, want := range map[string]string{"--dns x": "is not the address of a name server", "--probe a..b": "not a host name", "h --probe a.b": "leave out HOST", "h --dns 1.2.3.4": "leave out HOST"} {
		var usage usageError
		if err := doctorCommand(testEnvironment(t, nil), strings.Fields(args)); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestNameServer(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.53": "192.0.2.53:53", "192.0.2.53:5353": "192.0.2.53:5353", "2001:db8::53": "[2001:db8::53]:53", "[2001:db8::53]:54": "[2001:db8::53]:54"} {
		if got, err := nameServer(in); got != want || err != nil {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}
