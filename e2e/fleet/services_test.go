//go:build e2e

package fleet

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Services: what enroll prints for those who run programs, taken as they take it. Only systemd tries again by itself.
var services = []client{
	systemdUnit(),
	service("Kubernetes Secret, smtplib", podOf, "python3", "/srv/pod.py", "/srv/secret.yaml", "python3", "/srv/send.py", recipient),
	service("docker compose, smtplib", containerOf, "unshare", "--mount", "python3", "/srv/container.py", "/srv/config.yaml", "python3", "/srv/send.py", recipient),
	service(".env, curl", dotEnv, "sh", "-c", sourced+`exec curl -sS --ssl-reqd --cacert "$SMTP_CA_FILE" --url "$SMTP_URL" --mail-from "$SMTP_FROM" --mail-rcpt `+recipient+` --crlf --upload-file -`),
	typed(),
}

// service is a program that is called with a mail on its standard input.
func service(name string, configure setup, args ...string) client {
	return client{
		name: name, root: "service", setup: configure,
		send: func(t *testing.T, w *world, id string) result { return w.run(t, mail(id), args...) },
	}
}

// copyTo gives the laptop a file of testdata.
func (w *world) copyTo(t *testing.T, folder, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	w.laptop.Write(t, filepath.Join(folder, name), string(text), 0o644)
}

// podOf is a pod with the Secret.
func podOf(t *testing.T, w *world) {
	w.copyTo(t, "/srv", "send.py")
	w.copyTo(t, "/srv", "pod.py")
	w.laptop.Write(t, "/srv/secret.yaml", w.printed(t, "kubernetes"), 0o600)
}

// containerOf is a project of docker compose, merged with the enrolled file.
func containerOf(t *testing.T, w *world) {
	w.copyTo(t, "/srv", "send.py")
	w.copyTo(t, "/srv", "container.py")
	w.laptop.Write(t, "/srv/app/compose.yaml", "services:\n  app:\n    image: app\n", 0o644)
	if said := w.run(t, w.printed(t, "compose"), "env", "--chdir=/srv/app", "sh", "-e"); said.code != 0 {
		t.Fatalf("the script of enroll compose: exit code %d: %s", said.code, said.text)
	}
	w.laptop.Do(t, "sh", "-c", "docker-compose --project-directory /srv/app -f /srv/app/compose.yaml -f /srv/app/compose.smarthost.yaml config >/srv/config.yaml")
}

// sourced is how a shell reads a .env file.
const sourced = "set -a; . /srv/smarthost.env; "

// dotEnv puts the file in place, and the certificate that it may bring, and asks another reader of such files what it reads.
func dotEnv(t *testing.T, w *world) {
	text := w.printed(t, "env")
	w.laptop.Write(t, "/srv/smarthost.env", text, 0o600)
	if at := strings.Index(text, "# -----BEGIN"); at >= 0 {
		w.laptop.Write(t, "/etc/smarthost/ca.pem", strings.ReplaceAll(text[at:], "# ", ""), 0o644)
	}
	const compare = `
import os, sys, dotenv
read = dotenv.dotenv_values("/srv/smarthost.env")
shell = {k: v for k, v in os.environ.items() if k.startswith("SMTP_")}
sys.exit(None if read == shell and "SMTP_PASSWORD" in read else f"dotenv reads {read}, the shell {shell}")
`
	w.laptop.Write(t, "/srv/compare.py", compare, 0o644)
	w.laptop.Do(t, "sh", "-c", sourced+"exec python3 /srv/compare.py")
}

// typed is a person who types into a mail program what the text says; the mail program is swaks.
func typed() client {
	c := client{name: "typed in, swaks", root: "commands", setup: func(t *testing.T, w *world) {
		text := w.printed(t, "mail")
		field := func(label string) string {
			m := regexp.MustCompile(`(?m)^ {4}` + regexp.QuoteMeta(label) + ` {2,}(.+)$`).FindStringSubmatch(text)
			if m == nil {
				t.Fatalf("enroll mail names no %q:\n%s", label, text)
			}
			return m[1]
		}
		security, known := map[string]string{"STARTTLS": "--tls", "SSL/TLS": "--tls-on-connect"}[field("Connection security")]
		if !known || field("Authentication") != "normal password" {
			t.Fatalf("enroll mail names a security or an authentication that mail programs do not:\n%s", text)
		}
		lines := []string{security, "--tls-verify", "--auth PLAIN", "--auth-hide-password", "--server " + field("Server name"), "--port " + field("Port"),
			"--auth-user " + field("User name"), "--auth-password " + field("Password"), "--from " + field("Your address")}
		if at := strings.Index(text, "-----BEGIN"); at >= 0 {
			w.laptop.Write(t, "/root/smarthost-ca.pem", text[at:], 0o644)
			lines = append(lines, "--tls-ca-path /root/smarthost-ca.pem")
		}
		w.laptop.Write(t, "/root/swaksrc", strings.Join(lines, "\n")+"\n", 0o600)
	}}
	c.send = func(t *testing.T, w *world, id string) result {
		return w.run(t, mail(id), "swaks", "--config", "/root/swaksrc", "--to", recipient, "--data", "-")
	}
	return c
}
