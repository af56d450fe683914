package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

const acmeTestLife = 90 * 24 * time.Hour

// Both checks bring a certificate that clients trust; what is secret is for the owner alone, and nothing listens afterwards.
func TestACMECertificate(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{checkHTTP, checkTLS} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			authority := newAuthority(t, acmeTestLife)
			data := t.TempDir()
			c, log := authority.issuer(data, "mx.example.org")
			if kind == checkHTTP {
				c.ACME.TLS.addr = ""
			} else {
				c.ACME.HTTP.addr = ""
			}
			if err := c.Load(); err != nil || c.TLS() != nil {
				t.Fatalf("before there is one: %v, %v", c.TLS(), err)
			}
			c.ACME.attempt(t.Context())
			if c.TLS() == nil {
				t.Fatalf("no certificate:\n%s", log)
			}
			if _, err := handshake(t, c, &tls.Config{RootCAs: authority.Roots, ServerName: "mx.example.org"}); err != nil {
				t.Error(err)
			}
			checkModes(t, filepath.Join(data, "tls"))
			for _, addr := range []string{authority.HTTP, authority.TLS} {
				if conn, err := net.Dial("tcp", addr); err == nil {
					conn.Close()
					t.Errorf("%s still listens", addr)
				}
			}
			left := c.ACME.wait(time.Now())
			if left < 59*24*time.Hour || left > 64*24*time.Hour {
				t.Errorf("the next one is asked for in %s", left)
			}
			if got := c.ACME.read().First; got != kind {
				t.Errorf("next time begins with %q", got)
			}
			again, _ := authority.issuer(data, "mx.example.org")
			if err := again.Load(); err != nil || again.TLS() == nil {
				t.Errorf("after a restart: %v, %v", again.TLS(), err)
			}
		})
	}
}

func checkModes(t *testing.T, folder string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err == nil && st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		seen++
		return err
	})
	if err != nil || seen < 5 { // folders, account.key, certificate.pem, order.json
		t.Errorf("%d files in %s, %v", seen, folder, err)
	}
}

// A certificate is renewed in time, comes into force by itself, and the one before stays until then.
func TestACMERenewal(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, 8*time.Second)
	c, log := authority.issuer(t.TempDir(), "mx.example.org")
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	log.Await(t, `"certificate loaded"`, 1)
	first := c.current()
	log.Await(t, `"certificate loaded"`, 2)
	second := c.current()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if first.SerialNumber.Cmp(second.SerialNumber) == 0 || !second.NotBefore.Before(first.NotAfter) {
		t.Errorf("first %v until %v, then %v from %v", first.SerialNumber, first.NotAfter, second.SerialNumber, second.NotBefore)
	}
	if strings.Contains(log.String(), `"level":"error"`) || strings.Contains(log.String(), "expires soon") {
		t.Errorf("an alarm:\n%s", log)
	}
}

func TestRenewalTime(t *testing.T) {
	t.Parallel()
	for life, want := range map[time.Duration]time.Duration{90: 30, 47: 47 / 3, 398: 30} {
		c, _ := newPrivate(t, "mx.example.org")
		leaf := *c.current()
		leaf.NotAfter = leaf.NotBefore.Add(life * 24 * time.Hour)
		ahead := leaf.NotAfter.Sub(renewAt(&leaf)) / (24 * time.Hour)
		if ahead > want || ahead < want*9/10-1 {
			t.Errorf("of %d days: renewed %d days ahead, want %d or a little later", life, ahead, want)
		}
	}
}

// The alarms of a renewal that does not come: a certificate of a short life is not in danger all the time.
func TestACMEExpiryAlarm(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, test := range []struct {
		life, left time.Duration
		want       string
	}{
		{90 * day, 25 * day, ""},
		{90 * day, 20 * day, `"level":"warn"`},
		{47 * day, 14 * day, ""},
		{47 * day, 10 * day, `"level":"warn"`},
		{6 * day, 2 * day, ""},
		{6 * day, day, `"level":"warn"`},
		{6 * day, -time.Minute, `"level":"error"`},
	} {
		log := newLogLines()
		c := &certificates{ACME: &acmeIssuer{}, Log: zerolog.New(log)}
		now := time.Now()
		c.warnOfExpiry(&x509.Certificate{NotBefore: now.Add(test.left - test.life), NotAfter: now.Add(test.left)})
		got := log.String()
		if !strings.Contains(got, test.want) || (test.want == "") != (got == "") || got != "" && !strings.Contains(got, "the ACME authority has given no new one yet") {
			t.Errorf("%s left of %s: %q, want %s", test.left, test.life, got, test.want)
		}
	}
}

// An authority that cannot reach this server is left alone for an hour, over restarts too, and then offered the other check.
func TestACMECheckFails(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	data := t.TempDir()
	c, log := authority.issuer(data, "mx.example.org")
	c.ACME.HTTP.addr = freePort(t) // not where the authority looks
	c.ACME.attempt(t.Context())
	for _, want := range []string{`"level":"error"`, "let port 80", `"again"`, "acme:error:connection", authority.Directory} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	for range 3 {
		c, log = authority.issuer(data, "mx.example.org")
		if left := c.ACME.wait(time.Now()); left < 59*time.Minute || left > 67*time.Minute {
			t.Errorf("it is asked again in %s", left)
		}
	}
	if err := os.Remove(c.ACME.recordFile()); err != nil {
		t.Fatal(err)
	}
	if left := c.ACME.wait(time.Now()); left > 0 {
		t.Errorf("without the record it waits %s", left)
	}
	r := c.ACME.read()
	r.First = checkTLS
	if err := c.ACME.obtain(t.Context(), r); err != nil {
		t.Errorf("with the other check: %v\n%s", err, log)
	}
}

func TestACMEOtherCheckNext(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	c, log := authority.issuer(t.TempDir(), "mx.example.org")
	c.ACME.HTTP.addr = freePort(t)
	c.ACME.attempt(t.Context())
	r := c.ACME.read()
	if r.First != checkTLS || r.Order != "" || r.Key != nil {
		t.Errorf("after HTTP-01 failed: %+v", r)
	}
	r.Again, r.Ordered = time.Time{}, r.Ordered.Add(-acmeBetween) // an hour later
	if err := c.ACME.write(r); err != nil {
		t.Fatal(err)
	}
	c.ACME.attempt(t.Context())
	if c.TLS() == nil || authority.Orders() != 2 {
		t.Errorf("%d orders:\n%s", authority.Orders(), log)
	}
}

// What the authority asks for is kept to.
func TestACMERateLimit(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	authority.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.HasPrefix(r.URL.Path, "/order-plz") {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "10800")
		w.WriteHeader(http.StatusTooManyRequests)
		w.Write([]byte(`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}`))
	})
	data := t.TempDir()
	c, log := authority.issuer(data, "mx.example.org")
	c.ACME.attempt(t.Context())
	restarted, _ := authority.issuer(data, "mx.example.org")
	if left := restarted.ACME.wait(time.Now()); left < 179*time.Minute || left > 200*time.Minute {
		t.Errorf("it is asked again in %s", left)
	}
	if authority.Orders() != 1 || !strings.Contains(log.String(), "no more orders for a while") {
		t.Errorf("%d orders:\n%s", authority.Orders(), log)
	}
	other, _ := authority.issuer(data, "mail.example.org")
	if left := other.ACME.wait(time.Now()); left > 0 {
		t.Errorf("another name waits %s", left)
	}
}

// An authority that is not there costs no order: it is asked again soon, then less and less often.
func TestACMEAuthorityIsDown(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	c, log := authority.issuer(t.TempDir(), "mx.example.org")
	c.ACME.Directory = "https://" + freePort(t) + "/dir"
	for _, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		c.ACME.attempt(t.Context())
		if left := c.ACME.wait(time.Now()); left < want-time.Second || left > want*11/10+time.Second {
			t.Errorf("asked again in %s, want %s", left, want)
		}
	}
	if !strings.Contains(log.String(), "see that this machine reaches") {
		t.Errorf("the log lacks advice:\n%s", log)
	}
	r := &acmeRecord{Failures: 1000}
	r.fail(os.ErrDeadlineExceeded, time.Now())
	if left := time.Until(r.Again); left < 59*time.Minute || left > 67*time.Minute {
		t.Errorf("after a thousand failures it waits %s", left)
	}
	c.ACME.Directory, c.ACME.CA = authority.Directory, ""
	c.ACME.attempt(t.Context())
	if !strings.Contains(log.String(), "name its root certificate in tls.acme_ca") {
		t.Errorf("nothing is said of an unknown root:\n%s", log)
	}
}
