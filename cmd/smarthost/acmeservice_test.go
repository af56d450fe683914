package main

import (
	"context"
	"crypto/tls"
	"io/fs"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/acme"
	"golang.org/x/sync/errgroup"

	"github.com/seed-1397b510/smarthost/server"
)

// Until the first certificate has come, STARTTLS ends with 421, so that clients keep their mail; then they are served, without a restart.
func TestNoCertificateYet(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	release := make(chan struct{})
	authority.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		<-release
		next.ServeHTTP(w, r)
	})
	c := wired(t, "hostname = \"mx.example.org\"\ndata = \""+t.TempDir()+"\"\n[listen]\nacme_http = \""+authority.HTTP+"\"\nacme_tls = \"\"\n"+
		"[tls]\nacme = true\nacme_directory = \""+authority.Directory+"\"\nacme_ca = \""+authority.CA+"\"\n")
	log := newLogLines()
	s := serviceOf(t, c, zerolog.New(log))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return s.Certificates.Run(ctx) })
	group.Go(func() error { return s.Server.Run(ctx, []server.Door{{Listener: l}}) })
	defer func() {
		stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if _, reply := startTLS(t, l.Addr().String()); !strings.HasPrefix(reply, "421 4.7.0 mx.example.org has no certificate now") {
		t.Errorf("without a certificate: %q", reply)
	}
	close(release)
	log.Await(t, `"certificate loaded"`, 1)
	conn, reply := startTLS(t, l.Addr().String())
	if !strings.HasPrefix(reply, "220") {
		t.Fatalf("with a certificate: %q", reply)
	}
	if err := tls.Client(conn, &tls.Config{RootCAs: authority.Roots, ServerName: "mx.example.org"}).HandshakeContext(t.Context()); err != nil {
		t.Error(err)
	}
}

// startTLS is a client up to the reply to STARTTLS.
func startTLS(t *testing.T, addr string) (net.Conn, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	text := textproto.NewConn(conn)
	if _, _, err := text.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	if err := text.PrintfLine("EHLO laptop"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := text.ReadResponse(250); err != nil {
		t.Fatal(err)
	}
	if err := text.PrintfLine("STARTTLS"); err != nil {
		t.Fatal(err)
	}
	reply, err := text.ReadLine()
	if err != nil {
		t.Fatal(err)
	}
	return conn, reply
}

// A file that is damaged, or a certificate of another name, is not shown to anybody, and does not keep the server from starting.
func TestUnfitACMECertificate(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	data := t.TempDir()
	c, log := authority.issuer(data, "mx.example.org")
	c.ACME.attempt(t.Context())
	whole, err := os.ReadFile(c.CertFile)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	for what, text := range map[string][]byte{"half": whole[:len(whole)/2], "nothing": nil, "no PEM": []byte("x")} {
		if err := os.WriteFile(c.CertFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
		restarted, log := authority.issuer(data, "mx.example.org")
		if err := restarted.Load(); err != nil || restarted.TLS() != nil || !strings.Contains(log.String(), `"unfit"`) {
			t.Errorf("%s: %v, %v\n%s", what, restarted.TLS(), err, log)
		}
	}
	if err := os.WriteFile(c.CertFile, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	renamed, log := authority.issuer(data, "mail.example.org")
	if err := renamed.Load(); err != nil || renamed.TLS() != nil {
		t.Errorf("of another name: %v, %v", renamed.TLS(), err)
	}
	renamed.ACME.attempt(t.Context())
	if renamed.TLS() == nil || renamed.current().VerifyHostname("mail.example.org") != nil {
		t.Errorf("the new name has no certificate:\n%s", log)
	}
}

// While a check runs, others who come by learn nothing.
func TestStrangersAtTheCheck(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	c, _ := authority.issuer(t.TempDir(), "mx.example.org")
	p, err := c.ACME.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	key, _, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	client := &acme.Client{Key: key}
	for _, kind := range []string{checkHTTP, checkTLS} {
		if err := p.answer(client, &acme.Challenge{Type: kind, Token: "token"}); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]int{"/.well-known/acme-challenge/token": 200, "/": 404, "/.well-known/acme-challenge/": 404, "/.well-known/acme-challenge/other": 404} {
		res, err := http.Get("http://" + authority.HTTP + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
	for _, test := range []struct {
		name   string
		protos []string
		ok     bool
	}{
		{"mx.example.org", []string{acme.ALPNProto}, true},
		{"other.example.org", []string{acme.ALPNProto}, false},
		{"mx.example.org", []string{"h2", acme.ALPNProto}, false},
		{"mx.example.org", nil, false},
	} {
		conn, err := tls.Dial("tcp", authority.TLS, &tls.Config{InsecureSkipVerify: true, ServerName: test.name, NextProtos: test.protos})
		if (err == nil) != test.ok {
			t.Errorf("%s %v: %v", test.name, test.protos, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// One port is enough; with none the log says so at the start, and no order is placed that could not be proved.
func TestPortsInUse(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	c, log := authority.issuer(t.TempDir(), "mx.example.org")
	occupy(t, authority.HTTP)
	if err := c.Load(); err != nil || !strings.Contains(log.String(), "in one of two ways only") || strings.Contains(log.String(), `"level":"error"`) {
		t.Errorf("with one: %v\n%s", err, log)
	}
	occupy(t, authority.TLS)
	if err := c.Load(); err != nil || !strings.Contains(log.String(), `"level":"error"`) || !strings.Contains(log.String(), "let it pass /.well-known/acme-challenge/ on") {
		t.Errorf("with none: %v\n%s", err, log)
	}
	c.ACME.attempt(t.Context())
	if authority.Orders() != 0 || !strings.Contains(log.String(), "has given no certificate") {
		t.Errorf("%d orders:\n%s", authority.Orders(), log)
	}
	if got := withPortAdvice(&fs.PathError{Op: "bind", Err: fs.ErrPermission}).Error(); !strings.Contains(got, "CAP_NET_BIND_SERVICE") {
		t.Errorf("without the right to open them: %s", got)
	}
}

func occupy(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}
