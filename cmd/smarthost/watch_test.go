package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth/userfile"
)

// watching is a service that has read nothing but a config, in a folder as Kubernetes mounts one: the files are links into ..data,
// which is a link that is swapped.
func watching(t *testing.T, env *environment) (s *service, folder string) {
	t.Helper()
	folder = t.TempDir()
	mount(t, folder, "1", "[forward]\nrelay = \"smtp://u@relay.example\"\nrelay_password_file = \"password\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n")
	for _, name := range []string{"smarthost.toml", "password", "c.pem", "k.pem"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := loadConfig(env, filepath.Join(folder, "smarthost.toml"))
	if err != nil {
		t.Fatal(err)
	}
	s = &service{Config: c, Users: &userfile.File{Path: filepath.Join(folder, "users"), Log: zerolog.Nop()}, Certificates: newCertificates(c, zerolog.Nop())}
	s.watch(env)
	return s, folder
}

// mount puts a version of all files in place at once.
func mount(t *testing.T, folder, version, config string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(folder, version), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"smarthost.toml": config, "password": "secret", "c.pem": "c", "k.pem": "k"} {
		put(t, filepath.Join(folder, version, name), text)
	}
	if err := os.Symlink(version, filepath.Join(folder, "..next")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(folder, "..next"), filepath.Join(folder, "..data")); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// looks is what so many looks one after the other say.
func looks(t *testing.T, s *service, env *environment, want ...bool) {
	t.Helper()
	for i, w := range want {
		if got := s.changed(t.Context(), env); got != w {
			t.Errorf("look %d: changed is %v", i+1, got)
		}
	}
}

// Files that are touched all the time are read all the same, and so are others while one of them is.
func TestFilesThatAreNeverAtRest(t *testing.T) {
	env := testEnvironment(t, nil)
	s, folder := watching(t, env)
	looks(t, s, env, false, false)
	put(t, filepath.Join(folder, "..data", "password"), "other secret")
	put(t, s.Users.Path, "")
	at := time.Now()
	for i := range restless + 1 {
		at = at.Add(time.Second)
		if err := os.Chtimes(s.Users.Path, at, at); err != nil {
			t.Fatal(err)
		}
		if got := s.changed(t.Context(), env); got != (i == restless) {
			t.Errorf("look %d: changed is %v", i+1, got)
		}
	}
}

// Every file that a reload reads counts, however it changes, when it has been the same at two looks.
func TestChangedFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "relay")
	put(t, secret, "smtp://u@relay.example")
	env := testEnvironment(t, map[string]string{"SMARTHOST_FORWARD_RELAY_FILE": secret})
	s, folder := watching(t, env)
	looks(t, s, env, false, false)
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"swapped link", func() { mount(t, folder, "2", "# another\n[forward]\nrelay_password_file = \"password\"\n") }},
		{"config", func() {
			put(t, filepath.Join(folder, "..data", "smarthost.toml"), "# longer than before\n# and before\n")
		}},
		{"password", func() { put(t, filepath.Join(folder, "..data", "password"), "other secret") }},
		{"certificate", func() { put(t, filepath.Join(folder, "..data", "c.pem"), "another") }},
		{"key", func() { put(t, filepath.Join(folder, "..data", "k.pem"), "another") }},
		{"variable", func() { put(t, secret, "smtp://u@another.example") }}, // of another length: clocks of files tick slowly
		{"gone", func() { os.Remove(filepath.Join(folder, "password")) }},   // after which what it led to does not count
	} {
		t.Run(c.name, func(t *testing.T) {
			c.change()
			looks(t, s, env, false, true)
			s.files.taken = s.look(env)
			looks(t, s, env, false)
		})
	}
}

// A file that is still being written is left alone, and one that is as it was before is no change.
func TestFilesThatAreBeingWritten(t *testing.T) {
	env := testEnvironment(t, nil)
	s, folder := watching(t, env)
	path := filepath.Join(folder, "..data", "smarthost.toml")
	for _, text := range []string{"a", "ab", "abc", "abcd"} {
		put(t, path, text)
		looks(t, s, env, false)
	}
	looks(t, s, env, true)
	s.files.taken = s.look(env)
	for _, names := range [][2]string{{path, path + "~"}, {path + "~", path}} { // as editors do
		if err := os.Rename(names[0], names[1]); err != nil {
			t.Fatal(err)
		}
		looks(t, s, env, false)
	}
	looks(t, s, env, false, false)
}

// Files that only a new config names are watched as soon as it was read, even if it was refused because one of them is missing.
func TestNewlyNamedFiles(t *testing.T) {
	env := testEnvironment(t, nil)
	s, folder := watching(t, env)
	mount(t, folder, "2", "[forward]\nrelay = \"smtp://u@relay.example\"\nrelay_password_file = \"new\"\n")
	looks(t, s, env, false, true)
	s.files.taken = s.look(env)
	c, err := loadConfig(env, s.Config.File)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(folder, "..data", "smarthost.toml"), "# while the one before is read\n")
	s.nowNamed(c, env)
	looks(t, s, env, false, true)
	s.files.taken = s.look(env)
	looks(t, s, env, false)
	put(t, filepath.Join(folder, "new"), "secret")
	looks(t, s, env, false, true)
}

// The authorities that an ACME directory is checked with are read by the next order, and a reload tells what is wrong with them.
func TestAuthoritiesOfACMEAreWatched(t *testing.T) {
	folder := t.TempDir()
	path, authorities := filepath.Join(folder, "smarthost.toml"), filepath.Join(folder, "ca.pem")
	other, _ := newPrivate(t, "ca.example")
	good, err := os.ReadFile(other.Private.certFile())
	if err != nil {
		t.Fatal(err)
	}
	put(t, authorities, string(good))
	put(t, path, "hostname = \"mx.example.org\"\ndata = \"data\"\n[listen]\nacme_tls = \"127.0.0.1:0\"\nacme_http = \"\"\n[tls]\nacme = true\nacme_directory = \"https://ca.example/dir\"\nacme_ca = \"ca.pem\"\n")
	env := testEnvironment(t, nil)
	c, err := loadConfig(env, path)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{Config: c, Users: &userfile.File{Path: filepath.Join(folder, "users"), Log: zerolog.Nop()}, Certificates: newCertificates(c, zerolog.Nop())}
	s.watch(env)
	looks(t, s, env, false, false)
	put(t, authorities, "no PEM")
	looks(t, s, env, false, true)
	if err := s.configure(c); err == nil || !strings.Contains(err.Error(), "tls.acme_ca") {
		t.Errorf("%v", err)
	}
}
