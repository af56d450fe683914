//go:build e2e

package double

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/seed-1397b510/smarthost/e2e/lab"
	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// patience is how many seconds a client waits for a server that says nothing.
const patience = 3

const sender = "app@example.com"

// text is the mail of clients that are given one. The others make theirs as their documentation shows.
const text = "From: app@example.com\r\nTo: bob@example.net\r\nSubject: Reset your password\r\n\r\nYour code is 471100.\r\n"

// A target is a server as a client is told of it.
type target struct {
	*smarthosttest.Server
	t          *testing.T
	guest      *lab.Guest
	host, port string
	to         []string
	id         string // of the mail, the same at each call; "": it is left to the client
}

// letter is the text, with its id.
func (x target) letter() string {
	if x.id == "" {
		return text
	}
	return "Message-ID: <" + x.id + ">\r\n" + text
}

// A client sends one mail, and tells its caller.
type client struct {
	name string
	send func(x target) (code int, words string)
}

var clients = []client{
	{"Go net/smtp", inGo(netSMTP)},
	{"go-mail", inGo(goMail)},
	{"nodemailer", program("send.cjs", "env", "NODE_PATH=/usr/share/nodejs", "node")},
	{"smtplib", program("send.py", "python3")},
	{"curl", curl},
	{"swaks", swaks},
	{"msmtp", msmtp},
}

// inGo is a Go package, called as a test calls it.
func inGo(send func(target) error) func(target) (int, string) {
	return func(x target) (int, string) {
		if err := send(x); err != nil {
			return 1, err.Error()
		}
		return 0, ""
	}
}

func netSMTP(x target) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(x.host, x.port), patience*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience * time.Second)); err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, x.host)
	if err != nil {
		return err
	}
	config := x.ClientTLS()
	config.ServerName = x.host
	if err := c.StartTLS(config); err != nil {
		return err
	}
	if err := c.Auth(smtp.PlainAuth("", smarthosttest.DefaultUser.Name, smarthosttest.DefaultUser.Password, x.host)); err != nil {
		return err
	}
	if err := c.Mail(sender); err != nil {
		return err
	}
	for _, to := range x.to {
		if err := c.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, x.letter()); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

func goMail(x target) error {
	message := mail.NewMsg()
	if err := message.From(sender); err != nil {
		return err
	}
	if err := message.To(x.to...); err != nil {
		return err
	}
	if x.id != "" {
		message.SetMessageIDWithValue(x.id)
	}
	message.Subject("Reset your password")
	message.SetBodyString(mail.TypeTextPlain, "Your code is 471100.\r\n")
	port, err := strconv.Atoi(x.port)
	if err != nil {
		return err
	}
	config := x.ClientTLS()
	config.ServerName = x.host
	left := new(connection)
	client, err := mail.NewClient(x.host, mail.WithDialContextFunc(left.dial), mail.WithPort(port), mail.WithTimeout(patience*time.Second), mail.WithTLSConfig(config), mail.WithHELO("client.test"),
		mail.WithSMTPAuth(mail.SMTPAuthPlain), mail.WithUsername(smarthosttest.DefaultUser.Name), mail.WithPassword(smarthosttest.DefaultUser.Password),
		mail.WithTLSPolicy(mail.TLSMandatory))
	if err != nil {
		return err
	}
	err = client.DialAndSend(message)
	if left.end() && err != nil {
		return fmt.Errorf("%w; it leaves the connection open", err)
	}
	return err
}

// A connection is one of which it is to be known whether its user closes it.
type connection struct {
	net.Conn
	closed bool
}

func (c *connection) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var err error
	if c.Conn, err = new(net.Dialer).DialContext(ctx, network, address); err != nil {
		return nil, err
	}
	return c, nil
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.closed = true
	return c.Conn.Close()
}

// end closes the connection if nobody did, and tells so.
func (c *connection) end() (was bool) {
	if c.Conn == nil || c.closed {
		return false
	}
	c.Close()
	return true
}

// run calls a program of Debian's with the environment that the double has for child processes.
func (x target) run(stdin string, args ...string) (int, string) {
	x.t.Helper()
	environment := append(x.Env(smarthosttest.DefaultUser.Name), "SMTP_HOST="+x.host, "SMTP_TIMEOUT="+strconv.Itoa(patience), "MESSAGE_ID="+x.id)
	cmd := x.guest.Command(environment, append([]string{"timeout", stuckAfter}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	code, words := lab.Exit(x.t, cmd)
	if code == stuck {
		words = strings.TrimSpace(words + "\nit waits for longer than it was told to")
	}
	return code, words
}

// stuck is the exit code of coreutils' timeout when it had to end the program.
const stuck = 124

// stuckAfter is when it does, in seconds. A program that does not hang may take long to begin on a busy machine.
const stuckAfter = "20"

// program is a script in testdata that an interpreter runs.
func program(script string, interpreter ...string) func(target) (int, string) {
	return func(x target) (int, string) {
		text, err := os.ReadFile(filepath.Join("testdata", script))
		lab.Check(x.t, err)
		path := filepath.Join(x.t.TempDir(), script)
		lab.Check(x.t, os.WriteFile(path, text, 0o644))
		return x.run("", append(append(append([]string{}, interpreter...), path), x.to...)...)
	}
}

func curl(x target) (int, string) {
	args := []string{"curl", "--silent", "--show-error", "--ssl-reqd", "--max-time", strconv.Itoa(patience), "--url", "smtp://" + net.JoinHostPort(x.host, x.port),
		"--user", smarthosttest.DefaultUser.Name + ":" + smarthosttest.DefaultUser.Password, "--mail-from", sender, "--upload-file", "-"}
	for _, to := range x.to {
		args = append(args, "--mail-rcpt", to)
	}
	return x.run(x.letter(), args...)
}

func (x target) ca() string {
	file, err := x.CAFile()
	lab.Check(x.t, err)
	return file
}

func swaks(x target) (int, string) {
	args := []string{"swaks", "--server", x.host, "--port", x.port, "--timeout", strconv.Itoa(patience), "--tls", "--tls-verify", "--tls-ca-path", x.ca(),
		"--auth", "PLAIN", "--auth-user", smarthosttest.DefaultUser.Name, "--auth-password", smarthosttest.DefaultUser.Password, "--from", sender, "--to", strings.Join(x.to, ",")}
	if x.id != "" {
		args = append(args, "--h-Message-Id", "<"+x.id+">")
	}
	return x.run("", args...)
}

func msmtp(x target) (int, string) {
	return x.run(x.letter(), append([]string{"msmtp", "--host=" + x.host, "--port=" + x.port, "--timeout=" + strconv.Itoa(patience), "--tls=on", "--tls-starttls=on", "--tls-trust-file=" + x.ca(),
		"--auth=on", "--user=" + smarthosttest.DefaultUser.Name, "--passwordeval=echo " + smarthosttest.DefaultUser.Password, "--from=" + sender, "--"}, x.to...)...)
}
