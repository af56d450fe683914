package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/cmd/smarthost/enroll"
)

// serverValues are how clients reach this server: its name, its port, and the CA that they have to trust.
func serverValues(env *environment, c *Config, f *enrollFlags) (v enroll.Values, err error) {
	v.Host = c.Hostname
	if f.host != "" {
		v.Host = strings.ToLower(f.host)
		if err := checkHostname(f.host); err != nil {
			return v, usageError("enroll: --host: " + err.Error())
		}
	} else if !strings.Contains(v.Host, ".") {
		return v, usageError(fmt.Sprintf("enroll: hostname is %q, which clients elsewhere cannot look up: set hostname in the config to the name that this server has in DNS, or give --host NAME", v.Host))
	}
	if v.Port, v.TLS, err = portFor(c, f.port); err != nil {
		return v, err
	}
	if v.CA, err = caFor(c, f.ca); err != nil {
		return v, err
	}
	for _, doubt := range doubts(newCertificates(c, zerolog.Nop()).CertFile, v) {
		fmt.Fprintln(env.Stderr, "smarthost: "+doubt)
	}
	return v, nil
}

// portFor finds the port, and whether it speaks TLS from the first octet.
func portFor(c *Config, given string) (port int, implicit bool, err error) {
	ports := func(addrs []string) (all []string) {
		for _, addr := range addrs {
			if _, port, err := net.SplitHostPort(addr); err == nil && port != "0" {
				all = append(all, port)
			}
		}
		return all
	}
	start, direct := ports(c.Listen.Submission), ports(c.Listen.Submissions)
	switch {
	case given != "":
		implicit = slices.Contains(direct, given) || !slices.Contains(start, given) && (given == "465" || given == "2465")
	case len(start) > 0:
		given = openPort(start[0], c.given["listen.submission"] == "")
	case len(direct) > 0:
		given, implicit = openPort(direct[0], c.given["listen.submissions"] == ""), true
	default:
		return 0, false, usageError("enroll: the config gives no port that clients could be told; --port does")
	}
	n, err := strconv.ParseUint(given, 10, 16)
	if err != nil || n == 0 {
		return 0, false, usageError(fmt.Sprintf("enroll: --port: %q is not a port", given))
	}
	return int(n), implicit, nil
}

// openPort is the port on which the server listens if nobody chose one: what answers here, or else what this user may open.
func openPort(port string, standard bool) string {
	if !standard || answers(port) {
		return port
	}
	if answers("2" + port) {
		return "2" + port
	}
	l, err := net.Listen("tcp", ":"+port)
	if errors.Is(err, fs.ErrPermission) {
		return "2" + port
	}
	if err == nil {
		l.Close()
	}
	return port
}

func answers(port string) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("localhost", port), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// caFor reads the CA that clients have to be given; "" if theirs know the server's.
func caFor(c *Config, given string) (string, error) {
	file := given
	switch {
	case given == "none", given == "" && c.TLS.Certificate != "":
		return "", nil
	case given == "" && c.TLS.ACME:
		if c.TLS.ACMECA == "" {
			return "", nil
		}
		file = c.TLS.ACMECA
	case given == "":
		file = newCertificates(c, zerolog.Nop()).Private.certFile()
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && given == "" {
		return "", fmt.Errorf("there is no certificate yet: tls.certificate is not set, and the private CA is made when the server first starts (looked for %s)", file)
	}
	if err != nil {
		return "", fmt.Errorf("read the CA: %w", err)
	}
	var clean bytes.Buffer // certificates alone, whatever else is in the file
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return "", fmt.Errorf("%s holds a %s; clients are given certificates only", file, strings.ToLower(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		if err := pem.Encode(&clean, &pem.Block{Type: block.Type, Bytes: block.Bytes}); err != nil {
			return "", err
		}
	}
	if clean.Len() == 0 {
		return "", fmt.Errorf("%s holds no certificate", file)
	}
	return clean.String(), nil
}

// doubts are reasons for which clients configured like this would not trust the server's certificate.
func doubts(certFile string, v enroll.Values) (all []string) {
	leaf, rest, err := readChain(certFile)
	if err != nil {
		return []string{fmt.Sprintf("the certificate could not be looked at (%v)", err)}
	}
	if err := leaf.VerifyHostname(v.Host); err != nil {
		all = append(all, fmt.Sprintf("clients will not trust this server: %v", err))
	}
	var roots *x509.CertPool // the system's
	if v.CA != "" {
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(v.CA))
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest}); err != nil {
		all = append(all, fmt.Sprintf("clients may not trust this server: %v (--ca FILE gives them a CA)", err))
	}
	return all
}

func readChain(file string) (leaf *x509.Certificate, rest *x509.CertPool, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	rest = x509.NewCertPool()
	for block, more := pem.Decode(text); block != nil; block, more = pem.Decode(more) {
		if block.Type != "CERTIFICATE" {
			continue // the key may be in the same file
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		case leaf == nil:
			leaf = cert
		default:
			rest.AddCert(cert)
		}
	}
	if leaf == nil {
		return nil, nil, fmt.Errorf("%s holds no certificate", file)
	}
	return leaf, rest, nil
}
