package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/crypto/acme"
)

// errTooEarly keeps a second order from being placed within the hour when nobody knows what became of the first.
var errTooEarly = errors.New("the last order was placed less than an hour ago and brought no certificate")

// obtain gets one certificate: it goes on with the order in hand, or places one.
func (a *acmeIssuer) obtain(ctx context.Context, r *acmeRecord) error {
	if err := os.MkdirAll(a.Folder, 0o700); err != nil {
		return err
	}
	p, err := a.listen() // before the order: one that cannot be proved would count at the authority
	if err != nil {
		return err
	}
	defer p.Close()
	if err := a.register(ctx); err != nil {
		return err
	}
	order, err := a.order(ctx, r)
	if err != nil {
		return err
	}
	chain, err := a.fulfil(ctx, r, p, order)
	if err != nil {
		if _, refused := refusal(err); refused {
			r.Order, r.Key = "", nil // dead; the next one is another
		}
		return err
	}
	return a.keep(r, chain)
}

// register makes the account at the authority, or finds the one that this key has there.
func (a *acmeIssuer) register(ctx context.Context) error {
	roots, err := readAuthorities("tls.acme_ca", a.CA)
	if err != nil {
		return err
	}
	key, err := a.accountKey()
	if err != nil {
		return fmt.Errorf("the key of the ACME account: %w", err)
	}
	client := &acme.Client{
		Key:          key,
		DirectoryURL: a.Directory,
		HTTPClient:   acmeHTTP(roots),
		UserAgent:    "smarthost/" + versionText(),
		RetryBackoff: acmeBackoff,
	}
	if _, err := client.Discover(ctx); err != nil {
		return fmt.Errorf("read the directory: %w", err)
	}
	account := &acme.Account{}
	if a.Email != "" {
		account.Contact = []string{"mailto:" + a.Email}
	}
	_, err = client.Register(ctx, account, acme.AcceptTOS)
	if errors.Is(err, acme.ErrAccountAlreadyExists) && a.Email != "" {
		_, err = client.UpdateReg(ctx, account) // the address may be another one than last time
	}
	if err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return fmt.Errorf("register: %w", err)
	}
	a.client = client
	return nil
}

// accountKey reads the key of the account, or makes it.
func (a *acmeIssuer) accountKey() (crypto.Signer, error) {
	file := filepath.Join(a.Folder, "account.key")
	secret, err := readPEM(file, x509.ParsePKCS8PrivateKey)
	if errors.Is(err, fs.ErrNotExist) {
		key, der, err := newKey()
		if err != nil {
			return nil, err
		}
		return key, writeFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		return nil, err
	}
	key, ok := secret.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no ECDSA key", file)
	}
	return key, nil
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return key, der, err
}

// order finds the order in hand, or places one. Both its key and its address are kept before anything is done with it.
func (a *acmeIssuer) order(ctx context.Context, r *acmeRecord) (*acme.Order, error) {
	if r.Order != "" {
		order, err := a.client.GetOrder(ctx, r.Order)
		if err == nil && order.Status != acme.StatusInvalid && order.Status != acme.StatusExpired {
			return order, nil
		}
		if _, refused := refusal(err); err != nil && !refused {
			return nil, fmt.Errorf("ask for the order: %w", err)
		}
		r.Order, r.Key = "", nil // the authority does not know it any more
	}
	if since := time.Since(r.Ordered); since >= 0 && since < acmeBetween {
		return nil, errTooEarly
	}
	_, der, err := newKey()
	if err != nil {
		return nil, err
	}
	r.Ordered, r.Key = time.Now(), der
	if err := a.write(r); err != nil {
		return nil, err
	}
	order, err := a.client.AuthorizeOrder(ctx, acme.DomainIDs(a.Hostname))
	if err != nil {
		return nil, fmt.Errorf("place the order: %w", err)
	}
	a.Log.Info().Str("authority", a.Directory).Str("name", a.Hostname).Msg("certificate ordered")
	r.Order = order.URI
	return order, a.write(r)
}

// fulfil proves that this server has the name, hands the key in, and fetches the certificate with its chain.
func (a *acmeIssuer) fulfil(ctx context.Context, r *acmeRecord, p *prover, order *acme.Order) ([][]byte, error) {
	if order.Status == acme.StatusPending {
		for _, url := range order.AuthzURLs {
			if err := a.prove(ctx, r, p, url); err != nil {
				return nil, fmt.Errorf("prove the name: %w", err)
			}
		}
	}
	order, err := a.client.WaitOrder(ctx, order.URI)
	if err != nil {
		return nil, fmt.Errorf("wait for the order: %w", err)
	}
	if order.Status == acme.StatusValid { // it was handed in before a restart
		chain, err := a.client.FetchCert(ctx, order.CertURL, true)
		if err != nil {
			err = fmt.Errorf("fetch the certificate: %w", err)
		}
		return chain, err
	}
	key, err := x509.ParsePKCS8PrivateKey(r.Key)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{a.Hostname}}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := a.client.CreateCertFromOrder(ctx, order, csr, true)
	if err != nil {
		return nil, fmt.Errorf("hand the key in: %w", err)
	}
	return chain, nil
}

// prove lets the authority check the name, in the way that worked last.
func (a *acmeIssuer) prove(ctx context.Context, r *acmeRecord, p *prover, url string) error {
	authz, err := a.client.GetAuthorization(ctx, url)
	if err != nil || authz.Status == acme.StatusValid {
		return err
	}
	if authz.Status == acme.StatusPending {
		check := choose(authz.Challenges, p.kinds, r.First)
		if check == nil {
			return fmt.Errorf("the authority offers neither %s nor %s, or this server cannot answer it: %w", checkHTTP, checkTLS, errors.Join(p.faults...))
		}
		r.First = check.Type
		if err := p.answer(a.client, check); err != nil {
			return err
		}
		if check.Status == acme.StatusPending { // else it was asked for before a restart
			if _, err = a.client.Accept(ctx, check); err != nil {
				return err
			}
		}
	}
	if _, err = a.client.WaitAuthorization(ctx, url); err != nil {
		if _, refused := refusal(err); refused {
			r.First = otherCheck(r.First) // next time
		}
	}
	return err
}

// choose picks the first one wanted if it can be had.
func choose(offered []*acme.Challenge, can []string, first string) (chosen *acme.Challenge) {
	for _, c := range offered {
		if slices.Contains(can, c.Type) && (chosen == nil || c.Type == first || first == "" && c.Type == checkHTTP) {
			chosen = c
		}
	}
	return chosen
}

func otherCheck(kind string) string {
	if kind == checkTLS {
		return checkHTTP
	}
	return checkTLS
}

// keep looks at what has come and puts it in place, key and all.
func (a *acmeIssuer) keep(r *acmeRecord, chain [][]byte) error {
	var text []byte
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: r.Key})
	cert, err := tls.X509KeyPair(text, secret)
	if err == nil {
		err = cert.Leaf.VerifyHostname(a.Hostname)
	}
	if err != nil {
		r.Order, r.Key = "", nil
		return fmt.Errorf("the certificate that has come is of no use: %w", err)
	}
	if err := writeFile(a.certFile(), append(text, secret...), 0o600); err != nil {
		return err
	}
	// Where the clock is wrong every certificate looks due: that must not become one order after another.
	pause := min(acmeBetween, cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)/3)
	return a.write(&acmeRecord{Hostname: a.Hostname, First: r.First, Again: time.Now().Add(pause)})
}

// acmeBackoff is the wait before a request is made again within an attempt. A longer one ends the attempt.
func acmeBackoff(n int, _ *http.Request, res *http.Response) time.Duration {
	wait := max(time.Second<<min(n-1, 5), retryAfter(res.Header))
	if n > 4 || wait > time.Minute {
		return 0
	}
	return spread(wait)
}

// What an authority's answer may measure.
const acmeAnswer = 1 << 20

func acmeHTTP(roots *x509.CertPool) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: boundedTransport{t}, Timeout: 30 * time.Second}
}

type boundedTransport struct{ http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, acmeAnswer), res.Body}
	}
	return res, err
}
