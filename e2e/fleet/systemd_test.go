//go:build e2e

package fleet

import (
	"regexp"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const unitFile, spool = "/etc/systemd/system/smarthost-send@.service", "/var/spool/smarthost-send/"

// systemdUnit is the enrolled unit on a laptop that systemd has booted. Nobody hurries it: the unit tries again by itself, though
// after a second instead of five minutes.
func systemdUnit() client {
	return client{
		name: "systemd unit", root: "service",
		setup: func(t *testing.T, w *world) {
			w.laptop.Boot(t)
			w.enroll(t, "systemd")
			w.laptop.Write(t, unitFile+".d/soon.conf", "[Service]\nRestartSec=1s\n", 0o644)
			w.laptop.Do(t, "systemctl", "daemon-reload")
			w.daemon(t, "journalctl", "--follow", "--lines=all", "--output=cat")
		},
		send: func(t *testing.T, w *world, id string) result {
			w.laptop.Write(t, spool+id, mail(id), 0o600)
			return w.run(t, "", "systemctl", "start", "--no-block", "smarthost-send@"+id)
		},
		queue: &queue{
			held:    regexp.MustCompile(`smarthost-send@\S+: Failed with result.*`),
			bounced: regexp.MustCompile(`smarthost-send@\S+: Main process exited, .*status=(64|65|78)/.*`),
			retry:   func(*testing.T, *world) {},
		},
	}
}

// TestUnit is what the text above the enrolled unit promises.
func TestUnit(t *testing.T) {
	w := newWorld(t, "service", "")
	systemdUnit().setup(t, w)
	if said := w.laptop.Do(t, "systemd-analyze", "verify", unitFile); said != "" {
		t.Errorf("systemd-analyze verify: %s", said)
	}
	is := func(id string, condition string) bool { return w.run(t, "", "test", condition, spool+id).code == 0 }

	w.laptop.Write(t, spool+"report", mail("report"), 0o600)
	w.laptop.Do(t, "systemctl", "start", "smarthost-send@report")
	lab.Await(t, "the mail at the next hop", patience, func() bool { return w.arrived("report") == 1 })
	if is("report", "-e") {
		t.Error("the file is still there when the server has its mail")
	}

	w.laptop.Write(t, spool+"refused", strings.Replace(mail("refused"), "To: "+recipient, "To: bob@dest", 1), 0o600)
	if said := w.run(t, "", "systemctl", "start", "smarthost-send@refused"); said.code == 0 {
		t.Error("a refusal is a success")
	}
	if state := w.run(t, "", "systemctl", "is-failed", "smarthost-send@refused").text; state != "failed\n" {
		t.Errorf("after a refusal the unit's state is %q, want failed, for good", state)
	}
	if !is("refused", "-s") {
		t.Error("the file of a refused mail is gone")
	}
	lab.Await(t, "the server's words in the journal", patience, func() bool {
		return strings.Contains(w.seen(), "the domain is not complete; write it whole")
	})

	password := strings.TrimSpace(w.laptop.Do(t, "cat", "/etc/credstore/smarthost-password"))
	if said := w.run(t, "", "setpriv", "--reuid=65534", "--clear-groups", "cat", "/etc/credstore/smarthost-password"); said.code == 0 {
		t.Error("everybody may read the password")
	}
	open := w.laptop.Do(t, "sh", "-c", "systemctl show smarthost-send@report; cat /etc/smarthost/* "+unitFile) + w.seen()
	if password == "" || strings.Contains(open, password) {
		t.Errorf("the password %q is where everybody sees it:\n%s", password, open)
	}
}
