//go:build e2e

package fleet

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// excuses are the ends that no answer of the server makes better, or none that does not make something else worse.
var excuses = []struct{ client, trouble, why string }{
	{"OpenSMTPD, enrolled", "clock years behind", "it has seen no valid certificate, so it has heard no answer; once the clock is set, the mail looks older than the queue's four days, and goes back without another attempt"},
}

// excused tells whether this client may bounce.
func excused(c client, x trouble) bool {
	return slices.ContainsFunc(excuses, func(e struct{ client, trouble, why string }) bool {
		return e.client == c.name && e.trouble == x.name
	})
}

// A setup configures a client.
type setup func(t *testing.T, w *world)

// enrolled is the configuration that the server's operator is given.
func enrolled(client string) setup {
	return func(t *testing.T, w *world) { w.enroll(t, client) }
}

// exim is Debian's, as debconf makes it.
func exim(name, root string, configure setup) client {
	return client{
		name: name, root: root, setup: configure,
		send: func(t *testing.T, w *world, id string) result {
			return w.run(t, mail(id), "/usr/sbin/sendmail", "-odf", "-f", sender, recipient)
		},
		queue: &queue{
			logs:    []string{"/var/log/exim4/mainlog"},
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

// postfix is Debian's "Satellite system".
func postfix(name string, configure setup) client {
	start := func(t *testing.T, w *world) {
		w.laptop.Do(t, "/usr/lib/postfix/configure-instance.sh", "-") // as the service does: what its processes need in their chroot
		w.laptop.Do(t, "postfix", "start")
	}
	return client{
		name: name, root: "postfix",
		setup: func(t *testing.T, w *world) { configure(t, w); start(t, w) },
		send:  sendmail,
		queue: &queue{
			held:    regexp.MustCompile(`status=deferred .*`),
			bounced: regexp.MustCompile(`status=bounced .*`),
			retry:   func(t *testing.T, w *world) { w.run(t, "", "postqueue", "-f") },
		},
		restart: func(t *testing.T, w *world) { w.laptop.Do(t, "postfix", "stop"); start(t, w) },
	}
}

// postfixStock adds the login to what debconf made, as the many guides on the web do; TLS stays as it is, "may".
func postfixStock(t *testing.T, w *world) {
	w.laptop.Write(t, "/etc/postfix/sasl_passwd", "[smarthost.test]:587 "+lab.User+":"+w.server.Password+"\n", 0o600)
	w.laptop.Do(t, "postmap", "/etc/postfix/sasl_passwd")
	w.laptop.Do(t, "postconf", "-e", "smtp_sasl_auth_enable = yes", "smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd", "smtp_sasl_security_options = noanonymous")
}

func opensmtpd() client {
	start := func(t *testing.T, w *world) {
		w.daemon(t, "smtpd", "-d")
		lab.Await(t, "smtpd", patience, func() bool { return w.run(t, "", "smtpctl", "show", "status").code == 0 })
	}
	return client{
		name: "OpenSMTPD, enrolled", root: "opensmtpd",
		setup: func(t *testing.T, w *world) { w.enroll(t, "opensmtpd"); start(t, w) },
		send:  sendmail,
		queue: &queue{
			held:    regexp.MustCompile(`result="TempFail".*`),
			bounced: regexp.MustCompile(`result="PermFail".*|stat=Envelope expired`),
			retry: func(t *testing.T, w *world) {
				for line := range strings.Lines(w.run(t, "", "smtpctl", "show", "routes").text) {
					id, _, _ := strings.Cut(line, ".")
					w.run(t, "", "smtpctl", "resume", "route", id)
				}
				w.run(t, "", "smtpctl", "schedule", "all")
			},
		},
		restart: func(t *testing.T, w *world) { w.end(t, "smtpd"); start(t, w) },
	}
}

func nullmailer() client {
	const trigger = "/var/spool/nullmailer/trigger"
	start := func(t *testing.T, w *world) {
		w.daemon(t, "start-stop-daemon", "--start", "--chuid", "mail", "--exec", "/usr/sbin/nullmailer-send")
		lab.Await(t, "nullmailer-send", patience, func() bool { return w.run(t, "", "pidof", "nullmailer-send").code == 0 })
	}
	return client{
		name: "nullmailer, enrolled", root: "nullmailer",
		setup: func(t *testing.T, w *world) {
			w.enroll(t, "nullmailer")
			w.laptop.Do(t, "mkfifo", trigger) // as the service does
			w.laptop.Do(t, "chown", "mail:root", trigger)
			w.laptop.Do(t, "chmod", "0622", trigger)
			start(t, w)
		},
		send: sendmail,
		queue: &queue{
			held:    regexp.MustCompile(`Sending failed: .*`),
			bounced: regexp.MustCompile(`Generating bounce.*|Moving message .* into failed.*`),
			retry:   func(t *testing.T, w *world) { w.run(t, "", "timeout", "5", "sh", "-c", "echo >"+trigger) },
		},
		restart: func(t *testing.T, w *world) { w.end(t, "nullmailer-send"); start(t, w) },
	}
}

func dma() client {
	return client{
		name: "dma, enrolled", root: "dma",
		setup: enrolled("dma"),
		send:  sendmail,
		queue: &queue{
			held:    regexp.MustCompile(`remote delivery deferred.*`),
			bounced: regexp.MustCompile(`delivery failed, bouncing`),
			retry: func(t *testing.T, w *world) {
				w.run(t, "", "dma", "-q")
				// The process that keeps the mail looks every 30 s whether somebody said so; a signal wakes it. In the middle of an
				// attempt it would do harm.
				if lines := strings.Split(strings.TrimSpace(w.seen()), "\n"); strings.Contains(lines[len(lines)-1], "deferred") {
					w.run(t, "", "sh", "-c", "kill -HUP $(pidof sendmail)")
				}
			},
		},
	}
}

// sendmail hands a mail to a client that sends it in the background.
func sendmail(t *testing.T, w *world, id string) result {
	return w.run(t, mail(id), "/usr/sbin/sendmail", "-f", sender, recipient)
}

// end ends a daemon that its service ends with a signal.
func (w *world) end(t *testing.T, program string) {
	t.Helper()
	w.laptop.Do(t, "sh", "-c", "kill $(pidof "+program+")")
	lab.Await(t, program+" to end", patience, func() bool { return w.run(t, "", "pidof", program).code != 0 })
}
