package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
)

// fault 65: files with secrets that everybody can read are named; those without secrets, and those with the right mode, are not.
func TestExposed(t *testing.T) {
	folder := t.TempDir()
	put := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
		return path
	}
	key, relay := put("key.pem", "", 0o644), put("relay", "smtps://u:p@relay.example", 0o604)
	put("users", "", 0o644)
	rest := "[forward]\nrelay = \"smtps://u:p@relay.example\"\n[accounts]\nfile = \"users\"\n[tls]\nkey = \"key.pem\"\ncertificate = \"c\"\n"
	inConfig := "data = \"" + folder + "\"\n" + rest
	for _, test := range []struct {
		name, text string
		mode       os.FileMode
		variables  map[string]string
		want       []string
	}{
		{"password", inConfig, 0o644, nil, []string{key, filepath.Join(folder, "users"), "config"}},
		{"mode", inConfig, 0o640, nil, []string{key, filepath.Join(folder, "users")}},
		{"none", "data = \"/nowhere\"\n", 0o644, nil, nil},
		{"variable", "data = \"/nowhere\"\n", 0o644, map[string]string{"SMARTHOST_FORWARD_RELAY": "smtps://u:p@relay.example"}, nil},
		{"file", "data = \"/nowhere\"\n", 0o644, map[string]string{"SMARTHOST_FORWARD_RELAY_FILE": relay}, []string{relay}},
	} {
		file := put(test.name+".toml", test.text, test.mode)
		env := testEnvironment(t, test.variables)
		c, err := loadConfig(env, file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range test.want {
			if test.want[i] == "config" {
				test.want[i] = file
			}
		}
		if diff := cmp.Diff(test.want, exposed(env, c)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		var log bytes.Buffer
		(&service{Config: c, Log: zerolog.New(&log)}).warnOfExposed(env)
		if strings.Count(log.String(), "\n") != len(test.want) || strings.Contains(log.String(), "u:p") {
			t.Errorf("%s: log %s", test.name, &log)
		}
	}
}
