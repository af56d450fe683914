package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/net/netutil"
)

// The checks that are offered, in this order.
const (
	checkHTTP = "http-01"     // RFC 8555 §8.3
	checkTLS  = "tls-alpn-01" // RFC 8737
)

// Limits for those who connect while a check runs: the authority, and whoever else comes by.
const (
	checkConnections = 64
	checkTime        = 10 * time.Second
	checkHeader      = 8 << 10
)

// acmeAddress is where one kind of check is answered; "" is nowhere.
type acmeAddress struct{ key, addr string }

// prover answers the authority's checks.
type prover struct {
	kinds  []string // that can be answered
	faults []error  // why others cannot

	name string
	stop context.CancelFunc
	done sync.WaitGroup

	mu    sync.Mutex
	pages map[string]string // path of HTTP-01 → its content
	proof *tls.Certificate  // of TLS-ALPN-01
}

// listen opens what the config names. One of the two is enough.
func (a *acmeIssuer) listen() (*prover, error) {
	ctx, stop := context.WithCancel(context.Background())
	p := &prover{name: a.Hostname, stop: stop, pages: map[string]string{}}
	for _, kind := range []struct {
		name  string
		at    acmeAddress
		serve func(context.Context, net.Listener)
	}{{checkHTTP, a.HTTP, p.serveHTTP}, {checkTLS, a.TLS, p.serveTLS}} {
		if kind.at.addr == "" {
			continue
		}
		l, err := net.Listen("tcp", kind.at.addr)
		if err != nil {
			p.faults = append(p.faults, fmt.Errorf("%s: cannot listen on %q: %w", kind.at.key, kind.at.addr, err))
			continue
		}
		p.kinds = append(p.kinds, kind.name)
		p.done.Go(func() { kind.serve(ctx, netutil.LimitListener(l, checkConnections)) })
	}
	if len(p.kinds) == 0 {
		stop()
		return nil, withPortAdvice(errors.Join(p.faults...))
	}
	return p, nil
}

// Close returns when nothing listens any more.
func (p *prover) Close() {
	p.stop()
	p.done.Wait()
}

// permission tells that this user may not open the ports.
func permission(err error) bool { return errors.Is(err, fs.ErrPermission) }

func withPortAdvice(err error) error {
	if permission(err) {
		return fmt.Errorf("%w (this user may not open it: give the server CAP_NET_BIND_SERVICE, as deploy/smarthost.service does, or have the port mapped to a higher one and name that)", err)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w (another program listens there: stop it; or let it pass /.well-known/acme-challenge/ on to another port and name that in listen.acme_http)", err)
	}
	return err
}

func (p *prover) serveHTTP(ctx context.Context, l net.Listener) {
	s := &http.Server{
		Handler:        http.HandlerFunc(p.page),
		ReadTimeout:    checkTime,
		WriteTimeout:   checkTime,
		IdleTimeout:    checkTime,
		MaxHeaderBytes: checkHeader,
		ErrorLog:       stdlog.New(io.Discard, "", 0),
	}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	s.Serve(l) // ends with Close
}

func (p *prover) page(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	content, found := p.pages[r.URL.Path]
	p.mu.Unlock()
	if !found {
		http.Error(w, "This port answers a certificate authority; mail is handed over on port 587 or 465.", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	io.WriteString(w, content)
}

func (p *prover) serveTLS(ctx context.Context, l net.Listener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	config := &tls.Config{GetCertificate: p.certificate, NextProtos: []string{acme.ALPNProto}, MinVersion: tls.VersionTLS12}
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			select { // out of descriptors, say
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		p.done.Go(func() {
			defer conn.Close()
			ctx, cancel := context.WithTimeout(ctx, checkTime)
			defer cancel()
			tls.Server(conn, config).HandshakeContext(ctx) // which is all: RFC 8737 §3
		})
	}
}

// certificate is for the authority alone: it asks for this protocol and this name (RFC 8737 §3).
func (p *prover) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proof == nil || hello.ServerName != p.name || !slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
		return nil, errors.New("not the check of an authority")
	}
	return p.proof, nil
}

// answer gets ready for a check.
func (p *prover) answer(client *acme.Client, c *acme.Challenge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Type == checkHTTP {
		content, err := client.HTTP01ChallengeResponse(c.Token)
		p.pages[client.HTTP01ChallengePath(c.Token)] = content
		return err
	}
	proof, err := client.TLSALPN01ChallengeCert(c.Token, p.name)
	p.proof = &proof
	return err
}
