package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"regexp"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/acme"
)

// When the authority is asked. A renewal begins a third of the certificate's life, but not more than 30 days, before its end.
const (
	acmeLook      = time.Minute // how often it is looked whether something is due
	acmeAhead     = 30 * 24 * time.Hour
	acmeBetween   = time.Hour          // between an order that failed and the next one
	acmeForgotten = 7 * 24 * time.Hour // the longest wait that an authority is believed
	acmePatience  = 5 * time.Minute    // for one attempt
)

// acmeIssuer gets the server's certificate from an ACME authority (RFC 8555) and renews it. It listens for the authority's
// checks while an order runs, and not otherwise. It asks for one name. All that it knows is in Folder: the account's key,
// the order in hand, when the authority may be asked again, and the certificate with its key in one file, so that the two
// are exchanged at once.
type acmeIssuer struct {
	Hostname  string
	Directory string // URL
	Email     string
	Folder    string
	CA        string // file of more authorities to trust at the directory; "" = the system's alone
	HTTP, TLS acmeAddress
	Issued    func() // called when a new certificate is in the file
	Log       zerolog.Logger

	client *acme.Client
	unkept *acmeRecord // what the last failure should have left on disk; nil if it did
}

func newACME(c *Config, log zerolog.Logger) *acmeIssuer {
	return &acmeIssuer{
		Hostname:  c.Hostname,
		Directory: c.TLS.ACMEDirectory,
		Email:     c.TLS.ACMEEmail,
		Folder:    filepath.Join(c.Data, "tls", "acme", directoryName(c.TLS.ACMEDirectory)),
		CA:        c.TLS.ACMECA,
		HTTP:      acmeAddress{"listen.acme_http", c.Listen.ACMEHTTP},
		TLS:       acmeAddress{"listen.acme_tls", c.Listen.ACMETLS},
		Log:       log,
	}
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// directoryName is a folder's name for a directory, so that certificates of a trial authority and of the real one stay apart.
func directoryName(directory string) string {
	if u, err := url.Parse(directory); err == nil {
		directory = u.Host + u.Path
	}
	return notInName.ReplaceAllString(directory, "_")
}

func (a *acmeIssuer) certFile() string { return filepath.Join(a.Folder, "certificate.pem") }

// leaf is the certificate in the file, nil if there is none that is whole and this server's.
func (a *acmeIssuer) leaf() *x509.Certificate {
	cert, err := tls.LoadX509KeyPair(a.certFile(), a.certFile())
	if err != nil || cert.Leaf.VerifyHostname(a.Hostname) != nil {
		return nil
	}
	return cert.Leaf
}

// renewalWindow is how long before its end a certificate is renewed.
func renewalWindow(leaf *x509.Certificate) time.Duration {
	return min(acmeAhead, leaf.NotAfter.Sub(leaf.NotBefore)/3)
}

// renewAt is when. The serial number spreads it over a tenth of the window, since many machines are set up at the same time.
func renewAt(leaf *x509.Certificate) time.Time {
	var last byte
	if serial := leaf.SerialNumber.Bytes(); len(serial) > 0 {
		last = serial[len(serial)-1]
	}
	window := renewalWindow(leaf)
	return leaf.NotAfter.Add(-window + window/10*time.Duration(last)/256)
}

// Run keeps a certificate in the file until ctx ends.
func (a *acmeIssuer) Run(ctx context.Context) error {
	for {
		wait := a.wait(time.Now())
		if ctx.Err() != nil { // the disk may have kept it waiting
			return nil
		}
		if wait <= 0 {
			a.attempt(ctx)
			wait = time.Second
		}
		timer := time.NewTimer(min(wait, acmeLook))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// wait is how long nothing is to be done.
func (a *acmeIssuer) wait(now time.Time) time.Duration {
	var due time.Time
	if leaf := a.leaf(); leaf != nil {
		due = renewAt(leaf)
	}
	for _, r := range []*acmeRecord{a.read(), a.unkept} {
		if r != nil && r.again(now).After(due) {
			due = r.again(now)
		}
	}
	if due.IsZero() {
		return 0
	}
	return due.Sub(now)
}

// attempt asks for a certificate once. What went wrong is said in the log and remembered.
func (a *acmeIssuer) attempt(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, acmePatience)
	defer cancel()
	r := a.read()
	err := a.obtain(within, r)
	if err == nil {
		a.Issued()
		return
	}
	if ctx.Err() != nil {
		return // the end of the service; the order goes on at the next start
	}
	r.fail(err, time.Now())
	event := a.Log.Error()
	if leaf := a.leaf(); leaf != nil && time.Until(leaf.NotAfter) > renewalWindow(leaf)*7/10 {
		event = a.Log.Warn() // there is time
	}
	event.Str("error", shorten(err.Error())).Str("authority", a.Directory).Str("name", a.Hostname).
		Str("do", a.advice(err)).Time("again", r.Again).Msg("the ACME authority has given no certificate")
	a.unkept = nil
	if err := a.write(r); err != nil {
		a.unkept = r
		a.Log.Error().Err(err).Msg("it cannot be kept when the ACME authority may be asked again")
	}
}

// shorten bounds what an authority says.
func shorten(text string) string {
	if len(text) > 600 {
		return text[:600] + "…"
	}
	return text
}

// spread adds up to a tenth, so that not all who failed together come again together.
func spread(d time.Duration) time.Duration { return d + rand.N(d/10+1) }

// checkPorts says at the start what would go wrong at the first check. A port that another program has now may be free later.
func (a *acmeIssuer) checkPorts() error {
	p, err := a.listen()
	if err == nil {
		p.Close()
		for _, fault := range p.faults {
			a.Log.Warn().Err(fault).Msg("the ACME authority can be answered in one of two ways only")
		}
		return nil
	}
	if a.leaf() != nil || !permission(err) {
		a.Log.Error().Err(err).Msg("the ACME authority could not be answered now, so that the certificate cannot be renewed")
		return nil
	}
	return fmt.Errorf("tls.acme: %w", err)
}
