package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
)

// Why a TLS connection failed, in words for a reply. There are no others, so that nothing of a client's gets into one.
const (
	tlsTimedOut    = "the handshake timed out"
	tlsClosed      = "the connection was closed during the handshake"
	tlsCertificate = "the client did not accept the certificate"
	tlsVersion     = "the client wants another version of TLS"
	tlsNotSpoken   = "what came was not TLS"
	tlsFailed      = "the handshake failed"
)

// tlsReason puts the error of a handshake, or of a TLS connection that broke, into words.
func tlsReason(err error) string {
	var notTLS tls.RecordHeaderError
	switch {
	case refusedCertificate(err):
		return tlsCertificate
	case isAlert(err, 70): // protocol_version
		return tlsVersion
	case errors.As(err, &notTLS):
		return tlsNotSpoken
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return tlsTimedOut
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return tlsClosed
	}
	return tlsFailed
}

// knownReason is the reason if it is one of ours, else "".
func knownReason(reason string) string {
	if slices.Contains([]string{tlsTimedOut, tlsClosed, tlsCertificate, tlsVersion, tlsNotSpoken, tlsFailed}, reason) {
		return reason
	}
	return ""
}

// refusedCertificate tells whether the client ended TLS with an alert about our certificate (RFC 8446 §6.2). Under TLS 1.3 it comes when
// the handshake looked complete to us. The usual causes are an expired certificate, a name that does not match, or a client whose clock is wrong.
func refusedCertificate(err error) bool {
	// bad_certificate, unsupported_certificate, certificate_revoked, certificate_expired, certificate_unknown, unknown_ca
	return isAlert(err, 42, 43, 44, 45, 46, 48)
}

// isAlert tells whether err is one of these alerts, sent by the client.
func isAlert(err error, alerts ...tls.AlertError) bool {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" || op.Err == nil {
		return false
	}
	// crypto/tls keeps the type of an alert to itself; its exported twin prints the same words.
	return slices.ContainsFunc(alerts, func(a tls.AlertError) bool { return a.Error() == op.Err.Error() })
}
