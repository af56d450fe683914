package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Lives of what the private CA makes. A certificate is renewed when a third of its life is left.
const (
	caLife          = 10 * 365 * 24 * time.Hour
	certificateLife = 90 * 24 * time.Hour
)

// privateCA issues the server's certificate where the operator has none. Clients have to be given ca.pem.
type privateCA struct {
	Folder   string // holds ca.pem and ca.key
	Hostname string
}

func (p *privateCA) certFile() string { return filepath.Join(p.Folder, "ca.pem") }

// due tells that a certificate is in the last third of its life.
func due(leaf *x509.Certificate) bool {
	return time.Now().After(leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3))
}

// renew makes the CA if there is none, and the server's certificate if it is missing, too old, or made for another name.
func (p *privateCA) renew(certFile, keyFile string) error {
	if err := os.MkdirAll(p.Folder, 0o700); err != nil {
		return err
	}
	ca, caKey, err := readPair(p.certFile(), filepath.Join(p.Folder, "ca.key"))
	if errors.Is(err, fs.ErrNotExist) {
		// A new CA is one that no client trusts: it is made only where there never was one.
		if _, old := os.Stat(p.certFile()); old == nil {
			return fmt.Errorf("%w (put it back; or remove %s, and a new CA is made, which every client then has to be given)", err, p.certFile())
		}
		ca, caKey, err = p.makeCA()
	}
	if err != nil {
		return fmt.Errorf("the private CA in %s: %w", p.Folder, err)
	}
	leaf, _, err := readPair(certFile, keyFile)
	if err == nil && !due(leaf) && leaf.CheckSignatureFrom(ca) == nil && leaf.VerifyHostname(p.Hostname) == nil {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the certificate made by the private CA: %w (remove %s and %s, and they are made anew)", err, certFile, keyFile)
	}
	template := newTemplate(p.Hostname, certificateLife)
	template.DNSNames = []string{p.Hostname}
	if p.Hostname != "localhost" {
		template.DNSNames = append(template.DNSNames, "localhost")
	}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	_, _, err = issue(template, ca, caKey, certFile, keyFile)
	return err
}

func (p *privateCA) makeCA() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	template := newTemplate("smarthost CA of "+p.Hostname, caLife)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return issue(template, template, nil, p.certFile(), filepath.Join(p.Folder, "ca.key"))
}

func newTemplate(name string, life time.Duration) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name[:min(len(name), 64)]},
		NotBefore:    time.Now().Add(-time.Hour), // clocks of clients may be a little behind
		NotAfter:     time.Now().Add(life),
	}
}

// issue signs template, by itself if parentKey is nil, and writes certificate and key.
func issue(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if parentKey == nil {
		parentKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if parent != template {
		chain = slices.Concat(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: parent.Raw}))
	}
	if err := writeFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return nil, nil, err
	}
	if err := writeFile(certFile, chain, 0o644); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func readPair(certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := readPEM(certFile, x509.ParseCertificate)
	if err != nil {
		return nil, nil, err
	}
	secret, err := readPEM(keyFile, x509.ParsePKCS8PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	key, ok := secret.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("%s is not the key of %s", keyFile, certFile)
	}
	return cert, key, nil
}

func readPEM[T any](file string, parse func([]byte) (T, error)) (T, error) {
	var none T
	text, err := os.ReadFile(file)
	if err != nil {
		return none, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return none, fmt.Errorf("%s is not a PEM file", file)
	}
	v, err := parse(block.Bytes)
	if err != nil {
		return none, fmt.Errorf("%s: %w", file, err)
	}
	return v, nil
}
