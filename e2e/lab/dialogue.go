//go:build e2e

package lab

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A dialogue is a conversation of a client that sends exactly what it is told to.
type Dialogue struct {
	net.Conn
	R *bufio.Reader
}

// Dial connects, does STARTTLS and logs in.
func (s *Smarthost) Dial() (*Dialogue, error) {
	d, err := s.DialTLS(net.Dialer{Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	if err := s.login(d); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Begin is Dial on a connection that there is, from the greeting on.
func (s *Smarthost) Begin(d *Dialogue) error {
	if err := d.tls(s.clientTLS()); err != nil {
		return err
	}
	return s.login(d)
}

func (s *Smarthost) login(d *Dialogue) error {
	_, err := d.Say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+User+"\x00"+s.Password)), "235")
	return err
}

func (s *Smarthost) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: s.CA, ServerName: Hostname, CurvePreferences: []tls.CurveID{tls.X25519}}
}

// DialTLS is Dial without the login.
func (s *Smarthost) DialTLS(dialer net.Dialer) (*Dialogue, error) {
	c, err := dialer.Dial("tcp", s.Submission)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	d := &Dialogue{c, bufio.NewReader(c)}
	if err := d.tls(s.clientTLS()); err != nil {
		c.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dialogue) tls(config *tls.Config) error {
	if _, err := d.Reply("220"); err != nil {
		return err
	}
	if _, err := d.Say("EHLO client.test", "250"); err != nil {
		return err
	}
	if _, err := d.Say("STARTTLS", "220"); err != nil {
		return err
	}
	c := tls.Client(d.Conn, config)
	if err := c.Handshake(); err != nil {
		return err
	}
	d.Conn, d.R = c, bufio.NewReaderSize(c, 4096)
	_, err := d.Say("EHLO client.test", "250")
	return err
}

// Say sends a line and takes a reply that begins with want.
func (d *Dialogue) Say(line, want string) (string, error) {
	if _, err := io.WriteString(d, line+"\r\n"); err != nil {
		return "", err
	}
	reply, err := d.Reply(want)
	if err != nil {
		return reply, fmt.Errorf("%.60q: %w", line, err)
	}
	return reply, nil
}

// Reply takes a reply that begins with want.
func (d *Dialogue) Reply(want string) (string, error) {
	var all strings.Builder
	for {
		line, err := d.R.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			return all.String(), err
		}
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	if !strings.HasPrefix(all.String(), want) {
		return all.String(), fmt.Errorf("got %q, want %s", all.String(), want)
	}
	return all.String(), nil
}

// Send sends one mail with DATA; content has CRLF line ends and is stuffed here. The last reply is returned.
func (d *Dialogue) Send(from, to, parameters string, content []byte, want string) (string, error) {
	for _, step := range [][2]string{{"MAIL FROM:<" + from + ">" + parameters, "250"}, {"RCPT TO:<" + to + ">", "250"}, {"DATA", "354"}} {
		if reply, err := d.Say(step[0], step[1]); err != nil {
			return reply, err
		}
	}
	if _, err := d.Write(Stuff(content)); err != nil {
		return "", err
	}
	return d.Reply(want)
}

// Stuff makes content ready for DATA, with the end of content (RFC 5321 §4.5.2).
func Stuff(content []byte) []byte {
	text := strings.ReplaceAll("\r\n"+string(content), "\r\n.", "\r\n..")[2:]
	if !strings.HasSuffix(text, "\r\n") {
		text += "\r\n"
	}
	return []byte(text + ".\r\n")
}
