package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A server that stops while the authority works goes on with the same order when it is back, and places no second one.
func TestACMERestartInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]string{
		"order placed":         "/authZ/",
		"check passed":         "/my-order/",
		"key handed in":        "/finalize-order/",
		"certificate is ready": "/certZ/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			authority := newAuthority(t, acmeTestLife)
			data := t.TempDir()
			ctx, stop := context.WithCancel(t.Context())
			authority.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !strings.HasPrefix(r.URL.Path, at) {
					next.ServeHTTP(w, r)
					return
				}
				next.ServeHTTP(discard{}, r) // the authority has got it, and the server ends before it hears of that
				stop()
			})
			c, log := authority.issuer(data, "mx.example.org")
			c.ACME.attempt(ctx)
			if ctx.Err() == nil || c.TLS() != nil || strings.Contains(log.String(), "has given no certificate") {
				t.Fatalf("the first one came to its end:\n%s", log)
			}
			authority.Intercept(nil)
			c, log = authority.issuer(data, "mx.example.org")
			if left := c.ACME.wait(time.Now()); left > 0 {
				t.Errorf("it waits %s", left)
			}
			c.ACME.attempt(t.Context())
			if c.TLS() == nil || authority.Orders() != 1 {
				t.Errorf("%d orders:\n%s", authority.Orders(), log)
			}
		})
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// If nobody knows what became of an order, none is placed for an hour.
func TestACMEOrderOfUnknownFate(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	data := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	authority.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasPrefix(r.URL.Path, "/order-plz") {
			next.ServeHTTP(discard{}, r)
			stop()
			return
		}
		next.ServeHTTP(w, r)
	})
	c, _ := authority.issuer(data, "mx.example.org")
	c.ACME.attempt(ctx)
	authority.Intercept(nil)
	for range 3 {
		c, log := authority.issuer(data, "mx.example.org")
		c.ACME.attempt(t.Context())
		if authority.Orders() != 1 || c.ACME.wait(time.Now()) < 59*time.Minute {
			t.Fatalf("%d orders:\n%s", authority.Orders(), log)
		}
	}
}

// An order that the authority has forgotten is not waited for.
func TestACMEForgottenOrder(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	c, log := authority.issuer(t.TempDir(), "mx.example.org")
	if err := os.MkdirAll(c.ACME.Folder, 0o700); err != nil {
		t.Fatal(err)
	}
	forgotten := strings.TrimSuffix(authority.Directory, "/dir") + "/my-order/nonesuch"
	if err := c.ACME.write(&acmeRecord{Hostname: "mx.example.org", Order: forgotten, Key: []byte("x"), Ordered: time.Now().Add(-2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	c.ACME.attempt(t.Context())
	if c.TLS() == nil {
		t.Errorf("no certificate:\n%s", log)
	}
}

// A file that is lost, and a clock that makes every certificate look due, do not make one order after another.
func TestACMENoHammering(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	c, log := authority.issuer(t.TempDir(), "mx.example.org")
	c.ACME.attempt(t.Context())
	if strings.Contains(log.String(), `"level":"error"`) {
		t.Errorf("an alarm:\n%s", log)
	}
	if err := os.Remove(c.ACME.certFile()); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if left := c.ACME.wait(time.Now()); left < 59*time.Minute {
		t.Errorf("it is asked again in %s", left)
	}
	c.Reload()
	if c.TLS() == nil || !strings.Contains(log.String(), "certificate.pem is missing") {
		t.Errorf("the one in force was thrown away, or nothing said:\n%s", log)
	}
}

// When it cannot be written down that the authority is to be left alone, it is left alone all the same while the server runs.
func TestACMEDiskFails(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, acmeTestLife)
	c, log := authority.issuer(t.TempDir(), "mx.example.org")
	if err := os.MkdirAll(filepath.Join(c.ACME.recordFile(), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.ACME.attempt(t.Context())
	if wait := c.ACME.wait(time.Now()); wait < 30*time.Second {
		t.Errorf("it is asked again in %s:\n%s", wait, log)
	}
	if err := os.RemoveAll(c.ACME.recordFile()); err != nil {
		t.Fatal(err)
	}
	c.ACME.attempt(t.Context())
	if c.TLS() == nil {
		t.Errorf("no certificate with the disk in order:\n%s", log)
	}
}
