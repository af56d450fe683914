package doctor

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

const day = 24 * time.Hour

// readChain reads the certificates of a PEM file, at least one.
func readChain(file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return chain, nil
}

func (v *visit) checkCertificate(context.Context) []Finding {
	f := Finding{Check: "certificate", Level: Problem, Why: "without certificate and key there is no TLS, and without TLS no client may log in",
		Do: "set tls.certificate to the file with the whole chain and tls.key to that of its key, both readable for the server, in " + v.configName()}
	chain, err := readChain(v.Certificate)
	if v.CA != "" && errors.Is(err, fs.ErrNotExist) {
		return []Finding{{Check: f.Check, Level: Note, What: "there is none yet; the server makes one at its first start",
			Why: "clients have to be given the private CA's certificate, " + v.CA, Do: "start the server, or set tls.certificate and tls.key"}}
	}
	if v.Authority != "" {
		f.Do = "see what the server's log says about the certificate"
	}
	if v.Authority != "" && errors.Is(err, fs.ErrNotExist) {
		return []Finding{{Check: f.Check, Level: Warning, What: "there is none yet; the server gets one from " + v.Authority + " while it runs",
			Why: "until it has one, clients are told 421 and keep their mail",
			Do:  fmt.Sprintf("start the server, and see what its log says: port 80 or 443 of %s has to lead to listen.acme_http or listen.acme_tls", v.Hostname)}}
	}
	if err == nil {
		_, err = tls.LoadX509KeyPair(v.Certificate, v.Key)
	}
	if errors.Is(err, fs.ErrPermission) {
		return []Finding{notAllowed(f.Check, v.Certificate+" with key "+v.Key)}
	}
	if err != nil {
		f.What = fmt.Sprintf("%s with key %s: %v", v.Certificate, v.Key, err)
		return []Finding{f}
	}
	return v.judgeChain(chain, time.Now())
}

// judgeChain says what a client would think of the certificate, and what it costs.
func (v *visit) judgeChain(chain []*x509.Certificate, now time.Time) []Finding {
	found := []Finding{v.judgeDates(chain[0], now)}
	if err := chain[0].VerifyHostname(v.Hostname); err != nil {
		found = append(found, Finding{Check: "certificate", Level: Problem, What: "it is not for " + v.Hostname + ": " + clean(err.Error()),
			Why: "clients that connect to " + v.Hostname + " refuse it", Do: "get a certificate for that name, or set hostname to a name that it covers"})
	}
	found = append(found, v.judgeTrust(chain, now))
	if key, ok := chain[0].PublicKey.(*rsa.PublicKey); ok {
		f := Finding{Check: "certificate", Level: Note, What: fmt.Sprintf("its key is RSA with %d bits", key.N.BitLen()),
			Why: "a handshake with it costs this server about thirty times the work of one with an ECDSA key", Do: "ask for an ECDSA key at the next renewal (certbot: --key-type ecdsa), unless clients are too old for it"}
		if key.N.BitLen() < 2048 {
			f.Level, f.Why = Warning, "clients refuse RSA keys of less than 2048 bits"
		}
		found = append(found, f)
	}
	return found
}

func (v *visit) judgeDates(leaf *x509.Certificate, now time.Time) Finding {
	left := leaf.NotAfter.Sub(now)
	days := int(left / day)
	f := Finding{Check: "certificate", Detail: map[string]any{"expires": leaf.NotAfter.UTC(), "days": days},
		Why: "clients refuse an expired certificate, and many then bounce their mail",
		Do:  "renew it and put it into " + v.Certificate + "; the server sees the new one by itself"}
	if v.CA != "" {
		f.Do = "the server renews it by itself while it runs; see that it runs and may write " + v.Certificate
	}
	if v.Authority != "" {
		f.Do = "the server renews it by itself while it runs; see that it runs, and what its log says about the certificate"
	}
	until, level := leaf.NotAfter.UTC().Format("2006-01-02"), expiryLevel(leaf, now)
	switch {
	case now.Before(leaf.NotBefore):
		f.Level, f.What = Problem, "it is not valid before "+leaf.NotBefore.UTC().Format("2006-01-02 15:04 UTC")
		f.Do = "look at this machine's clock first, then at the certificate"
	case left <= 0:
		f.Level, f.What = Problem, "it expired on "+until
	case level != Good:
		f.Level, f.What = level, fmt.Sprintf("it expires in %s, on %s", span(left), until)
	default:
		return Finding{Check: f.Check, Detail: f.Detail, What: fmt.Sprintf("valid for %s more, until %s", count(days, "day"), until)}
	}
	return f
}

// judgeTrust verifies the chain as at a time when the leaf is valid: dates have a finding of their own.
func (v *visit) judgeTrust(chain []*x509.Certificate, now time.Time) Finding {
	leaf := chain[0]
	if now.After(leaf.NotAfter) {
		now = leaf.NotAfter
	} else if now.Before(leaf.NotBefore) {
		now = leaf.NotBefore
	}
	f := Finding{Check: "certificate", Why: "clients that do not know the issuer refuse the certificate"}
	options := x509.VerifyOptions{CurrentTime: now, Roots: v.Roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(options)
	switch {
	case err == nil:
		return Finding{Check: f.Check, What: "the chain is complete, and this system trusts it"}
	case v.CA != "":
		f.Level, f.What = Note, "a private CA of this server has issued it"
		f.Do = "give clients " + v.CA + ", or set tls.certificate and tls.key to a certificate that clients trust by themselves"
	case selfSigned(leaf):
		f.Level, f.What = Warning, "it is signed by itself"
		f.Do = "give it to each client as an authority to trust, or get one from a public authority"
	case !issuedInOrder(chain):
		f.Level, f.What = Problem, "the certificates in the file are not in order, or do not belong together"
		f.Do = "put the server's certificate first, then that of its issuer, and so on (fullchain.pem of certbot)"
	case len(chain) == 1:
		f.Level, f.What = Problem, fmt.Sprintf("the chain is not complete, or its authority is not known here: that of its issuer “%s” is missing", clean(issuerName(leaf)))
		f.Do = "put the issuer's certificate behind the server's in " + v.Certificate + " (fullchain.pem of certbot, not cert.pem)"
	default:
		f.Level, f.What = Warning, fmt.Sprintf("this system does not trust its authority “%s”: %s", clean(issuerName(chain[len(chain)-1])), clean(err.Error()))
		f.Do = "if it is a private authority, give it to each client; else see that the intermediate certificates in " + v.Certificate + " are those that the authority names"
	}
	return f
}

func issuedInOrder(chain []*x509.Certificate) bool {
	for i := range len(chain) - 1 {
		if chain[i].CheckSignatureFrom(chain[i+1]) != nil {
			return false
		}
	}
	return true
}
