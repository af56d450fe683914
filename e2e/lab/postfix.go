//go:build e2e

package lab

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Who may log in at Postfix.
const (
	PostfixUser     = "smarthost"
	PostfixPassword = "upstream secret"
)

const mailboxUser = 5000

// A postfix is Debian's Postfix in a folder of its own: on port 25 for everyone, on port 587 with STARTTLS and a login
// against Dovecot. Mail for dest.test goes into one Maildir, whatever the local part.
type Postfix struct {
	folder string
}

// PostfixNames are the records under which it is found.
var PostfixNames = []string{
	"dest.test. 60 IN MX 10 mx.dest.test.",
	"mx.dest.test. 60 IN A 127.0.0.1",
	"relay.test. 60 IN A 127.0.0.1",
}

// StartPostfix runs until the test ends.
func StartPostfix(t *testing.T, ca *Authority) *Postfix {
	t.Helper()
	folder, err := os.MkdirTemp(Folder(), "postfix-")
	Check(t, err)
	p := &Postfix{folder: folder}
	Check(t, os.Chmod(folder, 0o755))
	for _, d := range []string{"etc", "queue", "queue/private", "data", "mail", "dovecot"} {
		Check(t, os.Mkdir(filepath.Join(folder, d), 0o755))
	}
	Command(t, "chown", "postfix", filepath.Join(folder, "data"), filepath.Join(folder, "queue", "private"))
	Check(t, os.Chown(filepath.Join(folder, "mail"), mailboxUser, mailboxUser))
	certificate, key := ca.Issue(t, filepath.Join(folder, "etc"), "mx.dest.test", "relay.test")
	chain, err := os.ReadFile(key)
	Check(t, err)
	text, err := os.ReadFile(certificate)
	Check(t, err)
	Check(t, os.WriteFile(filepath.Join(folder, "etc", "chain.pem"), append(chain, text...), 0o600))
	p.startDovecot(t)
	p.startMaster(t)
	return p
}

func (p *Postfix) startDovecot(t *testing.T) {
	t.Helper()
	base := filepath.Join(p.folder, "dovecot")
	Check(t, os.WriteFile(filepath.Join(base, "users"), []byte(PostfixUser+":{PLAIN}"+PostfixPassword+"\n"), 0o644))
	config := filepath.Join(base, "dovecot.conf")
	Check(t, os.WriteFile(config, fmt.Appendf(nil, `protocols =
base_dir = %[1]s/run
log_path = %[1]s/log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
passdb {
  driver = passwd-file
  args = %[1]s/users
}
service auth {
  unix_listener %[2]s/queue/private/auth {
    mode = 0666
  }
}
service anvil {
  chroot =
}
`, base, p.folder), 0o644))
	Run(t, "dovecot", "-F", "-c", config)
	Await(t, "Dovecot's socket", 20*time.Second, func() bool {
		c, err := net.Dial("unix", filepath.Join(p.folder, "queue/private/auth"))
		return err == nil && c.Close() == nil
	})
}

func (p *Postfix) startMaster(t *testing.T) {
	t.Helper()
	etc := filepath.Join(p.folder, "etc")
	Check(t, os.WriteFile(filepath.Join(etc, "main.cf"), fmt.Appendf(nil, `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.dest.test
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
smtputf8_enable = yes
message_size_limit = 104857600
virtual_mailbox_domains = dest.test
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:box/
virtual_mailbox_limit = 0
virtual_uid_maps = static:%[2]d
virtual_gid_maps = static:%[2]d
smtpd_tls_chain_files = %[1]s/etc/chain.pem
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
local_header_rewrite_clients =
message_drop_headers =
`, p.folder, mailboxUser), 0o644))
	dist, err := os.ReadFile("/usr/share/postfix/master.cf.dist")
	Check(t, err)
	var services strings.Builder
	for line := range strings.Lines(string(dist)) {
		f := strings.Fields(line)
		if len(f) < 8 || strings.HasPrefix(line, "#") || strings.HasPrefix(line, " ") {
			continue
		}
		f[4] = "n" // no chroot: names are asked of the test's DNS server
		services.WriteString(strings.Join(f, " ") + "\n")
	}
	services.WriteString("submission inet n - n - - smtpd\n -o smtpd_tls_security_level=encrypt\n -o smtpd_sasl_auth_enable=yes\n -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n")
	Check(t, os.WriteFile(filepath.Join(etc, "master.cf"), []byte(services.String()), 0o644))
	Run(t, "postfix", "-c", etc, "start-fg")
	// The master is in a session of its own, out of reach of a signal to the script that starts it.
	t.Cleanup(func() { Command(t, "postfix", "-c", etc, "stop") })
	for _, port := range []string{"25", "587"} {
		AwaitPort(t, "127.0.0.1:"+port)
	}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(p.folder, "log"))
			t.Logf("log of Postfix, its end:\n%s", text[max(0, len(text)-6000):])
		}
	})
}

// Mailbox returns the mails of the Maildir once there are n: without what Postfix has put on top.
func (p *Postfix) Mailbox(t *testing.T, n int) [][]byte {
	t.Helper()
	pattern := filepath.Join(p.folder, "mail/box/new/*")
	Await(t, fmt.Sprintf("%d mails in the Maildir", n), time.Minute, func() bool {
		all, _ := filepath.Glob(pattern)
		return len(all) >= n
	})
	files, err := filepath.Glob(pattern)
	Check(t, err)
	if len(files) > n {
		t.Errorf("%d mails in the Maildir, want %d", len(files), n)
	}
	var mails [][]byte
	for _, f := range files {
		text, err := os.ReadFile(f)
		Check(t, err)
		Check(t, os.Remove(f))
		// Return-Path, X-Original-To, Delivered-To and Postfix' own Received come first.
		for _, field := range []string{"Return-Path:", "X-Original-To:", "Delivered-To:", "Received:"} {
			if !bytes.HasPrefix(text, []byte(field)) {
				t.Fatalf("no %s on top of the mail in the Maildir: %.300q", field, text)
			}
			text = AfterField(text)
		}
		mails = append(mails, text)
	}
	return mails
}

// AfterField cuts off the first header field with its continuation lines.
func AfterField(text []byte) []byte {
	for {
		_, rest, found := bytes.Cut(text, []byte("\n"))
		if !found || len(rest) == 0 || (rest[0] != ' ' && rest[0] != '\t') {
			return rest
		}
		text = rest
	}
}
