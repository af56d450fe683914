//go:build e2e

package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An authority is a CA of the test's own.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	Pool        *x509.CertPool
	File        string // PEM
}

// NewAuthority makes one whose certificate is good for a year in both directions.
func NewAuthority(t *testing.T) *Authority {
	t.Helper()
	a := &Authority{Pool: x509.NewCertPool(), File: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0)}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Check(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	Check(t, err)
	a.certificate, err = x509.ParseCertificate(der)
	Check(t, err)
	a.Pool.AddCert(a.certificate)
	writePEM(t, a.File, 0o644, "CERTIFICATE", der)
	return a
}

// Issue writes certificate and key for names into folder, good from an hour ago for two days.
func (a *Authority) Issue(t *testing.T, folder string, names ...string) (certificate, key string) {
	t.Helper()
	now := time.Now()
	return a.IssueFor(t, folder, now.Add(-time.Hour), now.Add(47*time.Hour), names...)
}

// IssueFor is Issue for a time that may be over, or yet to come.
func (a *Authority) IssueFor(t *testing.T, folder string, from, until time.Time, names ...string) (certificate, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: from, NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &secret.PublicKey, a.key)
	Check(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(secret)
	Check(t, err)
	certificate, key = filepath.Join(folder, "certificate.pem"), filepath.Join(folder, "key.pem")
	writePEM(t, certificate, 0o644, "CERTIFICATE", der)
	writePEM(t, key, 0o600, "PRIVATE KEY", encoded)
	return certificate, key
}

func writePEM(t *testing.T, path string, mode os.FileMode, kind string, der []byte) {
	t.Helper()
	Check(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode))
}
