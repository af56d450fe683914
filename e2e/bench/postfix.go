package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startPostfix runs Debian's Postfix with Dovecot SASL from a folder of its own. Its settings are the package's, but for what
// a submission server needs, and for limits that would refuse the load.
func startPostfix(ctx context.Context, folder, next string) (*target, error) {
	for _, tool := range []string{"postfix", "dovecot"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w (apt-get install postfix dovecot-core)", err)
		}
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	for _, d := range []string{"etc", "queue/private", "data", "dovecot"} {
		if err := os.MkdirAll(filepath.Join(folder, d), 0o755); err != nil {
			return nil, err
		}
	}
	if err := writeCertificate(filepath.Join(folder, "etc", "tls.pem")); err != nil {
		return nil, err
	}
	if err := chown("postfix", filepath.Join(folder, "data"), filepath.Join(folder, "queue", "private")); err != nil {
		return nil, err
	}
	g, err := newGroup("postfix")
	if err != nil {
		return nil, err
	}
	dovecot, err := startDovecot(g, folder)
	if err != nil {
		return nil, err
	}
	postfix, err := startMaster(g, folder, addr, next)
	if err != nil {
		return nil, errors.Join(err, end(dovecot))
	}
	t := &target{name: "postfix", addr: addr, group: g, stop: func() error {
		return errors.Join(end(postfix), end(dovecot), g.remove())
	}}
	return t, waitListening(ctx, addr)
}

func startDovecot(g *group, folder string) (*exec.Cmd, error) {
	base := filepath.Join(folder, "dovecot")
	config := fmt.Sprintf(`protocols =
base_dir = %[1]s/run
log_path = %[1]s/log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
passdb {
  driver = passwd-file
  args = scheme=PLAIN %[1]s/users
}
service auth {
  unix_listener %[2]s/queue/private/auth {
    mode = 0666
  }
}
service anvil {
  chroot =
}
`, base, folder)
	if err := os.WriteFile(filepath.Join(base, "dovecot.conf"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(base, "users"), []byte(user+":{PLAIN}"+password+"\n"), 0o644); err != nil {
		return nil, err
	}
	cmd := g.command("dovecot", "-F", "-c", filepath.Join(base, "dovecot.conf"))
	return cmd, cmd.Start()
}

func startMaster(g *group, folder, addr, next string) (*exec.Cmd, error) {
	etc := filepath.Join(folder, "etc")
	host, port, _ := net.SplitHostPort(next)
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = bench.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
relayhost = [%[2]s]:%[3]s
smtp_tls_security_level = may
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = %[1]s/etc/tls.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_client_connection_count_limit = 0
default_process_limit = 250
`, folder, host, port)
	if err := os.WriteFile(filepath.Join(etc, "main.cf"), []byte(main), 0o644); err != nil {
		return nil, err
	}
	// Debian's master.cf, its services chrooted as they are there, with the submission port in place of 25.
	text, err := os.ReadFile("/usr/share/postfix/master.cf.dist")
	if err != nil {
		return nil, err
	}
	var services []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 7 && f[0] == "smtp" && f[1] == "inet" {
			f[0], f[4] = addr, "n"
			line = strings.Join(f, " ") + "\n"
		}
		services = append(services, line)
	}

	if err := os.WriteFile(filepath.Join(etc, "master.cf"), []byte(strings.Join(services, "")), 0o644); err != nil {
		return nil, err
	}
	cmd := g.command("postfix", "-c", etc, "start-fg")
	return cmd, cmd.Start()
}

// end stops a process in order and waits for it; that it was stopped is no error.
func end(cmd *exec.Cmd) error {
	cmd.Process.Signal(syscall.SIGTERM)
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

func chown(name string, paths ...string) error {
	out, err := exec.Command("chown", append([]string{name}, paths...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("chown %s %v: %w: %s", name, paths, err, out)
	}
	return nil
}

// waitListening returns when addr takes connections.
func waitListening(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w", addr, ctx.Err())
		}
	}
}

// writeCertificate makes key and certificate of the kind that smarthost makes for itself: ECDSA, P-256.
func writeCertificate(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench.example"}, DNSNames: []string{"bench.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	return os.WriteFile(path, text, 0o600)
}
