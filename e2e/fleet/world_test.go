//go:build e2e

package fleet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const (
	sender    = "alice@client.test"
	recipient = "bob@dest.test"

	server4, laptop4 = "192.0.2.1", "192.0.2.2"
	server6, laptop6 = "2001:db8::1", "2001:db8::2"
)

// A world is one laptop, one server with its next hop, and the cable between them.
type world struct {
	laptop, relay *lab.Host
	server        *lab.Smarthost
	upstream      *lab.Sink
	ca            *lab.Authority
	certify       func(t *testing.T, from, until time.Time) // gives the server another certificate
	hiccup        func(t *testing.T) (heal func())          // keeps the server's accounts from answering

	folder string   // a place for the test's own files
	flags  []string // further ones of enroll
}

// newWorld makes a laptop with the root file system of e2e/roots named, and starts the server. submission is config text
// inside [submission]; names are further DNS records.
func newWorld(t *testing.T, root, submission string, names ...string) *world {
	t.Helper()
	w := newNetwork(t, root, "", names...)
	w.serve(t, submission)
	return w
}

// serve starts the server under test.
func (w *world) serve(t *testing.T, submission string) {
	t.Helper()
	w.server = lab.Install(t, lab.Options{Host: w.relay, Authority: w.ca, Submission: submission, Forward: `relay = "smtp://127.0.0.1:2525?tls=none"`})
	w.certify = func(t *testing.T, from, until time.Time) {
		w.ca.IssueFor(t, w.server.Folder, from, until, lab.Hostname)
		w.server.Reload(t)
	}
	w.hiccup = func(t *testing.T) func() { return hanging(t, w, client{}) }
	w.server.Start(t)
}

// newNetwork is newWorld without a server. relayRoot is the root file system of the machine for it, "" is the test program's.
func newNetwork(t *testing.T, root, relayRoot string, names ...string) *world {
	t.Helper()
	w := &world{folder: t.TempDir(), ca: lab.NewAuthority(t)}
	w.laptop = lab.NewHost(t, lab.Layers(t, root))
	if relayRoot != "" {
		relayRoot = lab.Layers(t, relayRoot)
	}
	w.relay = lab.NewHost(t, relayRoot)
	lab.Connect(t, w.laptop, []string{laptop4 + "/24", laptop6 + "/64"}, w.relay, []string{server4 + "/24", server6 + "/64"})
	// A kernel that gives up after seconds, so that nobody waits for minutes: what programs see is the same ETIMEDOUT.
	w.laptop.Sysctl(t, "net.ipv4.tcp_syn_retries=1", "net.ipv4.tcp_retries2=2")
	w.laptop.Write(t, "/etc/resolv.conf", "nameserver "+server4+"\noptions timeout:1 attempts:2\n", 0o644)
	w.trust(t)
	w.relay.In(t, func() {
		lab.StartDNS(t, server4, append([]string{"smarthost.test. 1 IN A " + server4, "laptop.test. 1 IN A " + laptop4, "client.test. 1 IN A " + laptop4}, names...)...)
		w.upstream = lab.StartSink(t, "127.0.0.1:2525", false)
	})
	return w
}

// trust adds the world's authority to those that the laptop's programs trust, as a public one would be.
func (w *world) trust(t *testing.T) {
	t.Helper()
	ours, err := os.ReadFile(w.ca.File)
	lab.Check(t, err)
	w.laptop.Write(t, "/usr/local/share/ca-certificates/test.crt", string(ours), 0o644)
	all := filepath.Join(w.laptop.Root, "/etc/ssl/certs/ca-certificates.crt")
	text, err := os.ReadFile(all)
	lab.Check(t, err)
	lab.Check(t, os.WriteFile(all, append(text, ours...), 0o644))
}

// enroll gives the laptop the configuration that the server's operator is given for this kind of client.
func (w *world) enroll(t *testing.T, client string) {
	t.Helper()
	out := w.printed(t, client)
	cmd := w.laptop.Command("sh", "-e")
	cmd.Stdin = strings.NewReader(out)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the script of enroll %s: %v\n%s\n%s", client, err, said, out)
	}
}

// setClock gives the laptop's programs another time, in the words of libfaketime: "@2001-02-03 04:05:06", "+0 x60". "" is the
// true time again. Programs that run see it after some seconds.
func (w *world) setClock(t *testing.T, clock string) {
	t.Helper()
	const preload = "/etc/ld.so.preload"
	if clock == "" {
		lab.Check(t, os.Remove(filepath.Join(w.laptop.Root, preload)))
		return
	}
	w.laptop.Write(t, "/etc/faketimerc", clock+"\n", 0o644)
	w.laptop.Write(t, preload, "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1\n", 0o644)
}

// printed is what enroll prints: a script, or the text of a program.
func (w *world) printed(t *testing.T, client string) string {
	t.Helper()
	out, err := w.server.Command(append([]string{"enroll", client, "--user", lab.User, "--from", sender}, w.flags...)...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("enroll %s: %v: %s", client, err, exit.Stderr)
	}
	lab.Check(t, err)
	return string(out)
}

// A result is how a command ended that a person or a program on the laptop has called.
type result struct {
	code int
	text string
}

// run calls a program on the laptop with standard input.
func (w *world) run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	cmd := w.laptop.Command(args...)
	cmd.Stdin = strings.NewReader(stdin)
	code, text := lab.Exit(t, cmd)
	return result{code, text}
}

// daemon starts a program that stays until the test ends. What it says is part of what seen returns.
func (w *world) daemon(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(w.folder, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	lab.Check(t, err)
	cmd := w.laptop.Command(args...)
	cmd.Stdout, cmd.Stderr = log, log
	lab.Check(t, cmd.Start())
	lab.Check(t, log.Close())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// seen is everything that the laptop's programs have logged: to syslog, to standard error and to files.
func (w *world) seen(files ...string) string {
	text := w.laptop.Log()
	for _, f := range append([]string{filepath.Join(w.folder, "daemon.log")}, files...) {
		if f[0] == '/' && !strings.HasPrefix(f, w.folder) {
			f = filepath.Join(w.laptop.Root, f)
		}
		more, _ := os.ReadFile(f) // not there yet: nothing was logged
		text += string(more)
	}
	return text
}

// arrived tells how many copies of a mail have come to the next hop.
func (w *world) arrived(id string) (n int) {
	for _, m := range w.upstream.Peek() {
		if strings.Contains(string(m.Content), "Subject: "+id+"\r\n") && m.From != "" {
			n++
		}
	}
	return n
}

// mail is a message of a laptop's user, with its id as subject; it is long enough to be stopped in the middle.
func mail(id string) string {
	return fmt.Sprintf("Date: Tue, 24 Nov 2026 10:00:00 +0000\nFrom: %s\nTo: %s\nMessage-ID: <%s@client.test>\nSubject: %[3]s\n\n%[4]s", sender, recipient, id, strings.Repeat("Hello Bob, how are you? I am well and hope the same of you.\n", 1000))
}

// patience is how long something may take that takes seconds, on a machine that does much else.
const patience = 60 * time.Second
