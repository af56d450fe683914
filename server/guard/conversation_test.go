package guard

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// tape is a socket that plays what the client said and keeps what it is told.
type tape struct {
	in  bytes.Reader
	out bytes.Buffer
}

func (t *tape) Read(p []byte) (int, error)       { return t.in.Read(p) }
func (t *tape) Write(p []byte) (int, error)      { return t.out.Write(p) }
func (t *tape) Close() error                     { return nil }
func (t *tape) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (t *tape) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (t *tape) SetDeadline(time.Time) error      { return nil }
func (t *tape) SetReadDeadline(time.Time) error  { return nil }
func (t *tape) SetWriteDeadline(time.Time) error { return nil }

// Whatever the client says: go-smtp is handed whole lines of known commands without controls, nothing of a message,
// and every line that the client hears is well-formed (checklist 15, 16).
func FuzzConversation(f *testing.F) {
	for _, s := range []string{
		"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\na\r\n.\r\nQUIT\r\n",
		"EHLO x\r\nMAIL FROM:<a@b> SIZE=1\r\nRCPT TO:<\"c\"@d>\r\nBDAT 3\r\na\r\nNOOP\r\nBDAT 0 LAST\r\nRSET\r\n",
		"EHLO x\r\nAUTH PLAIN AGEAYg==\r\nAUTH PLAIN\r\n*\r\n\x00\nNOOP\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		g := &Guard{Hostname: "mx.test", MaxMessageSize: 1000}
		l := g.Listen(nil, false).(*listener)
		sock := &tape{}
		sock.in.Reset(in)
		c := newConn(l, sock)
		c.opened, c.greets = true, true // as after the handshake
		defer c.Close()
		core := coreDouble{t: t, c: c}
		core.run()
		for line := range strings.Lines(sock.out.String()) {
			text, ok := strings.CutSuffix(line, "\r\n")
			if !ok || len(line) > 512 || len(text) < 4 || text[3] != ' ' && text[3] != '-' || !isPrintable(text) {
				t.Fatalf("%q hears %q", in, line)
			}
		}
		if c.Context().Err() != context.Canceled {
			t.Fatal("the context goes on")
		}
	})
}

// coreDouble says yes to everything, as go-smtp would in the simplest case.
type coreDouble struct {
	t *testing.T
	c *Conn
}

func (d *coreDouble) run() {
	p := make([]byte, bufferSize)
	for {
		n, err := d.c.Read(p)
		if err != nil {
			if err != io.EOF {
				d.t.Fatal(err)
			}
			return
		}
		line, ok := strings.CutSuffix(string(p[:n]), "\r\n")
		if !ok || strings.ContainsAny(line, "\r\n\x00\x7f") {
			d.t.Fatalf("handed %q", p[:n])
		}
		switch verb, _ := cutWord(line); verb {
		case "EHLO":
			io.WriteString(d.c, "250-Hello\r\n")
			io.WriteString(d.c, "250-DSN\r\n250 SMTPUTF8\r\n")
		case "HELO", "MAIL", "RCPT", "RSET":
			io.WriteString(d.c, "250 2.0.0 I'll make sure of that\r\n")
		case "AUTH":
			io.WriteString(d.c, "334 \r\n")
			if n, err := d.c.Read(p); err == nil {
				if s := strings.TrimSuffix(string(p[:n]), "\r\n"); s != "*" && !isBase64(s) {
					d.t.Fatalf("handed %q inside AUTH", s)
				}
				io.WriteString(d.c, "535 5.7.8 No\r\n")
			}
		case "DATA":
			io.WriteString(d.c, "354 Go ahead\r\n")
			_, err := io.Copy(io.Discard, d.c.Content())
			n, end := d.c.Read(p)
			if end != nil {
				return
			}
			if string(p[:n]) != ".\r\n" {
				d.t.Fatalf("handed %q after the message", p[:n])
			}
			if err != nil {
				io.WriteString(d.c, "550 5.6.0 No\r\n")
			} else {
				io.WriteString(d.c, "250 2.0.0 Ok\r\n")
			}
		default:
			d.t.Fatalf("handed %q", line)
		}
	}
}
