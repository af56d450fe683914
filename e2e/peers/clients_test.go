//go:build e2e

package peers

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// TestClients sends with the clients that people have, through the binary, to Postfix: as a relay that wants a login, and as
// the MX that DNS names.
func TestClients(t *testing.T) {
	ca := lab.NewAuthority(t)
	lab.StartDNS(t, "127.0.0.1", lab.PostfixNames...)
	p := lab.StartPostfix(t, ca)
	for way, forward := range map[string]string{
		"relay": `relay = "smtp://smarthost:upstream%20secret@relay.test:587"` + "\n" + `ca = "` + ca.File + `"`,
		"MX":    "",
	} {
		t.Run(way, func(t *testing.T) {
			s := lab.NewSmarthost(t, forward+"\nallow_loopback = true")
			s.Start(t)
			for name, send := range map[string]func(*testing.T, *lab.Smarthost, string){
				"swaks, STARTTLS": swaks, "swaks, port 465": swaksImplicit, "curl": curl, "smtplib": smtplib,
			} {
				t.Run(name, func(t *testing.T) {
					text := "sent by " + name + " by way of " + way
					send(t, s, text)
					got := p.Mailbox(t, 1)[0]
					if !bytes.Contains(got, []byte(text)) || !bytes.HasPrefix(got, []byte("Received: ")) {
						t.Errorf("got %q", got)
					}
				})
			}
			s.Stop(t, clientStop)
		})
	}
}

func swaks(t *testing.T, s *lab.Smarthost, text string) {
	lab.Command(t, "swaks", "--server", s.Submission, "--tls", "--auth", "PLAIN", "--auth-user", lab.User, "--auth-password", s.Password,
		"--from", "alice@client.test", "--to", "bob@dest.test", "--body", text)
}

func swaksImplicit(t *testing.T, s *lab.Smarthost, text string) {
	lab.Command(t, "swaks", "--server", s.Submissions, "--tls-on-connect", "--auth", "LOGIN", "--auth-user", lab.User, "--auth-password", s.Password,
		"--from", "alice@client.test", "--to", "bob@dest.test", "--body", text)
}

func curl(t *testing.T, s *lab.Smarthost, text string) {
	file := filepath.Join(t.TempDir(), "mail")
	lab.Check(t, os.WriteFile(file, []byte("From: alice@client.test\r\nTo: bob@dest.test\r\nSubject: curl\r\n\r\n"+text+"\r\n"), 0o644))
	port := s.Submission[strings.LastIndexByte(s.Submission, ':')+1:]
	lab.Command(t, "curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", s.Authority.File, "--connect-to", "::"+s.Submission,
		"--user", lab.User+":"+s.Password, "--mail-from", "alice@client.test", "--mail-rcpt", "bob@dest.test", "--upload-file", file,
		"smtp://"+lab.Hostname+":"+port)
}

func smtplib(t *testing.T, s *lab.Smarthost, text string) {
	const program = `
import smtplib, ssl, sys
from email.message import EmailMessage
address, ca, user, password, text = sys.argv[1:]
host, port = address.split(":")
m = EmailMessage()
m["From"], m["To"], m["Subject"] = "alice@client.test", "bob@dest.test", "smtplib"
m.set_content(text)
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
with smtplib.SMTP(host, int(port)) as c:
    c.starttls(context=context)
    c.login(user, password)
    c.send_message(m)
`
	lab.Command(t, "/usr/bin/python3", "-c", program, s.Submission, s.Authority.File, lab.User, s.Password, text)
}
