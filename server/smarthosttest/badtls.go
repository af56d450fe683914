package smarthosttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// badTLS is what the server shows for a certificate that a client must not take. nil: none could be made, which ends the connection too.
func (s *Server) badTLS(kind Certificate) *tls.Config {
	config, err := s.authority.bad(kind)
	if err != nil {
		s.config.Log.Error().Err(err).Str("certificate", string(kind)).Msg("no certificate")
		return &tls.Config{MinVersion: tls.VersionTLS12} // which no client can shake hands with
	}
	return config
}

// bad makes a certificate with one fault and no other.
func (a *authority) bad(kind Certificate) (*tls.Config, error) {
	template, now := a.template(), time.Now()
	by := a
	switch kind {
	case Expired:
		template.NotBefore, template.NotAfter = now.Add(-lifetime/2), now.Add(-time.Hour)
	case NotYetValid:
		template.NotBefore, template.NotAfter = now.Add(time.Hour), now.Add(lifetime/2)
	case WrongName:
		template.DNSNames, template.IPAddresses = []string{"another." + a.names[0]}, nil // one that the root may sign for
	case UnknownCA:
		other, err := newAuthority(a.hosts...)
		if err != nil {
			return nil, err
		}
		by = other
	case SelfSigned:
		return a.selfSigned(template)
	case MissingIntermediate:
		between, err := a.intermediate()
		if err != nil {
			return nil, err
		}
		by = between
	case OldTLS:
		leaf, err := a.certificate(template)
		if err != nil {
			return nil, err
		}
		return &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, nil
	default:
		return nil, fmt.Errorf("no certificate is called %q", kind)
	}
	leaf, err := by.certificate(template)
	if err != nil {
		return nil, err
	}
	return serverTLS(leaf), nil
}

func (a *authority) selfSigned(template *x509.Certificate) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return serverTLS(tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}), nil
}

// intermediate is an authority that the root has signed.
func (a *authority) intermediate() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano() + 2),
		Subject:               pkix.Name{CommonName: "smarthosttest, between"},
		NotBefore:             now.Add(-lifetime),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	between := &authority{key: key, names: a.names, ips: a.ips}
	between.root, err = sign(template, a.root, key, a.key)
	return between, err
}
