//go:build e2e

package fleet

import (
	"regexp"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

var clients = []client{
	exim("Exim, stock", "exim4", eximStock),
	exim("Exim, stock, split config", "exim4-split", eximStock),
}

// exim is Debian's, as debconf makes it.
func exim(name, root string, setup func(t *testing.T, w *world)) client {
	const log = "/var/log/exim4/mainlog"
	return client{
		name: name, root: root, setup: setup,
		send: func(t *testing.T, w *world, id string) result {
			return w.run(t, mail(id), "/usr/sbin/sendmail", "-odf", "-f", sender, recipient)
		},
		queue: &queue{
			logs:    []string{log},
			held:    regexp.MustCompile(` == .*defer.*`),
			bounced: regexp.MustCompile(` \*\* .*`),
			retry:   func(t *testing.T, w *world) { w.run(t, "", "/usr/sbin/exim4", "-qff") },
		},
	}
}

// eximStock adds nothing but the password to what debconf made.
func eximStock(t *testing.T, w *world) {
	w.laptop.Write(t, "/etc/exim4/passwd.client", "smarthost.test:"+lab.User+":"+w.server.Password+"\n", 0o640)
	w.laptop.Do(t, "chgrp", "Debian-exim", "/etc/exim4/passwd.client")
}
