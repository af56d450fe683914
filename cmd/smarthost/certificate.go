package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// How often the certificate is looked at, and how long before the end of its life the log warns.
const (
	certificateLook = time.Minute
	certificateWarn = 21 * 24 * time.Hour
	certificateEnd  = 2 * time.Second // that an order at an ACME authority gets to write down how far it came when the program ends
)

// certificates keeps the server's certificate: what is on disk, or the last one that could be read.
type certificates struct {
	CertFile, KeyFile string
	Hostname          string      // that clients are likely to call the server by; "" if the certificate is made for it
	Private           *privateCA  // renews the files; nil if they are the operator's
	ACME              *acmeIssuer // puts a new file in place now and then; nil if it is not used
	Log               zerolog.Logger

	config atomic.Pointer[tls.Config]
	mu     sync.Mutex // one load at a time; guards what follows
	stamp  string     // what the files looked like when they were read
	warned time.Time
	fault  error
}

// TLS is the configuration for the next handshake; nil while the first certificate is awaited from an ACME authority.
func (c *certificates) TLS() *tls.Config { return c.config.Load() }

// Load reads the files. On an error what was loaded before stays in force.
func (c *certificates) Load() error {
	if c.ACME != nil {
		if err := c.ACME.checkPorts(); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load()
}

func (c *certificates) load() error {
	if c.Private != nil {
		if err := c.Private.renew(c.CertFile, c.KeyFile); err != nil {
			return err
		}
	}
	stamp := c.look()
	if c.ACME != nil && c.ACME.leaf() == nil {
		c.stamp = stamp
		return c.awaited()
	}
	cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.CertFile, c.KeyFile, err)
	}
	c.stamp = stamp
	c.config.Store(serverTLS(cert))
	c.warnOfExpiry(cert.Leaf)
	c.warnOfName(cert.Leaf)
	return nil
}

// warnOfName warns of a certificate that is another server's. Clients may know this one by a name that the config does not.
func (c *certificates) warnOfName(leaf *x509.Certificate) {
	if c.Hostname == "" {
		return
	}
	if err := leaf.VerifyHostname(c.Hostname); err != nil {
		c.Log.Warn().Err(err).Str("file", c.CertFile).Msg("clients that call this server by its hostname refuse its certificate, and send nothing; get one for that name, or set hostname to the name that they use")
	}
}

// awaited says that there is none from the ACME authority yet. One of the private CA does not stand in for it: clients that
// check would refuse it, and some of those send their mail back. STARTTLS is answered 421 instead, after which they keep it.
func (c *certificates) awaited() error {
	if c.TLS() != nil {
		return fmt.Errorf("%s is missing, damaged, or not of %s (the ACME authority will be asked for another)", c.CertFile, c.ACME.Hostname)
	}
	event := c.Log.Warn().Str("name", c.ACME.Hostname).Str("authority", c.ACME.Directory)
	if _, err := os.Stat(c.CertFile); err == nil {
		event = event.Str("unfit", c.CertFile) // damaged, or of another name
	}
	event.Msg("there is no certificate yet: until the ACME authority has given one, clients are told to try again later (421)")
	return nil
}

// Run renews the certificate and warns of its end until ctx ends. Files that are not the operator's are loaded when they have changed.
// A disk that does not answer does not hold up its end.
func (c *certificates) Run(ctx context.Context) error {
	var group errgroup.Group
	if c.ACME != nil {
		c.ACME.Issued = c.Reload
		group.Go(func() error { return c.runACME(ctx) })
	}
	group.Go(func() error {
		c.watch(ctx)
		return nil
	})
	return group.Wait()
}

func (c *certificates) runACME(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- c.ACME.Run(ctx) }() // ends with ctx, with the disk, or with the program
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(certificateEnd)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		c.Log.Warn().Str("folder", c.ACME.Folder).Msg("the disk that the certificate is on does not answer; the end does not wait for it")
		return nil
	}
}

func (c *certificates) watch(ctx context.Context) {
	tick := time.NewTicker(certificateLook)
	defer tick.Stop()
	for {
		done := make(chan struct{})
		go func() { // ends with the disk, or with the program
			defer close(done)
			if !c.unchanged() {
				c.Reload()
			}
		}()
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// unchanged tells that files which are not the operator's are as they were, and that the certificate need not be renewed.
func (c *certificates) unchanged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	leaf := c.current()
	if c.Private != nil && due(leaf) || !c.operators() && c.look() != c.stamp {
		return false
	}
	if leaf != nil {
		c.warnOfExpiry(leaf)
	}
	return true
}

// current is the certificate in force; nil if there is none yet.
func (c *certificates) current() *x509.Certificate {
	if config := c.TLS(); config != nil {
		return config.Certificates[0].Leaf
	}
	return nil
}

// Fault is what was wrong with the files when they were last loaded again.
func (c *certificates) Fault() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

// Reload loads the files again; what is wrong with them is an alarm in the log, and the old certificate goes on.
func (c *certificates) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.load()
	if c.fault = err; err != nil {
		c.stamp = c.look() // alarm once for each state of the files
		c.Log.Error().Err(err).Msg("the certificate cannot be loaded; the old one stays in force until the files are right")
		return
	}
	leaf := c.current()
	if leaf == nil {
		return
	}
	c.Log.Info().Strs("names", leaf.DNSNames).Time("expires", leaf.NotAfter).Msg("certificate loaded")
}

// look describes the files as they are now.
func (c *certificates) look() string { return lookAt(c.CertFile) + lookAt(c.KeyFile) }

// operators tells that the files are the operator's, whose changes are noticed together with those of the config.
func (c *certificates) operators() bool { return c.Private == nil && c.ACME == nil }

func (c *certificates) warnOfExpiry(leaf *x509.Certificate) {
	left := time.Until(leaf.NotAfter)
	early, do := certificateWarn, "put a new one in place"
	if c.ACME != nil { // a short life is no alarm while it is renewed in time
		early, do = renewalWindow(leaf)*7/10, "the ACME authority has given no new one yet, see there"
	}
	if left > early || time.Since(c.warned) < 24*time.Hour {
		return
	}
	c.warned = time.Now()
	if left < 0 {
		c.Log.Error().Time("expired", leaf.NotAfter).Str("file", c.CertFile).Msg("the certificate has expired: clients refuse it and many then bounce their mail; " + do)
		return
	}
	c.Log.Warn().Time("expires", leaf.NotAfter).Str("file", c.CertFile).Msg("the certificate expires soon; " + do)
}

// serverTLS is what every handshake offers: TLS 1.2 with forward secrecy and authenticated encryption, or TLS 1.3
// (RFC 8996, RFC 9325). All is named here because Go's own defaults follow the go line of go.mod.
func serverTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		// A client that names what it wants to speak (RFC 7301), and means a web server, goes no further: ALPACA.
		NextProtos: []string{"smtp", "esmtp"},
	}
}
