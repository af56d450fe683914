//go:build e2e

package doctor

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

const (
	server4, laptop4 = "192.0.2.1", "192.0.2.2"
	server6, laptop6 = "2001:db8::1", "2001:db8::2"

	password = "secret-of-alice" // where the server is not ours
)

// A world is what a script finds: a server that runs, and a laptop on which "doctor" is a command.
type world struct {
	laptop, server *lab.Host
	ca             *lab.Authority
	password       string
	more           map[string]*exec.Cmd // further commands
}

// TestDoctor runs the script of each server.
func TestDoctor(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *world{
		"ours":                ours,
		"dead_ipv6":           deadIPv6,
		"certificate_expired": func(t *testing.T) *world { return certified(t, -30*24*time.Hour, -73*time.Hour) },
		"certificate_not_yet": func(t *testing.T) *world { return certified(t, 73*time.Hour, 90*24*time.Hour) },
		"exim":                func(t *testing.T) *world { return exim(t, "") },
		"exim_auth_in_clear":  func(t *testing.T) *world { return exim(t, "AUTH_SERVER_ALLOW_NOTLS_PASSWORDS = yes\n") },
		"postfix":             postfix,
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			testscript.Run(t, testscript.Params{
				Files:               []string{filepath.Join("testdata", name+".txt")},
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
				Setup:               func(env *testscript.Env) error { return w.furnish(env) },
			})
		})
	}
}

// furnish puts the commands, the authority and the password into a script's folder.
func (w *world) furnish(env *testscript.Env) error {
	bin := filepath.Join(env.WorkDir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	commands := map[string]*exec.Cmd{"doctor": w.laptop.Command(lab.Binary(), "doctor")}
	for name, cmd := range w.more {
		commands[name] = cmd
	}
	for name, cmd := range commands {
		text := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", strings.Join(cmd.Args, " "))
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
	env.Setenv("CA", w.ca.File)
	return os.WriteFile(filepath.Join(env.WorkDir, "password"), []byte(w.password+"\n"), 0o600)
}

// newWorld lays the cable between a laptop and the machine for a server, which has that root file system ("": the test
// program's). Both have a DNS server with the records.
func newWorld(t *testing.T, root string, records ...string) *world {
	t.Helper()
	w := &world{laptop: lab.NewHost(t, ""), server: lab.NewHost(t, root), ca: lab.NewAuthority(t), password: password}
	lab.Connect(t, w.laptop, []string{laptop4 + "/24", laptop6 + "/64"}, w.server, []string{server4 + "/24", server6 + "/64"})
	records = append(records, lab.Hostname+". 60 IN A "+server4, "dest.test. 60 IN A "+server4, "client.test. 60 IN A "+laptop4)
	w.laptop.In(t, func() { lab.StartDNS(t, "127.0.0.1", records...) })
	w.server.In(t, func() {
		lab.StartDNS(t, server4, records...)
		lab.StartDNS(t, "127.0.0.1", records...)
	})
	return w
}

var hasIPv6 = lab.Hostname + ". 60 IN AAAA " + server6

// ours is the server under test, with a next hop that takes all.
func ours(t *testing.T) *world {
	w := newWorld(t, "", hasIPv6)
	w.server.In(t, func() { lab.StartSink(t, "127.0.0.1:2525", false) })
	s := w.serve(t)
	w.more = map[string]*exec.Cmd{"doctor-beside": w.server.Command(lab.Binary(), "doctor", "--config", s.Config)}
	return w
}

func (w *world) serve(t *testing.T) *lab.Smarthost {
	t.Helper()
	s := lab.Install(t, lab.Options{Host: w.server, Authority: w.ca, Forward: `relay = "smtp://127.0.0.1:2525?tls=none"`})
	s.Start(t)
	w.password = s.Password
	return s
}

// deadIPv6 is a server whose AAAA record leads to packets that nobody answers.
func deadIPv6(t *testing.T) *world {
	w := newWorld(t, "", hasIPv6)
	w.serve(t)
	w.server.Firewall(t, "chain in { type filter hook input priority 0; meta nfproto ipv6 tcp dport { 465, 587 } drop; }")
	return w
}

// certified is a server whose certificate is good for another time.
func certified(t *testing.T, from, until time.Duration) *world {
	w := newWorld(t, "")
	s := w.serve(t)
	w.ca.IssueFor(t, s.Folder, time.Now().Add(from), time.Now().Add(until), lab.Hostname)
	s.Reload(t)
	return w
}

// exim is Debian's Exim as an internet site, with TLS and AUTH switched on as its own comments say.
func exim(t *testing.T, macros string) *world {
	layers := os.Getenv("SMARTHOST_E2E_LAYERS")
	if layers == "" {
		t.Fatal("SMARTHOST_E2E_LAYERS does not name the folder with Exim's root file system; e2e/run makes it and sets it")
	}
	w := newWorld(t, lab.Mount(t, filepath.Join(layers, "exim4"), filepath.Join(layers, "base")), hasIPv6)
	w.server.Write(t, "/etc/resolv.conf", "nameserver "+server4+"\noptions timeout:1 attempts:1\n", 0o644)
	w.server.Write(t, "/etc/exim4/update-exim4.conf.conf", `dc_eximconfig_configtype='internet'
dc_other_hostnames='`+lab.Hostname+`'
dc_local_interfaces=''
dc_relay_nets=''
dc_use_split_config='false'
dc_localdelivery='mail_spool'
CFILEMODE='644'
`, 0o644)
	w.server.Write(t, "/etc/exim4/exim4.conf.localmacros", "MAIN_TLS_ENABLE = yes\ntls_on_connect_ports = 465\nMAIN_HARDCODE_PRIMARY_HOSTNAME = "+lab.Hostname+"\n"+macros, 0o644)
	w.server.Write(t, "/etc/exim4/passwd", fmt.Sprintf("%s:{sha1}%x\n", lab.User, sha1.Sum([]byte(password))), 0o644)
	folder := t.TempDir()
	certificate, key := w.ca.Issue(t, folder, lab.Hostname)
	for from, to := range map[string]string{certificate: "/etc/exim4/exim.crt", key: "/etc/exim4/exim.key"} {
		text, err := os.ReadFile(from)
		lab.Check(t, err)
		w.server.Write(t, to, string(text), 0o644)
	}
	w.server.Do(t, "sed", "-i", "-e", "/^# plain_server:/,/^#   .endif/s/^# //", "-e", "/^# login_server:/,/^#   .endif/s/^# //", "/etc/exim4/exim4.conf.template")
	w.server.Do(t, "update-exim4.conf")
	cmd := w.server.Command("/usr/sbin/exim4", "-bdf", "-oX", "587:465", "-oP", "/run/exim4.pid")
	lab.Check(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(w.server.Root, "/var/log/exim4/mainlog"))
			t.Logf("log of Exim:\n%s", log)
		}
	})
	w.laptop.In(t, func() {
		lab.Await(t, "Exim", 30*time.Second, func() bool {
			c, err := net.Dial("tcp", server4+":587")
			return err == nil && c.Close() == nil
		})
	})
	return w
}

// postfix is Debian's Postfix with Dovecot, beside the test program.
func postfix(t *testing.T) *world {
	w := &world{ca: lab.NewAuthority(t), password: "upstream secret"} // of the user "smarthost"
	lab.StartDNS(t, "127.0.0.1", append(lab.PostfixNames, "client.test. 60 IN A 127.0.0.1")...)
	lab.StartPostfix(t, w.ca)
	return w
}

// A buffer takes what a program says while it runs.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestInterrupt: SIGINT in the middle of a wait ends it at once, with what was found.
func TestInterrupt(t *testing.T) {
	w := newWorld(t, "")
	w.server.Firewall(t, "chain in { type filter hook input priority 0; tcp dport { 465, 587 } drop; }")
	cmd := w.laptop.Command(lab.Binary(), "doctor", lab.Hostname)
	var out, progress buffer
	cmd.Stdout, cmd.Stderr = &out, &progress
	lab.Check(t, cmd.Start())
	defer cmd.Process.Kill()
	lab.Await(t, "a word about what takes so long", 20*time.Second, func() bool { return strings.Contains(progress.String(), "… port ") })
	start := time.Now()
	lab.Check(t, cmd.Process.Signal(syscall.SIGINT))
	cmd.Wait()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it ended %v after SIGINT", took)
	}
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"name: smarthost.test is at 192.0.2.1", "stopped before the end: 0 problems"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}
