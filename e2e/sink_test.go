package e2e

import (
	"io"
	"net"
	"strings"

	"github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"
)

// sink VARIABLE [ADDRESS] starts a relay that takes mail for everyone but gone@… (550) and busy@… (450), and puts its address into the
// variable; it is any free one if none is given.
func sink(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 || neg {
		ts.Fatalf("usage: sink VARIABLE [ADDRESS]")
	}
	address := append(args, "127.0.0.1:0")[1]
	l, err := net.Listen("tcp", address)
	ts.Check(err)
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return sinkSession{}, nil }))
	s.Domain = "sink.example"
	done := make(chan struct{})
	go func() { // ends with the listener; Defer waits for it
		defer close(done)
		s.Serve(l)
	}()
	ts.Defer(func() {
		s.Close()
		<-done
	})
	ts.Setenv(args[0], l.Addr().String())
}

type sinkSession struct{}

func (sinkSession) Mail(string, *smtp.MailOptions) error { return nil }

func (sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch {
	case strings.HasPrefix(to, "gone@"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	case strings.HasPrefix(to, "busy@"):
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "mailbox busy"}
	}
	return nil
}

func (sinkSession) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (sinkSession) Reset()        {}
func (sinkSession) Logout() error { return nil }
