package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

func newPrivate(t *testing.T, hostname string) (*certificates, *bytes.Buffer) {
	folder := t.TempDir()
	log := new(bytes.Buffer)
	c := &certificates{
		CertFile: filepath.Join(folder, "certificate.pem"),
		KeyFile:  filepath.Join(folder, "key.pem"),
		Private:  &privateCA{Folder: folder, Hostname: hostname},
		Log:      zerolog.New(log),
	}
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	return c, log
}

// handshake is what a client with config makes of the server's certificate.
func handshake(t *testing.T, c *certificates, config *tls.Config) (tls.ConnectionState, error) {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		tls.Server(far, c.TLS()).HandshakeContext(t.Context())
	}()
	defer func() { <-done }()
	defer near.Close()
	client := tls.Client(near, config)
	err := client.HandshakeContext(t.Context())
	return client.ConnectionState(), err
}

func clientTrusting(t *testing.T, ca, name string) *tls.Config {
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: roots, ServerName: name}
}

// A certificate of another name is in force, since clients may know the server by that one; the log says what becomes of those who do not.
func TestCertificateOfAnotherName(t *testing.T) {
	private, _ := newPrivate(t, "mx.example.org")
	for hostname, warned := range map[string]bool{"mx.example.org": false, "mail.example.org": true} {
		var log bytes.Buffer
		c := &certificates{CertFile: private.CertFile, KeyFile: private.KeyFile, Hostname: hostname, Log: zerolog.New(&log)}
		if err := c.Load(); err != nil || strings.Contains(log.String(), "refuse its certificate") != warned {
			t.Errorf("%s: %v\n%s", hostname, err, &log)
		}
	}
}

// checklist 35
func TestPrivateCertificateVerifies(t *testing.T) {
	c, _ := newPrivate(t, "mx.example.org")
	for _, name := range []string{"mx.example.org", "localhost", "127.0.0.1"} {
		if _, err := handshake(t, c, clientTrusting(t, c.Private.certFile(), name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := handshake(t, c, clientTrusting(t, c.Private.certFile(), "other.example.org")); err == nil {
		t.Error("the certificate verifies for a name that is not ours")
	}
	before, _ := os.ReadFile(c.CertFile)
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(c.CertFile); !bytes.Equal(before, after) {
		t.Error("a fresh certificate was made again")
	}
	c.Private.Hostname = "new.example.org"
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	if _, err := handshake(t, c, clientTrusting(t, c.Private.certFile(), "new.example.org")); err != nil {
		t.Errorf("after a change of the name: %v", err)
	}
}

// Clients have been given the CA: it is not made anew because half of it is gone.
func TestCAIsNotReplaced(t *testing.T) {
	c, _ := newPrivate(t, "mx.example.org")
	before, err := os.ReadFile(c.Private.certFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(c.Private.Folder, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if err := c.Load(); err == nil || !strings.Contains(err.Error(), "ca.key") || !strings.Contains(err.Error(), "put it back") {
		t.Errorf("got %v", err)
	}
	if after, _ := os.ReadFile(c.Private.certFile()); !bytes.Equal(before, after) {
		t.Error("the CA was replaced")
	}
}

// checklist 33, 34, 37
func TestTLSVersionsAndSuites(t *testing.T) {
	c, _ := newPrivate(t, "mx.example.org")
	ca := c.Private.certFile()
	for _, test := range []struct {
		name   string
		change func(*tls.Config)
		ok     bool
	}{
		{"TLS 1.3", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, true},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true},
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false},
		{"TLS 1.0", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }, false},
		{"3DES", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}
		}, false},
		{"static RSA", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}, false},
		{"CBC", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, false},
		{"a foreign SNI", func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "other.example", true }, true},
		{"no SNI", func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true }, true},
	} {
		config := clientTrusting(t, ca, "mx.example.org")
		test.change(config)
		if _, err := handshake(t, c, config); (err == nil) != test.ok {
			t.Errorf("%s: %v, want success %v", test.name, err, test.ok)
		}
	}
}

// checklist 35, 114: what cannot be read at a reload leaves the old certificate in force, and the log says so.
func TestBrokenCertificateKeepsTheOldOne(t *testing.T) {
	c, log := newPrivate(t, "mx.example.org")
	ca := c.Private.certFile()
	c.Private = nil // as if the operator had put the files there
	good, err := os.ReadFile(c.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []string{"", "not PEM", string(good[:len(good)/2])} {
		log.Reset()
		if err := os.WriteFile(c.CertFile, []byte(broken), 0o644); err != nil {
			t.Fatal(err)
		}
		c.Reload()
		if !strings.Contains(log.String(), `"level":"error"`) || !strings.Contains(log.String(), c.CertFile) {
			t.Errorf("no alarm: %q", log)
		}
		if _, err := handshake(t, c, clientTrusting(t, ca, "mx.example.org")); err != nil {
			t.Errorf("with a broken file: %v", err)
		}
	}
}

// fault 61: who offers only protocols that are not SMTP is refused (RFC 7301 §3.2); who offers none is served.
func TestOtherProtocolsAreRefused(t *testing.T) {
	c, _ := newPrivate(t, "mx.example.org")
	for _, test := range []struct {
		offered []string
		ok      bool
	}{{nil, true}, {[]string{"smtp"}, true}, {[]string{"http/1.1"}, false}, {[]string{"h2", "http/1.1"}, false}, {[]string{"ftp"}, false}} {
		config := clientTrusting(t, c.Private.certFile(), "mx.example.org")
		config.NextProtos = test.offered
		if _, err := handshake(t, c, config); (err == nil) != test.ok {
			t.Errorf("%v: %v", test.offered, err)
		}
	}
}

// A disk that does not answer, here a FIFO that nobody writes, holds up neither the end of the program nor what others ask for.
func TestCertificateDiskHangs(t *testing.T) {
	t.Parallel()
	authority := &acmeIssuer{Hostname: "mx.example.org", Directory: "https://127.0.0.1:1/dir", Folder: t.TempDir(), Log: zerolog.Nop()}
	for name, c := range map[string]*certificates{
		"private": func() *certificates { c, _ := newPrivate(t, "mx.example.org"); return c }(),
		"ACME":    {CertFile: authority.certFile(), KeyFile: authority.certFile(), ACME: authority, Log: zerolog.Nop()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			os.Remove(c.CertFile)
			if err := unix.Mkfifo(c.CertFile, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			writer, err := os.OpenFile(c.CertFile, os.O_WRONLY, 0) // waits for who reads
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Close() // which ends the reading
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
