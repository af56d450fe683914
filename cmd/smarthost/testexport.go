//go:build !notestserver

package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"software.sslmate.com/src/go-pkcs12"
)

// truststorePassword is the one that Java's own truststores have.
const truststorePassword = "changeit"

// testFiles are what a test server writes for programs in other languages. All paths are absolute.
type testFiles struct {
	CA         string `json:"ca"`         // PEM: the root alone
	Bundle     string `json:"ca_bundle"`  // PEM: the system's roots too, for programs that take one file in place of the system's
	Truststore string `json:"truststore"` // PKCS #12: the same for Java
	Env        string `json:"env"`        // variables, a line for each, as shells and Docker's --env-file read them
}

// testReadiness is ready.json: what is in the file env and more.
type testReadiness struct {
	SMTP      string     `json:"smtp"`  // HOST:PORT of STARTTLS
	SMTPS     string     `json:"smtps"` // and of TLS from the first byte
	URL       string     `json:"url"`   // of pages and API
	User      string     `json:"user"`
	Password  string     `json:"password"`
	Users     []testUser `json:"users"`
	Hostname  string     `json:"hostname"` // as it greets
	PID       int        `json:"pid"`
	testFiles            // of paths
}

type testUser struct {
	User     string   `json:"user"`
	Password string   `json:"password"`
	Senders  []string `json:"senders"`
}

const readyFile = "ready.json"

// unready removes ready.json, if it is there.
func unready(folder string) error {
	err := os.Remove(filepath.Join(folder, readyFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return usageError("test: --export: " + folder + " is not a folder")
	}
	return err
}

// writeFiles writes the files to the folder of the export, ready.json last and at once.
func (s *testServer) writeFiles(env *environment) error {
	folder, err := filepath.Abs(s.export)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder of the export: %w", err)
	}
	in := func(name string) string { return filepath.Join(folder, name) }
	s.files = testFiles{CA: in("ca.pem"), Bundle: in("ca-bundle.pem"), Truststore: in("truststore.p12"), Env: in("env")}
	bundle, err := s.bundle(env)
	if err != nil {
		return err
	}
	truststore, err := truststoreOf(bundle)
	if err != nil {
		return err
	}
	ready, err := json.MarshalIndent(s.readiness(), "", "  ")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path    string
		content []byte
	}{
		{s.files.CA, s.CAPEM()}, {s.files.Bundle, bundle}, {s.files.Truststore, truststore}, {s.files.Env, []byte(envFile(s.variables()))},
		{in(readyFile), append(ready, '\n')},
	} {
		if err := writeFile(f.path, f.content, 0o644); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}

func (s *testServer) readiness() testReadiness {
	r := testReadiness{
		SMTP: s.at(s.Addr), SMTPS: s.at(s.TLSAddr), URL: s.url, User: s.user.Name, Password: s.user.Password,
		Hostname: s.ClientTLS().ServerName, PID: os.Getpid(), testFiles: s.files,
	}
	for _, u := range s.Users() {
		r.Users = append(r.Users, testUser{u.Name, u.Password, append([]string{}, u.Senders...)})
	}
	return r
}

// variables are the environment of a program that sends mail as the first user.
func (s *testServer) variables() []string {
	f := s.files
	return []string{
		"SMTP_HOST=" + s.host, "SMTP_PORT=" + portOf(s.Addr), "SMTP_TLS_PORT=" + portOf(s.TLSAddr),
		"SMTP_USER=" + s.user.Name, "SMTP_USERNAME=" + s.user.Name, "SMTP_PASSWORD=" + s.user.Password,
		"SMARTHOST_TEST_URL=" + s.url, "SMARTHOST_TEST_CA=" + f.CA,
		"SSL_CERT_FILE=" + f.Bundle, "REQUESTS_CA_BUNDLE=" + f.Bundle, "CURL_CA_BUNDLE=" + f.Bundle, // Go, Python, Ruby, PHP; requests; curl
		"NODE_EXTRA_CA_CERTS=" + f.Bundle,
		"JAVA_TOOL_OPTIONS=" + s.javaOptions(),
	}
}

func (s *testServer) javaOptions() string {
	return "-Djavax.net.ssl.trustStore=" + s.files.Truststore + " -Djavax.net.ssl.trustStorePassword=" + truststorePassword
}

// at is an address of the server as clients say it.
func (s *testServer) at(addr string) string { return net.JoinHostPort(s.host, portOf(addr)) }

// envFile writes variables for a shell, between quotes only where they have to be.
func envFile(variables []string) string {
	var b strings.Builder
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&b, "%s=%s\n", name, shellWord(value))
	}
	return b.String()
}

// bundle is the root with what programs trust without it: the system's roots, or those that SSL_CERT_FILE names in their place.
func (s *testServer) bundle(env *environment) ([]byte, error) {
	path := env.Getenv("SSL_CERT_FILE")
	if path == "" {
		return s.BundlePEM(), nil
	}
	others, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("SSL_CERT_FILE: %w", err)
	}
	return slices.Concat(s.CAPEM(), []byte("\n"), others), nil
}

// truststoreOf is the bundle as Java reads it. A root that Go cannot read is left out: it would not be trusted there either.
func truststoreOf(bundle []byte) ([]byte, error) {
	var entries []pkcs12.TrustStoreEntry
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			break
		}
		if root, err := x509.ParseCertificate(block.Bytes); err == nil {
			entries = append(entries, pkcs12.TrustStoreEntry{Cert: root, FriendlyName: fmt.Sprint(len(entries))})
		}
	}
	store, err := pkcs12.Modern.EncodeTrustStoreEntries(entries, truststorePassword)
	if err != nil {
		return nil, fmt.Errorf("make a truststore: %w", err)
	}
	return store, nil
}
