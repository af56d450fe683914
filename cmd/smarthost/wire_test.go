package main

import (
	"testing"

	"github.com/rs/zerolog"
)

func wired(t *testing.T, text string) *Config {
	t.Helper()
	c, err := loadConfig(testEnvironment(t, nil), writeConfig(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serviceOf is the whole server of a config, with its data folder, until the test ends; nothing of it runs.
func serviceOf(t *testing.T, c *Config, log zerolog.Logger) *service {
	t.Helper()
	if _, err := makeData(c); err != nil {
		t.Fatal(err)
	}
	s, err := newService(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Spool.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// checklist 74: REQUIRETLS is offered only where what forwards the mail can keep it.
func TestRequireTLSIsOfferedWhereItIsKept(t *testing.T) {
	for relay, want := range map[string]bool{
		"":                                       false,
		"smtp://relay.example":                   true,
		"smtps://u:p@relay.example":              true,
		"smtp://relay.example?tls=none":          false,
		"smtp://relay.example?tls=opportunistic": false,
	} {
		if got := honoursRequireTLS(wired(t, "[forward]\nrelay = \""+relay+"\"\n")); got != want {
			t.Errorf("%q: %v, want %v", relay, got, want)
		}
	}
}

// An MX of this machine's name is this server only if it listens on port 25; else it is another one beside it.
func TestSelfInMXList(t *testing.T) {
	for listen, want := range map[string]string{`[":587"]`: "", `[":587", ":25"]`: "mx.example.org"} {
		r, err := newRouter(wired(t, "hostname = \"mx.example.org\"\n[listen]\nsubmission = "+listen+"\n"))
		if err != nil || r.Hostname != want {
			t.Errorf("%s: %q, %v; want %q", listen, r.Hostname, err, want)
		}
	}
}
