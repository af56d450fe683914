package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// The config is taken with all that it names, or not at all: a file that is missing or no certificate leaves the password, the
// authorities and the settings of before in force.
func TestConfigIsTakenWholeOrNotAtAll(t *testing.T) {
	folder := t.TempDir()
	authority := func() string {
		c, _ := newPrivate(t, "relay.example")
		return c.Private.certFile()
	}
	path, password := filepath.Join(folder, "smarthost.toml"), filepath.Join(folder, "password")
	put(t, password, "first\n")
	config := func(ca, help string) string {
		return "data = \"data\"\n[submission]\nhelp = \"https://" + help + ".example\"\n[forward]\nrelay = \"smtp://u@relay.example\"\nrelay_password_file = \"password\"\nca = \"" + ca + "\"\n"
	}
	put(t, path, config(authority(), "first"))
	env := testEnvironment(t, nil)
	c, err := loadConfig(env, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := makeData(c); err != nil {
		t.Fatal(err)
	}
	put(t, c.userFile(), "")
	s, err := newService(t.Context(), c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Spool.Close(); err != nil {
			t.Error(err)
		}
	})
	s.watch(env)
	router, roots := s.Router.Load(), s.relayRoots
	if roots == nil || router.Relay.Password != "first" {
		t.Fatalf("not in force at first: %v, %q", roots, string(router.Relay.Password))
	}

	put(t, password, "second\n")
	for _, ca := range []string{"missing.pem", "password"} {
		put(t, path, config(ca, "second"))
		if err := s.reload(env); err == nil || !strings.Contains(err.Error(), "forward.ca") {
			t.Errorf("%s: %v", ca, err)
		}
		if s.Router.Load() != router || s.relayRoots != roots || s.inForce.Load() != c || !s.configFault.Load() {
			t.Errorf("%s: a part was taken, or there is no alarm", ca)
		}
	}

	put(t, path, config(authority(), "second"))
	if err := s.reload(env); err != nil {
		t.Fatal(err)
	}
	if s.Router.Load().Relay.Password != "second" || s.relayRoots.Equal(roots) || s.inForce.Load().Submission.Help != "https://second.example" || s.configFault.Load() {
		t.Error("the right config is not in force")
	}
	roots = s.relayRoots
	if err := s.reload(env); err != nil {
		t.Fatal(err)
	}
	if s.relayRoots != roots {
		t.Error("authorities that are the same are taken for others, and connections to the relay are given up")
	}
}
