//go:build e2e

package peers

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
type dialogue struct {
	net.Conn
	r *bufio.Reader
}

// dial connects, does STARTTLS and logs in.
func (s *smarthost) dial() (*dialogue, error) {
	d, err := s.dialTLS(net.Dialer{Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	login := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + s.Password))
	if _, err := d.say("AUTH PLAIN "+login, "235"); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// dialTLS is dial without the login.
func (s *smarthost) dialTLS(dialer net.Dialer) (*dialogue, error) {
	c, err := dialer.Dial("tcp", s.Submission)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	d := &dialogue{c, bufio.NewReader(c)}
	if err := d.tls(&tls.Config{RootCAs: s.CA, ServerName: hostname, CurvePreferences: []tls.CurveID{tls.X25519}}); err != nil {
		c.Close()
		return nil, err
	}
	return d, nil
}

func (d *dialogue) tls(config *tls.Config) error {
	if _, err := d.reply("220"); err != nil {
		return err
	}
	if _, err := d.say("EHLO client.test", "250"); err != nil {
		return err
	}
	if _, err := d.say("STARTTLS", "220"); err != nil {
		return err
	}
	c := tls.Client(d.Conn, config)
	if err := c.Handshake(); err != nil {
		return err
	}
	d.Conn, d.r = c, bufio.NewReaderSize(c, 4096)
	_, err := d.say("EHLO client.test", "250")
	return err
}

// say sends a line and takes a reply that begins with want.
func (d *dialogue) say(line, want string) (string, error) {
	if _, err := io.WriteString(d, line+"\r\n"); err != nil {
		return "", err
	}
	reply, err := d.reply(want)
	if err != nil {
		return reply, fmt.Errorf("%.60q: %w", line, err)
	}
	return reply, nil
}

func (d *dialogue) reply(want string) (string, error) {
	var all strings.Builder
	for {
		line, err := d.r.ReadString('\n')
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

// send sends one mail with DATA; content has CRLF line ends and is stuffed here. The last reply is returned.
func (d *dialogue) send(from, to, parameters string, content []byte, want string) (string, error) {
	for _, step := range [][2]string{{"MAIL FROM:<" + from + ">" + parameters, "250"}, {"RCPT TO:<" + to + ">", "250"}, {"DATA", "354"}} {
		if reply, err := d.say(step[0], step[1]); err != nil {
			return reply, err
		}
	}
	if _, err := d.Write(stuff(content)); err != nil {
		return "", err
	}
	return d.reply(want)
}

// stuff makes content ready for DATA, with the end of content (RFC 5321 §4.5.2).
func stuff(content []byte) []byte {
	text := strings.ReplaceAll("\r\n"+string(content), "\r\n.", "\r\n..")[2:]
	if !strings.HasSuffix(text, "\r\n") {
		text += "\r\n"
	}
	return []byte(text + ".\r\n")
}
