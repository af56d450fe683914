package smarthosttest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"testing"
)

// What Env says leads to the server, and is gone with it.
func TestEnv(t *testing.T) {
	t.Parallel()
	s := NewServer(t, WithUser(User{Name: "shop", Password: "pw=1"}))
	env := map[string]string{}
	for _, line := range s.Env("Shop") {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	if env["SMTP_USER"] != "shop" || env["SMTP_USERNAME"] != "shop" || env["SMTP_PASSWORD"] != "pw=1" || net.JoinHostPort(env["SMTP_HOST"], env["SMTP_PORT"]) != s.Addr {
		t.Errorf("%v", env)
	}
	for _, name := range []string{"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
		text, err := os.ReadFile(env[name])
		roots := x509.NewCertPool()
		if err != nil || !roots.AppendCertsFromPEM(text) || !bytes.HasPrefix(text, s.CAPEM()) {
			t.Fatalf("%s is %q: %v", name, env[name], err)
		}
		conn, err := tls.Dial("tcp", net.JoinHostPort(env["SMTP_HOST"], env["SMTP_TLS_PORT"]), &tls.Config{RootCAs: roots})
		if err != nil {
			t.Fatalf("with %s: %v", name, err)
		}
		conn.Close()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(env["SSL_CERT_FILE"]); !os.IsNotExist(err) {
		t.Errorf("the files are there after Close: %v", err)
	}
	if w := watch(func(w *witness) { NewServer(w, InMemory()).Env("app") }); !w.Failed() {
		t.Error("a server in memory has an environment")
	}
}
