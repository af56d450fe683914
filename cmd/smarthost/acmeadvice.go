package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"golang.org/x/crypto/acme"
)

// advice is what to do about a failure.
func (a *acmeIssuer) advice(err error) string {
	if check, ok := errors.AsType[*acme.AuthorizationError](err); ok {
		for _, e := range check.Errors {
			if problem, ok := errors.AsType[*acme.Error](e); ok {
				return a.adviceFor(problem)
			}
		}
	}
	if order, ok := errors.AsType[*acme.OrderError](err); ok && order.Problem != nil {
		return a.adviceFor(order.Problem)
	}
	if problem, ok := errors.AsType[*acme.Error](err); ok {
		return a.adviceFor(problem)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "if the authority is a private one, name its root certificate in tls.acme_ca; else give this system the usual ones (package ca-certificates)"
	}
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Reason == x509.Expired {
		return "see that this machine's clock is right"
	}
	if errors.Is(err, errTooEarly) {
		return "nothing; it is asked again by itself (removing " + a.recordFile() + " while the server is down lets the next start ask at once)"
	}
	if permission(err) || errors.Is(err, syscall.EADDRINUSE) {
		return "see to it that this server can listen on what listen.acme_http or listen.acme_tls names"
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return "see that this machine reaches " + a.Directory + " (DNS, firewall, outgoing port 443)"
	}
	return "nothing, if it passes by itself"
}

// adviceFor explains the types of RFC 8555 §6.7.
func (a *acmeIssuer) adviceFor(p *acme.Error) string {
	kind := p.ProblemType[strings.LastIndexByte(p.ProblemType, ':')+1:]
	ports := "port 80 (" + checkHTTP + ") or 443 (" + checkTLS + ")"
	switch kind {
	case "connection", "tls":
		return fmt.Sprintf("let %s of %s be reached from everywhere, at all its addresses: firewall, NAT, an AAAA record that leads elsewhere", ports, a.Hostname)
	case "dns":
		return fmt.Sprintf("give %s an A record in public DNS, and an AAAA record only if IPv6 works", a.Hostname)
	case "unauthorized", "incorrectResponse":
		return fmt.Sprintf("%s of %s is answered by something else: see that the name leads to this machine, and a web server there lets /.well-known/acme-challenge/ through to listen.acme_http", ports, a.Hostname)
	case "caa":
		return fmt.Sprintf("the CAA record of %s or of a domain above it names other authorities: add this one", a.Hostname)
	case "rateLimited":
		return "nothing; the authority takes no more orders for a while and is left alone until then"
	case "rejectedIdentifier", "unsupportedIdentifier":
		return "set hostname to a name in public DNS that the authority gives certificates for"
	case "externalAccountRequired":
		return "this authority wants an account made elsewhere, which is not supported: choose another tls.acme_directory"
	case "invalidContact", "unsupportedContact":
		return "correct tls.acme_email"
	case "userActionRequired":
		return "read and accept the authority's new terms at " + p.Instance
	}
	return "nothing, if it passes by itself; the words are the authority's"
}
