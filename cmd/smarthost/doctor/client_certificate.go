package doctor

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

func selfSigned(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, cert.RawSubject) && cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// certificateNames are the names and addresses that it is for, the first few of them.
func certificateNames(cert *x509.Certificate) string {
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	switch {
	case len(names) == 0:
		return "no name"
	case len(names) > 4:
		return clean(strings.Join(names[:4], ", ")) + fmt.Sprintf(" and %d more", len(names)-4)
	}
	return clean(strings.Join(names, ", "))
}

func issuerName(cert *x509.Certificate) string {
	organization := ""
	if len(cert.Issuer.Organization) > 0 {
		organization = cert.Issuer.Organization[0]
	}
	return cmp.Or(strings.TrimSpace(organization+" "+cert.Issuer.CommonName), "an authority without a name")
}

func keyText(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return cert.PublicKeyAlgorithm.String()
}

func judgeKey(cert *x509.Certificate) (Finding, bool) {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return Finding{Level: Warning, What: "its key is weak: " + keyText(cert), Why: "current TLS libraries refuse RSA keys below 2048 bits",
				Do: "get one with an ECDSA P-256 key, or RSA 2048"}, true
		}
	case ed25519.PublicKey:
		return Finding{Level: Note, What: "its key is Ed25519", Why: "older mail programs cannot check it", Do: "ECDSA P-256 is understood by all"}, true
	}
	return Finding{}, false
}

const (
	skewWarning = 5 * time.Minute
	skewProblem = time.Hour
)

// judgeClocks compares this machine's clock with those in greetings, and with the beginnings of certificates: if all
// are good only later, it is the clock.
func judgeClocks(doors []*door, now time.Time) []Finding {
	var seen bool
	var skew time.Duration
	leaves, early := 0, 0
	for _, d := range doors {
		if d.skew != 0 && (!seen || d.skew.Abs() < skew.Abs()) {
			seen, skew = true, d.skew
		}
		if d.leaf != nil {
			leaves++
			if now.Before(d.leaf.NotBefore) {
				early++
			}
		}
	}
	f := Finding{Check: "clock", Why: "certificates are judged by it: with a wrong clock TLS fails, and stock Exim goes on in clear",
		Do: "set this machine's clock (timedatectl), unless it is the server's that is wrong"}
	behind := "behind"
	if skew < 0 {
		behind = "ahead of"
	}
	switch {
	case seen && skew.Abs() > skewWarning:
		f.Level = Warning
		if skew.Abs() > skewProblem {
			f.Level = Problem
		}
		f.What = fmt.Sprintf("this machine's clock is %s %s the one that the server greets with", span(skew), behind)
		return []Finding{f}
	case seen:
		return []Finding{{Check: "clock", What: "this machine's clock agrees with the one that the server greets with"}}
	case leaves > 0 && early == leaves:
		f.Level = Problem
		f.What = fmt.Sprintf("every certificate of the server is good only later than now, by this machine's clock: %s", moment(now))
		return []Finding{f}
	}
	return nil
}
