//go:build e2e

package mailpit

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const password = "secret"

// A server is asked for mail below a path. The tests' network is their own, so that ports are free.
type server struct {
	host string // an address of loopback
	path string
	only string // the user whose mail is there; "" is everybody's
	adds bool   // it adds fields on top of a message
}

// mail are the letters that must be there.
func (s server) mail() (of []letter) {
	for _, l := range letters {
		if s.only == "" || s.only == l.user {
			of = append(of, l)
		}
	}
	return of
}

// startOurs returns a server that has been sent all letters, whoever's are asked for.
func startOurs(t *testing.T, p programs, s server) server {
	t.Helper()
	lab.Run(t, lab.Binary(), "test", "--listen", s.host+":1025", "--tls-listen", s.host+":0", "--http", s.host+":8025",
		"--user", "alice:"+password+":*", "--user", "bob:"+password+":*")
	p.await(t, s)
	r, err := http.Get("http://" + s.host + ":8025/ca.pem")
	lab.Check(t, err)
	defer r.Body.Close()
	ca, err := io.ReadAll(r.Body)
	lab.Check(t, err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatalf("/ca.pem has no certificate: %s", ca)
	}
	s.send(t, "localhost", pool, letters)
	return s
}

// startMailpit returns a server that has been sent the letters that are asked for: it has one inbox.
func startMailpit(t *testing.T, p programs, s server) server {
	t.Helper()
	const name = "mailpit.test"
	s.adds = true
	authority, folder := lab.NewAuthority(t), t.TempDir()
	certificate, key := authority.Issue(t, folder, name)
	users := filepath.Join(folder, "users")
	lab.Check(t, os.WriteFile(users, []byte("alice:"+password+"\nbob:"+password+"\n"), 0o600))
	lab.Run(t, p.mailpit, "--smtp", s.host+":1025", "--listen", s.host+":8025", "--webroot", s.path+"/", "--smtp-auth-file", users, "--smtp-require-starttls",
		"--smtp-tls-cert", certificate, "--smtp-tls-key", key, "--smtp-disable-rdns", "--disable-version-check")
	p.await(t, s)
	s.send(t, name, authority.Pool, s.mail())
	return s
}

// send sends letters, over STARTTLS and with a login.
func (s server) send(t *testing.T, name string, authorities *x509.CertPool, of []letter) {
	t.Helper()
	for _, l := range of {
		conn, err := net.Dial("tcp", s.host+":1025")
		lab.Check(t, err)
		defer conn.Close()
		c, err := smtp.NewClient(conn, name)
		lab.Check(t, err)
		lab.Check(t, c.StartTLS(&tls.Config{ServerName: name, RootCAs: authorities}))
		lab.Check(t, c.Auth(smtp.PlainAuth("", l.user, password, name)))
		lab.Check(t, c.Mail(l.from))
		for _, address := range l.to {
			lab.Check(t, c.Rcpt(address))
		}
		w, err := c.Data()
		lab.Check(t, err)
		_, err = io.WriteString(w, l.raw())
		lab.Check(t, err)
		lab.Check(t, w.Close())
		lab.Check(t, c.Quit())
	}
}

// raw is the content as it is sent.
func (l letter) raw() string { return strings.ReplaceAll(l.content, "\n", "\r\n") }
