package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// anyTLS takes whatever the server has, to be judged afterwards. No secret ever goes through a connection made with it.
func (c Client) anyTLS() *tls.Config {
	config := &tls.Config{ServerName: strings.TrimSuffix(c.Host, "."), MinVersion: tls.VersionTLS10, InsecureSkipVerify: true}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		config.CipherSuites = append(config.CipherSuites, s.ID)
	}
	return config
}

// judgeNoTLS is about a STARTTLS that was offered and then refused.
func judgeNoTLS(r reply) Finding {
	return Finding{Check: "tls", Level: Problem, What: "TLS cannot be started: " + r.text(), alike: fmt.Sprint(r.code),
		Why: "Debian's Exim as it comes, and Postfix with smtp_tls_security_level = may, go on in clear and without a login, and what mail is told then decides whether it bounces",
		Do:  "if it stays, look into the server's log (certificate or key unreadable?); a server without TLS should say 421 and close"}
}

func judgeHandshake(err error) Finding {
	return Finding{Check: "tls", Level: Problem, What: "the TLS handshake fails: " + errorText(err),
		Why: "no login, no mail; stock Exim goes on in clear, and what mail is told then decides whether it bounces",
		Do:  "look into the server's log. If other networks can, something on the way breaks TLS: a firewall that inspects, or a path that loses large packets (MTU)"}
}

// probed are the versions that are tried one by one.
var probed = []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}

// versions finds out which versions of TLS the server takes; one is known.
func (c Client) versions(ctx context.Context, d *door, known uint16) {
	offered := map[uint16]bool{known: true}
	for _, v := range probed {
		if v == known {
			continue
		}
		t, err := c.approach(ctx, d)
		if err != nil {
			if ctx.Err() == nil {
				d.add(Finding{Check: "tls versions", Level: Note, What: "not all were examined: " + errorText(err)})
			}
			return
		}
		config := c.anyTLS()
		config.MinVersion, config.MaxVersion = v, v
		if _, err = t.handshake(ctx, config); err == nil {
			offered[v] = true
			t.quit()
		} else {
			t.close()
		}
	}
	if ctx.Err() == nil {
		d.add(judgeVersions(offered))
	}
}

func judgeVersions(offered map[uint16]bool) Finding {
	var names, old []string
	for _, v := range probed {
		if offered[v] {
			names = append(names, tls.VersionName(v))
			if v < tls.VersionTLS12 {
				old = append(old, tls.VersionName(v))
			}
		}
	}
	f := Finding{Check: "tls versions", What: strings.Join(names, ", "), Detail: map[string]any{"offered": names}}
	switch {
	case len(old) == len(names):
		f.Level = Problem
		f.What = "nothing newer than " + names[len(names)-1]
		f.Why = "these versions are withdrawn (RFC 8996); current mail programs refuse them"
		f.Do = "update the server's TLS library, and have it offer TLS 1.2 and TLS 1.3"
	case len(old) > 0:
		f.Level = Warning
		f.Why = strings.Join(old, " and ") + ": withdrawn by RFC 8996"
		f.Do = "have the server offer TLS 1.2 and 1.3 only, unless a device of yours knows nothing newer"
	case !offered[tls.VersionTLS13]:
		f.Level = Note
		f.Why = "TLS 1.3 saves a round trip for each mail and hides the certificate"
	case !offered[tls.VersionTLS12]:
		f.Level = Note
		f.Why = "programs from before about 2019 know TLS 1.2 at most"
	}
	return f
}

// How long before its end a certificate is spoken of: less for those that are made for a short life.
const (
	expiryWarning = 21 * 24 * time.Hour
	expiryProblem = 7 * 24 * time.Hour
)

// expiryLevel judges how near the end of a certificate is that is good now.
func expiryLevel(leaf *x509.Certificate, now time.Time) Level {
	life, left := leaf.NotAfter.Sub(leaf.NotBefore), leaf.NotAfter.Sub(now)
	switch {
	case left < min(expiryProblem, life/10):
		return Problem
	case left < min(expiryWarning, life/3):
		return Warning
	}
	return Good
}

const unverified = "mail programs that check it do not log in: Postfix, msmtp and others stop; stock Exim goes on in clear, and the mail may bounce"

// judgeCertificate judges what the server shows. verified is what a program finds that checks all of it, with this
// machine's clock.
func judgeCertificate(chain []*x509.Certificate, host string, roots *x509.CertPool, now time.Time) (findings []Finding, verified bool) {
	leaf := chain[0]
	add := func(f Finding) {
		f.Check = "certificate"
		f.Detail = certificateDetail(leaf)
		findings = append(findings, f)
	}
	if f, bad := judgeDates(leaf, now); bad {
		add(f)
	}
	if err := leaf.VerifyHostname(strings.TrimSuffix(host, ".")); err != nil {
		add(Finding{Level: Problem, What: fmt.Sprintf("it is for %s, not for %s", certificateNames(leaf), host), Why: unverified,
			Do: "use a name that it is for, or have the server get one that covers " + host})
	}
	if f, bad := judgeTrust(chain, roots, now); bad {
		add(f)
	}
	if f, bad := judgeKey(leaf); bad {
		add(f)
	}
	verified = !slices.ContainsFunc(findings, func(f Finding) bool { return f.Why == unverified })
	if len(findings) == 0 {
		add(Finding{What: fmt.Sprintf("for %s, by %s, good until %s (%s), %s", certificateNames(leaf), clean(issuerName(leaf)),
			leaf.NotAfter.UTC().Format(time.DateOnly), span(leaf.NotAfter.Sub(now)), keyText(leaf))})
	}
	return findings, verified
}

func certificateDetail(leaf *x509.Certificate) map[string]any {
	return map[string]any{"not_before": leaf.NotBefore.UTC(), "not_after": leaf.NotAfter.UTC(), "names": certificateNames(leaf),
		"issuer": clean(issuerName(leaf)), "key": keyText(leaf)}
}

func judgeDates(leaf *x509.Certificate, now time.Time) (Finding, bool) {
	left := leaf.NotAfter.Sub(now)
	switch level := expiryLevel(leaf, now); {
	case now.Before(leaf.NotBefore):
		return Finding{Level: Problem, Why: unverified,
			What: fmt.Sprintf("it is good from %s on only: %s from now by this machine's clock, which says %s", moment(leaf.NotBefore), span(leaf.NotBefore.Sub(now)), moment(now)),
			Do:   fmt.Sprintf("set this machine's clock, which is probably wrong by %s at least (timedatectl; is the time synchronised before mail is sent?)", span(leaf.NotBefore.Sub(now)))}, true
	case left < 0:
		return Finding{Level: Problem, Why: unverified,
			What: fmt.Sprintf("it expired %s ago, on %s; this machine's clock says %s", span(left), moment(leaf.NotAfter), moment(now)),
			Do:   "renew it on the server, and find out why that did not happen by itself; if this machine's clock is wrong, set it (timedatectl)"}, true
	case level == Problem:
		return Finding{Level: Problem, Why: "when it ends, all laptops stop sending, and stock Exim returns mail",
			What: fmt.Sprintf("it ends in %s, on %s", span(left), moment(leaf.NotAfter)), Do: "renew it on the server now: what should do that by itself does not work"}, true
	case level == Warning:
		return Finding{Level: Warning, Why: "when it ends, all laptops stop sending, and stock Exim returns mail",
			What: fmt.Sprintf("it ends in %s, on %s", span(left), moment(leaf.NotAfter)), Do: "look whether the renewal on the server works, and whether the mail server reads the new files"}, true
	}
	return Finding{}, false
}

// judgeTrust asks for the chain to an authority, at a time when the certificate is good, so that dates are judged once.
func judgeTrust(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) (Finding, bool) {
	leaf, last := chain[0], chain[len(chain)-1]
	rest := x509.NewCertPool()
	for _, cert := range chain[1:] {
		rest.AddCert(cert)
	}
	if now.Before(leaf.NotBefore) {
		now = leaf.NotBefore.Add(time.Minute)
	} else if now.After(leaf.NotAfter) {
		now = leaf.NotAfter.Add(-time.Minute)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest, CurrentTime: now})
	f := Finding{Level: Problem, Why: unverified}
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return f, false
	case !errors.As(err, &unknown):
		f.What = "it does not verify: " + clean(strings.TrimPrefix(err.Error(), "x509: "))
		f.Do = "look at the chain that the server sends: a certificate in it may have expired or may not be allowed to sign"
	case selfSigned(leaf):
		f.What = "it is self-signed"
		f.Do = "have the server get one from a public authority (any ACME client), or one of a private authority that the laptops trust"
	case selfSigned(last):
		f.What = fmt.Sprintf("it is by an authority that this machine does not trust: %s", clean(last.Subject.String()))
		f.Do = "if that is your own authority, give its certificate with --ca FILE here and to the mail programs; else have the server get one that is trusted"
	case len(leaf.IssuingCertificateURL) > 0 && len(chain) == 1:
		f.What = fmt.Sprintf("the server does not send the certificate of %s, which signed it", clean(leaf.Issuer.String()))
		f.Do = "have the server send the full chain (fullchain.pem, not cert.pem)"
	default:
		f.What = fmt.Sprintf("it is by an authority that this machine does not trust, or whose certificate the server does not send: %s", clean(last.Issuer.String()))
		f.Do = "if that is your own authority, give its certificate with --ca FILE here and to the mail programs; else have the server send the full chain"
	}
	return f, true
}
