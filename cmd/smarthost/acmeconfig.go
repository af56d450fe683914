package main

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
)

// notPublic are ends of names that nobody has in public DNS (RFC 6761, RFC 6762, RFC 7686, RFC 8375), and that home routers and offices use.
var notPublic = []string{"localhost", "localdomain", "local", "test", "invalid", "example", "onion", "internal", "home.arpa", "lan", "home", "corp"}

// checkACME checks what the keys of ACME say together.
func (c *Config) checkACME() error {
	if !c.TLS.ACME {
		return errors.Join(
			c.require(c.TLS.ACMEEmail == "", "tls.acme_email: has no use while tls.acme is not true", "tls.acme_email"),
			c.require(c.TLS.ACMECA == "", "tls.acme_ca: has no use while tls.acme is not true", "tls.acme_ca"),
		)
	}
	return errors.Join(
		c.require(c.TLS.Certificate == "", "tls: acme and certificate are two ways to the same thing: remove certificate and key, or set acme = false", "tls.certificate", "tls.key", "tls.acme"),
		c.checkPublicName(),
		c.checkACMEAddresses(),
	)
}

// checkPublicName tells whether a public authority could find this server. A private one gives certificates for other names too.
func (c *Config) checkPublicName() error {
	labels := strings.Split(c.Hostname, ".")
	fault := fmt.Sprintf("hostname: %q is not a name in public DNS, and an ACME authority gives certificates for no others: set it to such as \"mx.example.org\" (or name a private authority with tls.acme_directory and tls.acme_ca)", c.Hostname)
	if c.TLS.ACMECA != "" {
		return nil
	}
	last := labels[len(labels)-1]
	private := slices.ContainsFunc(notPublic, func(end string) bool { return strings.HasSuffix("."+c.Hostname, "."+end) })
	return c.require(len(labels) > 1 && !private && strings.Trim(last, "0123456789") != "" && !strings.Contains(c.Hostname, "_"), fault, "hostname", "tls.acme")
}

func (c *Config) checkACMEAddresses() error {
	var faults []error
	taken := slices.Concat(c.Listen.Submission, c.Listen.Submissions)
	if c.Listen.ACMEHTTP != "" {
		taken = append(taken, c.Listen.ACMEHTTP)
		faults = append(faults, c.at(apart("listen.acme_http", c.Listen.ACMEHTTP, taken[:len(taken)-1]), "listen.acme_http"))
	}
	if c.Listen.ACMETLS != "" {
		faults = append(faults, c.at(apart("listen.acme_tls", c.Listen.ACMETLS, taken), "listen.acme_tls"))
	}
	faults = append(faults, c.require(c.Listen.ACMEHTTP != "" || c.Listen.ACMETLS != "", "listen: acme_http and acme_tls are both empty, so that the ACME authority could check nothing; give one of them an address", "listen.acme_http", "listen.acme_tls"))
	return errors.Join(faults...)
}

// apart refuses an address that something else of this server listens on.
func apart(key, addr string, taken []string) error {
	host, port, _ := net.SplitHostPort(addr)
	for _, t := range taken {
		otherHost, otherPort, _ := net.SplitHostPort(t)
		if port == otherPort && port != "0" && (host == otherHost || host == "" || otherHost == "") {
			return fmt.Errorf("%s: %q is listened on for something else already (%q); choose another port", key, addr, t)
		}
	}
	return nil
}

func checkEmail(s string) error {
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s || strings.ContainsFunc(s, func(r rune) bool { return r > '~' }) {
		return fmt.Errorf(`%q is not a mail address such as "postmaster@example.org"`, s)
	}
	return nil
}

func checkDirectory(s string) error {
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return errors.New(`must be an https URL such as "https://acme-v02.api.letsencrypt.org/directory"`)
	}
	return nil
}
