//go:build e2e

package deploy

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const (
	configFile = "/etc/smarthost/smarthost.toml"
	units      = "smarthost.socket smarthost-submissions.socket smarthost.service"
)

// pack makes the Debian package of a version.
func pack(t *testing.T, version string) (file string) {
	t.Helper()
	target := t.TempDir()
	cmd := exec.Command("go", "tool", "-modfile=.ci/tools.mod", "nfpm", "package", "--config", "deploy/nfpm.yaml", "--packager", "deb", "--target", target)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "VERSION="+version, "GOARCH="+runtime.GOARCH, "BINARY="+static(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nfpm: %v\n%s", err, out)
	}
	return filepath.Join(target, "smarthost_"+version+"_"+runtime.GOARCH+".deb")
}

// static is the binary as it is shipped: built as README.md says.
func static(t *testing.T) string {
	t.Helper()
	path := filepath.Join(lab.Folder(), "shipped")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/seed-1397b510/smarthost/cmd/smarthost")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// The units are right, and the service may do little.
func TestUnits(t *testing.T) {
	h := lab.NewHost(t, lab.Mount(t, layers(t, "service", "base")...))
	h.Write(t, "/usr/bin/smarthost", "#!/bin/sh\n", 0o755)
	for unit := range strings.FieldsSeq(units) {
		h.Write(t, "/etc/systemd/system/"+unit, shipped(t, unit), 0o644)
	}
	for unit := range strings.FieldsSeq(units) {
		if said := h.Do(t, "systemd-analyze", "verify", "/etc/systemd/system/"+unit); said != "" {
			t.Errorf("systemd-analyze verify %s: %s", unit, said)
		}
	}
	said := h.Do(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "/etc/systemd/system/smarthost.service")
	found := regexp.MustCompile(`Overall exposure level for smarthost.service: ([0-9.]+) `).FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("systemd-analyze security: %s", said)
	}
	if exposure, err := strconv.ParseFloat(found[1], 64); err != nil || exposure >= 1.5 {
		t.Errorf("exposure is %s, want less than 1.5:\n%s", found[1], said)
	}
	t.Logf("exposure %s", found[1])
}

// The package on a fresh Debian that systemd has booted: installed, used, restarted and upgraded under load, purged.
func TestPackage(t *testing.T) {
	h := lab.NewHost(t, lab.Mount(t, layers(t, "service", "base")...))
	h.Do(t, "rm", "/usr/sbin/policy-rc.d")
	h.Boot(t)
	t.Cleanup(func() {
		if t.Failed() {
			journal, _ := h.Command("journalctl", "--no-pager", "--lines=60").CombinedOutput()
			t.Logf("the end of the journal:\n%s", journal)
		}
	})
	install := func(version string) string {
		h.Write(t, "/root/smarthost.deb", read(t, pack(t, version)), 0o644)
		return h.Do(t, "dpkg", "--install", "/root/smarthost.deb")
	}

	t.Log(install("1.0.0"))
	if is := h.Do(t, "sh", "-c", "systemctl is-active "+units+"; systemctl is-enabled "+units); is != "active\nactive\nactive\nenabled\nenabled\nenabled\n" {
		t.Errorf("the units are %q", is)
	}
	said := h.Do(t, "smarthost", "user", "add", lab.User, "--sender", "*")
	server := &lab.Smarthost{Password: secret(t, said)}

	// A certificate that only root can read, and a config of one's own.
	ca := lab.NewAuthority(t)
	certificate, key := ca.Issue(t, t.TempDir(), lab.Hostname)
	server.CA = ca.Pool
	h.Write(t, "/etc/letsencrypt/fullchain.pem", read(t, certificate), 0o600)
	h.Write(t, "/etc/letsencrypt/privkey.pem", read(t, key), 0o600)
	h.Write(t, "/etc/systemd/system/smarthost.service.d/certificate.conf", "[Service]\nLoadCredential=fullchain.pem:/etc/letsencrypt/fullchain.pem\nLoadCredential=privkey.pem:/etc/letsencrypt/privkey.pem\n", 0o644)
	h.Do(t, "sed", "-i", `s/^#hostname = .*/hostname = "`+lab.Hostname+`"/; s/^#\[/[/; s/^#certificate/certificate/; s/^#key/key/; s,^#relay = .*,`+toSink+`,`, configFile)
	h.Do(t, "sh", "-c", `printf '[limits.default]\nmessages = "1000000/1h"\nrecipients = "1000000/1h"\n' >>`+configFile)
	h.Do(t, "systemctl", "daemon-reload")
	h.Do(t, "systemctl", "restart", "smarthost")

	var upstream *lab.Sink
	h.In(t, func() { upstream = lab.StartSink(t, "127.0.0.1:2525", false) })
	l := &load{server: server, dial: func() (c net.Conn, err error) {
		h.In(t, func() { c, err = net.Dial("tcp", "127.0.0.1:587") })
		return c, err
	}}
	l.start()
	for range restarts - 1 {
		h.Do(t, "systemctl", "restart", "smarthost")
	}
	install("1.0.1")
	l.end(t, upstream)

	h.Do(t, "systemctl", "reload", "smarthost")
	if config := read(t, filepath.Join(h.Root, configFile)); !strings.Contains(config, toSink) {
		t.Errorf("the upgrade has not kept the config:\n%s", config)
	}
	checkCores(t, h)
	checkWrongConfig(t, h)
	checkHandOver(t, h)
	checkOwners(t, h)
	checkPurge(t, h)
}

// checkWrongConfig restarts with a config that is wrong. Once it is right again one restart is enough, whatever clients have done
// to the sockets meanwhile.
func checkWrongConfig(t *testing.T, h *lab.Host) {
	t.Helper()
	const limit = "/etc/systemd/system/smarthost.socket.d/limit.conf" // 20 starts in 2 s are more than a busy machine can do
	h.Write(t, limit, "[Socket]\nTriggerLimitBurst=3\n", 0o644)
	h.Do(t, "systemctl", "daemon-reload")
	h.Do(t, "sh", "-c", "cp "+configFile+" /root/right && echo nonsense = 1 >>"+configFile)
	if h.Command("systemctl", "restart", "smarthost").Run() == nil {
		t.Error("the service starts with a wrong config")
	}
	failed := func() bool { return h.Command("systemctl", "is-failed", "smarthost.socket").Run() == nil }
	lab.Await(t, "systemd to have enough of it", patience, func() bool {
		h.In(t, func() {
			if c, err := net.Dial("tcp", "127.0.0.1:587"); err == nil {
				c.Close()
			}
		})
		return failed()
	})
	h.Do(t, "cp", "/root/right", configFile)
	h.Do(t, "rm", limit)
	h.Do(t, "systemctl", "daemon-reload")
	h.Do(t, "systemctl", "restart", "smarthost")
	if is := h.Do(t, "sh", "-c", "systemctl is-active "+units); is != "active\nactive\nactive\n" {
		t.Errorf("with the right config the units are %q", is)
	}
}

// checkCores asks that the unit's filter of system calls lets the server keep its memory out of cores, which it does and warns of itself.
func checkCores(t *testing.T, h *lab.Host) {
	if log := h.Do(t, "journalctl", "--unit=smarthost", "--output=cat"); strings.Contains(log, "a crash of this server") {
		t.Errorf("the server cannot keep its memory out of cores:\n%s", log)
	}
	said := h.Do(t, "sh", "-c", "cd /proc/$(systemctl show --property=MainPID --value smarthost) && cat limits coredump_filter")
	if !regexp.MustCompile(`Max core file size +0 +0 `).MatchString(said) || !strings.HasSuffix(said, "\n00000000\n") {
		t.Errorf("limits and coredump_filter are\n%s", said)
	}
}

// checkHandOver lets the service go on as the program that is installed, with the right to open ports that README.md gives.
// systemd sees one process all the time.
func checkHandOver(t *testing.T, h *lab.Host) {
	t.Helper()
	const name = "/etc/systemd/system/smarthost.service.d/ports.conf"
	_, after, _ := strings.Cut(shipped(t, "README.md"), name)
	dropIn, _, found := strings.Cut(after, "\n\n")
	if !found {
		t.Fatal("README.md has no " + name)
	}
	h.Write(t, name, dropIn, 0o644)
	h.Do(t, "systemctl", "daemon-reload")
	h.Do(t, "systemctl", "restart", "smarthost")
	state := func() string {
		return h.Do(t, "sh", "-c", "systemctl show --property=MainPID,NRestarts smarthost; grep CapEff /proc/$(systemctl show --property=MainPID --value smarthost)/status")
	}
	starts := func() int {
		return strings.Count(h.Do(t, "journalctl", "--unit=smarthost", "--output=cat"), `"message":"ready"`)
	}
	was, before := state(), starts()
	if !strings.Contains(was, "CapEff:\t0000000000000400\n") {
		t.Errorf("the service has not the right to open low ports, or more than that: %s", was)
	}
	h.Do(t, "systemctl", "kill", "--kill-who=main", "--signal=USR2", "smarthost")
	lab.Await(t, "the next program", patience, func() bool { return starts() > before })
	h.Do(t, "systemctl", "is-active", "smarthost")
	if is := state(); is != was {
		t.Errorf("the service was %q, and is %q", was, is)
	}
	h.In(t, func() {
		c, err := net.Dial("tcp", "127.0.0.1:465")
		lab.Check(t, err)
		c.Close()
	})
}

// checkOwners looks at who the server is, and who may read its files.
func checkOwners(t *testing.T, h *lab.Host) {
	t.Helper()
	if mode := h.Do(t, "stat", "--format=%U:%G %a", configFile); mode != "root:smarthost 640\n" {
		t.Errorf("the config belongs to %s", mode)
	}
	whose := h.Do(t, "sh", "-c", "ps -o user:20=,args= -C smarthost; stat --format='%U %a' /var/lib/private/smarthost/users")
	if !regexp.MustCompile(`^smarthost +/usr/bin/smarthost serve`).MatchString(whose) || !strings.HasSuffix(whose, "\nsmarthost 600\n") {
		t.Errorf("the server and its data belong to %s", whose)
	}
}

// checkPurge takes the package away: nothing stays but the data.
func checkPurge(t *testing.T, h *lab.Host) {
	t.Helper()
	h.Do(t, "dpkg", "--purge", "smarthost")
	for _, gone := range []string{"/usr/bin/smarthost", "/etc/smarthost", "/lib/systemd/system/smarthost.service", "/etc/systemd/system/sockets.target.wants/smarthost.socket"} {
		if _, err := os.Lstat(filepath.Join(h.Root, gone)); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	h.In(t, func() {
		if c, err := net.Dial("tcp", "127.0.0.1:587"); err == nil {
			c.Close()
			t.Error("somebody listens on port 587 after the package has been purged")
		}
	})
	if _, err := os.Stat(filepath.Join(h.Root, "/var/lib/private/smarthost/queue")); err != nil {
		t.Errorf("the mail is gone with the package: %v", err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	lab.Check(t, err)
	return string(text)
}
