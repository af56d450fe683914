package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestTLSReason(t *testing.T) {
	alert := func(a tls.AlertError) error {
		return fmt.Errorf("handshake: %w", &net.OpError{Op: "remote error", Err: a})
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{alert(42), tlsCertificate},
		{alert(45), tlsCertificate},
		{alert(48), tlsCertificate},
		{alert(70), tlsVersion},
		{alert(40), tlsFailed},
		{&net.OpError{Op: "local error", Err: tls.AlertError(42)}, tlsFailed},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, tlsNotSpoken},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, tlsTimedOut},
		{context.DeadlineExceeded, tlsTimedOut},
		{io.EOF, tlsClosed},
		{fmt.Errorf("read: %w", syscall.ECONNRESET), tlsClosed},
		{errors.New("tls: client offered only unsupported versions: [301]"), tlsFailed},
	} {
		if got := tlsReason(test.err); got != test.want {
			t.Errorf("tlsReason(%v) = %q, want %q", test.err, got, test.want)
		}
		if knownReason(test.want) != test.want {
			t.Errorf("%q is not known", test.want)
		}
	}
}

// A real client that does not trust the certificate, in both versions of TLS.
func TestRefusedCertificateIsRecognised(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			defer theirs.Close()
			done := make(chan error, 1)
			go func() {
				done <- tls.Client(ours, &tls.Config{ServerName: hostname, MinVersion: version, MaxVersion: version}).Handshake()
			}()
			server := tls.Server(theirs, new(certificate).config())
			err := server.Handshake()
			if err == nil {
				_, err = server.Read(make([]byte, 1))
			}
			if !refusedCertificate(err) {
				t.Errorf("the server saw %v", err)
			}
			if <-done == nil {
				t.Error("the client trusts anybody")
			}
		})
	}
}
