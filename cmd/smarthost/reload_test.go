package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/server/admin"
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
	s := serviceOf(t, c, zerolog.Nop())
	put(t, c.userFile(), "")
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

// Accounts that somebody keeps open wait, and nothing else waits with them: a certificate would expire meanwhile.
func TestAccountsThatAreWrittenHoldUpNothingElse(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "smarthost.toml")
	put(t, path, "data = \"data\"\n")
	env := testEnvironment(t, nil)
	c, err := loadConfig(env, path)
	if err != nil {
		t.Fatal(err)
	}
	s := serviceOf(t, c, zerolog.Nop())
	put(t, c.userFile(), "alice:$2y$05$abcdefghijklmnopqrstuuT3ZlB0dUi7mWnS8cEpzBhzTj9aN0o2W\n")
	s.watch(env)
	looks(t, s, env, false, false)
	f, err := os.OpenFile(c.userFile(), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put(t, path, "data = \"data\"\n[submission]\nhelp = \"https://second.example\"\n")
	looks(t, s, env, false, true)
	if err := s.reload(env); err == nil || !strings.Contains(err.Error(), "users at this moment") {
		t.Errorf("it is not said that the accounts wait: %v", err)
	}
	if s.inForce.Load().Submission.Help != "https://second.example" {
		t.Error("the config waits too")
	}
	if got, err := s.Users.Logins(t.Context(), "alice"); err != nil || len(got) != 1 {
		t.Errorf("half of the accounts is in force: %v, %v", got, err)
	}
	if state, _ := s.checkAccounts(t.Context()); state != admin.Degraded {
		t.Errorf("health of the accounts is %s", state)
	}
}
