package smarthosttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"
)

// lifetime is how long certificates are valid, before and after the server's start: long enough for a queue's retries inside a synctest
// bubble, and a root that was installed somewhere and forgotten does no harm for long.
const lifetime = 30 * 24 * time.Hour

// An authority signs the certificates of one server. Its keys are never written anywhere.
type authority struct {
	key   *ecdsa.PrivateKey
	root  *x509.Certificate
	hosts []string // names and addresses of the server
	names []string // of them, the names
	ips   []net.IP
}

// newAuthority makes a root that may sign for these names and addresses alone (RFC 5280 §4.2.1.10).
func newAuthority(names ...string) (*authority, error) {
	a := &authority{hosts: names}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			a.ips = append(a.ips, ip)
		} else if name = strings.ToLower(name); !slices.Contains(a.names, name) {
			a.names = append(a.names, name)
		}
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:                big.NewInt(now.UnixNano()),
		Subject:                     pkix.Name{CommonName: "smarthosttest, for tests alone"},
		NotBefore:                   now.Add(-lifetime),
		NotAfter:                    now.Add(2 * lifetime),
		KeyUsage:                    x509.KeyUsageCertSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         a.names,
		PermittedIPRanges:           ranges(a.ips),
	}
	if a.root, err = sign(template, template, a.key, a.key); err != nil {
		return nil, err
	}
	return a, nil
}

func ranges(ips []net.IP) []*net.IPNet {
	of := make([]*net.IPNet, len(ips))
	for i, ip := range ips {
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		of[i] = &net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))}
	}
	return of
}

// template is a good certificate of the server.
func (a *authority) template() *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1),
		Subject:      pkix.Name{CommonName: a.names[0]},
		DNSNames:     a.names,
		IPAddresses:  a.ips,
		NotBefore:    now.Add(-lifetime),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// certificate signs a template with a new key.
func (a *authority) certificate(template *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	leaf, err := sign(template, a.root, key, a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// pem is the root as PEM.
func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// pool holds the root alone.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// serverTLS is what the server uses of a certificate, as the production server does.
func serverTLS(c tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12}
}
