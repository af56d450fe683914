//go:build e2e

package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// What smarthost test prints can be pasted into a shell as it is.
func TestTestPrints(t *testing.T) {
	root := lab.Mount(t, layers(t, "commands", "base")...)
	lab.Bind(t, lab.Folder(), filepath.Join(root, lab.Folder()))
	h := lab.NewHost(t, root)
	for name, flags := range map[string][]string{"bare": nil, "files": {"--export", "/the files", "--user", "anna@example.org:it's$5"}} {
		screen, err := os.Create(filepath.Join(t.TempDir(), name))
		lab.Check(t, err)
		server := h.Command(append([]string{filepath.Join(lab.Folder(), "smarthost"), "test"}, flags...)...)
		server.Stdout = screen
		lab.Check(t, server.Start())
		var paste string
		lab.Await(t, "a screen", patience, func() bool {
			_, after, _ := strings.Cut(read(t, screen.Name()), "Send a mail:\n")
			paste, _, _ = strings.Cut(after, "\n\n")
			return paste != ""
		})
		said := h.Do(t, "sh", "-c", "cd /tmp && "+strings.TrimSpace(paste))
		if !strings.Contains(said, "250 2.0.0 queued as ") {
			t.Errorf("%s says\n%s", paste, said)
		}
		server.Process.Kill()
		server.Wait()
		screen.Close()
	}
}

// Programs that know nothing of the test server find it and trust it, by what smarthost test exec puts into their environment alone.
func TestTestExec(t *testing.T) {
	root := lab.Mount(t, layers(t, "commands", "base")...)
	lab.Bind(t, lab.Folder(), filepath.Join(root, lab.Folder()))
	h := lab.NewHost(t, root)
	for _, name := range []string{"app.py", "app.cjs", "tests.py"} {
		h.Write(t, filepath.Join("/job", name), read(t, filepath.Join("testdata", name)), 0o644)
	}
	h.Write(t, "/job/mail", "From: app@example.com\r\nSubject: Welcome\r\n\r\nYour code is 4711.\r\n", 0o644)
	exec := func(args ...string) (string, error) {
		out, err := h.Command(append([]string{"env", "--chdir=/job", "NODE_PATH=/usr/share/nodejs", filepath.Join(lab.Folder(), "smarthost"), "test", "exec"}, args...)...).CombinedOutput()
		return string(out), err
	}
	for name, command := range map[string]string{
		"smtplib":    "python3 app.py",
		"nodemailer": "node app.cjs",
		"curl": `curl --silent --show-error --ssl-reqd --user "$SMTP_USER:$SMTP_PASSWORD" --mail-from app@example.com --mail-rcpt bob@example.net ` +
			`--upload-file mail "smtp://$SMTP_HOST:$SMTP_PORT"`,
	} {
		if said, err := exec("--", "sh", "-c", command+" && python3 tests.py"); err != nil || !strings.Contains(said, "the mail has come") || strings.Contains(said, "smarthost test:") {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
	said, err := exec("--script", `[{"on":"handshake","do":{"certificate":"expired"}}]`, "--", "python3", "app.py")
	for _, want := range []string{"certificate has expired", "python3 has ended with exit code 1; 1 connection, 0 messages", "*: the TLS handshake failed"} {
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("with an expired certificate: %v, no %q in\n%s", err, want, said)
		}
	}
}
