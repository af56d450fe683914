//go:build !notestserver

package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// What an export says is right in every form: the same roots in the bundle and in Java's truststore, the server's own and those that were trusted
// before; the same words for a shell and in JSON.
func TestExport(t *testing.T) {
	t.Parallel()
	other, err := smarthosttest.Start(smarthosttest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	trusted := filepath.Join(t.TempDir(), "trusted.pem")
	if err := os.WriteFile(trusted, other.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "new", "files")
	f := testFlags{listen: "127.0.0.1:0", tlsListen: "127.0.0.1:0", http: "127.0.0.1:0", maxMessages: 1,
		users: []smarthosttest.User{{Name: "anna", Password: `it's $HOME`, Senders: []string{"*@example.com"}}}}
	s, err := startTest(testEnvironment(t, map[string]string{"SSL_CERT_FILE": trusted}), f, folder, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	content := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Error(err)
		}
		return text
	}
	want := [][]byte{raw(t, s.CAPEM()), raw(t, other.CAPEM())}
	if diff := cmp.Diff(want, rawAll(content("ca-bundle.pem"))); diff != "" {
		t.Errorf("ca-bundle.pem (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(s.CAPEM(), content("ca.pem")); diff != "" {
		t.Errorf("ca.pem (-want +got):\n%s", diff)
	}
	roots, err := pkcs12.DecodeTrustStore(content("truststore.p12"), "changeit")
	if err != nil || len(roots) != 2 || !slices.Equal(roots[0].Raw, want[0]) || !slices.Equal(roots[1].Raw, want[1]) {
		t.Errorf("truststore.p12 has %d roots: %v", len(roots), err)
	}
	var ready testReadiness
	if err := json.Unmarshal(content("ready.json"), &ready); err != nil || ready.SMTP != s.Addr || ready.SMTPS != s.TLSAddr || ready.URL != s.url || ready.Password != `it's $HOME` {
		t.Errorf("ready.json is %+v: %v", ready, err)
	}
	said, err := exec.Command("sh", "-c", `set -a; . "$1"; exec env`, "sh", filepath.Join(folder, "env")).Output()
	if err != nil {
		t.Error(err)
	}
	for _, v := range s.variables() {
		if !slices.Contains(strings.Split(string(said), "\n"), v) {
			t.Errorf("a shell that has read env does not have %s:\n%s", v, said)
		}
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "ready.json")); err == nil {
		t.Error("ready.json is still there")
	}
}

func raw(t *testing.T, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("no PEM: %q", text)
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return block.Bytes
}

func rawAll(text []byte) (all [][]byte) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all
		}
		all = append(all, block.Bytes)
	}
}
