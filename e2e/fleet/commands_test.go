//go:build e2e

package fleet

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
	_ "github.com/wneessen/go-mail" // the program of enroll go-mail is built with it
)

// Clients without a queue: whoever calls them is told, and has to try again.
var commands = []client{
	command("msmtp", "commands", "msmtp", "msmtp", recipient),
	command("sSMTP", "ssmtp", "ssmtp", "ssmtp", recipient),
	command("swaks", "commands", "swaks", "swaks", "--config", "/root/.config/smarthost/swaksrc", "--to", recipient, "--data", "-"),
	command("curl", "commands", "curl", "curl", "--config", "/root/.config/smarthost/curlrc", "--mail-rcpt", recipient, "--upload-file", "-"),
	snail(),
	gitSendEmail(),
	program("Python smtplib", "smtplib", "/root/send.py", "python3", "/root/send.py", recipient),
	program("nodemailer", "nodemailer", "/root/send.cjs", "env", "NODE_PATH=/usr/share/nodejs", "node", "/root/send.cjs", recipient),
	goProgram("Go net/smtp", "go"),
	goProgram("go-mail", "go-mail"),
}

// command is a program that is called with a mail on its standard input; enroll names its configuration.
func command(name, root, enroll string, args ...string) client {
	return client{
		name: name, root: root,
		setup: func(t *testing.T, w *world) { w.enroll(t, enroll) },
		send:  func(t *testing.T, w *world, id string) result { return w.run(t, mail(id), args...) },
	}
}

// snail writes a header of its own around a text, at each call with a new Message-ID.
func snail() client {
	c := command("s-nail", "commands", "s-nail")
	c.anew = true
	c.send = func(t *testing.T, w *world, id string) result {
		_, text, _ := strings.Cut(mail(id), "\n\n")
		return w.run(t, text, "env", "MAILRC=/root/.config/smarthost/mailrc", "s-nail", "-s", id, recipient)
	}
	return c
}

// gitSendEmail reads the mail from a file and puts a Date of its own into it.
func gitSendEmail() client {
	const patch = "/root/0001.patch"
	c := command("git send-email", "commands", "git")
	c.send = func(t *testing.T, w *world, id string) result {
		w.laptop.Write(t, patch, mail(id), 0o644)
		return w.run(t, "", "git", "send-email", "--quiet", "--confirm=never", "--to", recipient, patch)
	}
	return c
}

// program is one whose text enroll prints.
func program(name, enroll, path string, args ...string) client {
	c := command(name, "commands", enroll, args...)
	c.setup = func(t *testing.T, w *world) { w.laptop.Write(t, path, w.printed(t, enroll), 0o700) }
	return c
}

// goProgram is the program of enroll, built outside of the laptop. Such a program asks the kernel itself for the time, out of
// libfaketime's reach: so it is told by a line of ours where the laptop's clock stands.
func goProgram(name, enroll string) client {
	c := command(name, "commands", enroll, "/root/send", recipient)
	c.setup = func(t *testing.T, w *world) {
		text := w.printed(t, enroll)
		const config = "&tls.Config{"
		if strings.Count(text, config) != 1 {
			t.Fatalf("enroll %s makes no tls.Config, or more than one:\n%s", enroll, text)
		}
		send, clock := filepath.Join(w.folder, "send.go"), filepath.Join(w.folder, "clock.go")
		lab.Check(t, os.WriteFile(send, []byte(strings.Replace(text, config, config+"Time: laptopsTime, ", 1)), 0o600))
		lab.Check(t, os.WriteFile(clock, []byte(laptopsTime), 0o600))
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(w.laptop.Root, "root/send"), send, clock)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build the program of enroll %s: %v\n%s", enroll, err, bytes.TrimSpace(said))
		}
	}
	return c
}

// TestOwnAuthority sends through a server whose certificate is from an authority that the laptop knows from its enrolment alone.
func TestOwnAuthority(t *testing.T) {
	for _, port := range []string{"587", "465"} {
		for _, c := range slices.Concat(queueing, commands, services) {
			t.Run(port+"/"+strings.ReplaceAll(c.name, "/", " "), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, c.root, "")
				w.laptop.Write(t, "/etc/ssl/certs/ca-certificates.crt", "", 0o644)
				w.laptop.Do(t, "rm", "-r", "/usr/local/share/ca-certificates") // update-ca-certificates would bring it back
				w.flags = []string{"--port", port, "--ca", w.ca.File}
				c.setup(t, w)
				if said := c.send(t, w, "hello"); said.code != 0 {
					t.Errorf("exit code %d: %s", said.code, said.text)
					return
				}
				lab.Await(t, "the mail at the next hop", patience, func() bool { return w.arrived("hello") == 1 })
			})
		}
	}
}

// laptopsTime reads what libfaketime would read, and when it would.
const laptopsTime = `package main

import (
	"os"
	"strings"
	"time"
)

func laptopsTime() time.Time {
	if _, err := os.Stat("/etc/ld.so.preload"); err != nil {
		return time.Now()
	}
	text, err := os.ReadFile("/etc/faketimerc")
	if err != nil {
		panic(err)
	}
	now, err := time.Parse("@2006-01-02 15:04:05", strings.TrimSpace(string(text)))
	if err != nil {
		panic(err)
	}
	return now
}
`
