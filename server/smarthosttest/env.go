package smarthosttest

import (
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// trust is what child processes need of the certificate, in files.
type trust struct {
	mu     sync.Mutex
	folder string
}

// systemRoots are where Linux systems and the BSDs keep their bundle.
var systemRoots = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem"}

// files writes the root alone, and a bundle of it with the system's roots, for programs that take one file in place of the system's.
func (t *trust) files(root []byte) (ca, bundle string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.folder == "" {
		folder, err := os.MkdirTemp("", "smarthosttest-")
		if err != nil {
			return "", "", err
		}
		t.folder = folder
		err = errors.Join(os.WriteFile(filepath.Join(folder, "ca.pem"), root, 0o644), os.WriteFile(filepath.Join(folder, "ca-bundle.pem"), withSystemRoots(root), 0o644))
		if err != nil {
			return "", "", err
		}
	}
	return filepath.Join(t.folder, "ca.pem"), filepath.Join(t.folder, "ca-bundle.pem"), nil
}

// withSystemRoots is the root and what the system trusts.
func withSystemRoots(root []byte) []byte {
	for _, path := range systemRoots {
		if system, err := os.ReadFile(path); err == nil {
			return slices.Concat(root, []byte("\n"), system)
		}
	}
	return root
}

// BundlePEM is CAPEM with the roots that the system trusts, for clients that take one bundle in place of the system's.
func (s *Server) BundlePEM() []byte { return withSystemRoots(s.CAPEM()) }

func (t *trust) remove() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.folder == "" {
		return nil
	}
	return os.RemoveAll(t.folder)
}

// CAFile is a file with the root that has signed the server's certificate, PEM, until Close.
func (s *Server) CAFile() (string, error) {
	ca, _, err := s.trust.files(s.CAPEM())
	return ca, err
}

// Env is the environment of a child process that sends mail as user: SMTP_HOST, SMTP_PORT, SMTP_TLS_PORT, SMTP_USER and the same as SMTP_USERNAME,
// SMTP_PASSWORD, and what makes programs in Go, Python, Ruby, PHP, Node and curl trust the certificate, in files that Close removes. It has no other
// variables: append it to those that the child needs. The test fails if there is no such user, if the server is in memory, or if the files cannot be written.
func (s *Server) Env(user string) []string {
	s.tb.Helper()
	u, ok := s.User(user)
	if !ok {
		s.tb.Fatalf("smarthosttest: there is no user %q", user)
		return nil
	}
	if s.config.InMemory {
		s.tb.Fatalf("smarthosttest: a child process cannot reach a server in memory; leave InMemory out")
		return nil
	}
	ca, bundle, err := s.trust.files(s.CAPEM())
	if err != nil {
		s.tb.Fatalf("smarthosttest: write the certificate: %v", err)
		return nil
	}
	host, port, _ := net.SplitHostPort(s.Addr)
	_, tlsPort, _ := net.SplitHostPort(s.TLSAddr)
	env := []string{
		"SMTP_HOST=" + host, "SMTP_PORT=" + port, "SMTP_TLS_PORT=" + tlsPort, "SMTP_USER=" + u.Name, "SMTP_USERNAME=" + u.Name, "SMTP_PASSWORD=" + u.Password,
		"NODE_EXTRA_CA_CERTS=" + ca,
	}
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
		env = append(env, name+"="+bundle)
	}
	return env
}

// Auth is AUTH PLAIN of a user for net/smtp, for a client that was made with Addr or the hostname. The test fails if there is no such user.
func (s *Server) Auth(user string) smtp.Auth {
	s.tb.Helper()
	u, ok := s.User(user)
	if !ok {
		s.tb.Fatalf("smarthosttest: there is no user %q", user)
		return nil
	}
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		panic(fmt.Sprintf("the server's own address: %v", err))
	}
	return smtp.PlainAuth("", u.Name, u.Password, host)
}
