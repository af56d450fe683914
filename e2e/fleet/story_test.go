//go:build e2e

package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// TestStory is why this server exists. A laptop boots, its user writes to Bob, and the first connection to the relay fails for a
// passing reason. Nobody touches the laptop again: its Exim, as Debian sets it up, has to send the mail later by itself.
//
// Beside it are the same laptop with a relay that answers strangers as relays do ("550 relay not permitted"), and with this
// server in the mode that does so too: there the mail comes back.
func TestStory(t *testing.T) {
	for _, way := range []struct {
		name   string
		fails  func(*testing.T, *world, client) (pass func())
		names  []string // DNS records
		strict string   // what comes back from this server without grace; "" is nothing
		other  string   // what comes back from the other relay
	}{
		{"the TLS handshake gets no answer", named("handshake lost").begin, nil, "530 5.7.0 Must issue a STARTTLS command first", "550 relay not permitted"},
		{"the TLS handshake is reset", named("handshake reset").begin, nil, "530 5.7.0 Must issue a STARTTLS command first", "550 relay not permitted"},
		{"the clock is not set yet", named("clock days behind").begin, nil, "530 5.7.0 Must issue a STARTTLS command first", "550 relay not permitted"},
		{"the certificate was renewed too late", named("expired certificate").begin, nil, "530 5.7.0 Must issue a STARTTLS command first", "550 relay not permitted"},
		{"the accounts do not answer", func(t *testing.T, w *world, _ client) func() { return w.hiccup(t) }, nil, "", "550 relay not permitted"},
		{"IPv6 is dead", named("dead IPv6").begin, named("dead IPv6").names, "", ""},
	} {
		t.Run(way.name, func(t *testing.T) {
			for _, relay := range []relay{
				{name: "smarthost", start: smarthost("grace")},
				{name: "smarthost without grace", start: smarthost("reject"), bounce: way.strict},
				{name: "a relay that says 550", root: "exim4", start: notPermitted, bounce: way.other},
			} {
				t.Run(relay.name, func(t *testing.T) {
					t.Parallel()
					w := newNetwork(t, "exim4", relay.root, way.names...)
					boot(t, w, relay.start(t, w))

					pass := way.fails(t, w, client{})
					w.run(t, mail("first-after-boot"), "/usr/sbin/sendmail", "-f", sender, recipient)
					lab.Await(t, "the end of the first attempt", patience, func() bool { return ended.MatchString(w.seen(mainlog)) })
					pass()
					w.setClock(t, "+20m") // Exim's retry rule lets the mail wait for 15 minutes

					if relay.bounce != "" {
						if comesBack := regexp.MustCompile(` \*\* ` + recipient + `.*` + relay.bounce); !comesBack.MatchString(w.seen(mainlog)) {
							t.Errorf("the mail does not come back with %q, so there would be no need for grace:\n%s", relay.bounce, w.seen(mainlog))
						}
						return
					}
					comesBack := func() bool { return strings.Contains(w.seen(mainlog), " ** ") }
					lab.Await(t, "the mail, sent by the laptop itself", patience, func() bool { return w.arrived("first-after-boot") == 1 || comesBack() })
					if comesBack() {
						t.Errorf("the mail comes back:\n%s", w.seen(mainlog))
					}
				})
			}
		})
	}
}

// A relay is what the laptop hands its mail to.
type relay struct {
	name   string
	root   string                                         // of its machine
	start  func(t *testing.T, w *world) (password string) // of alice
	bounce string                                         // what comes back
}

// mainlog is Exim's; ended matches the end of an attempt in it.
const mainlog = "/var/log/exim4/mainlog"

var ended = regexp.MustCompile(` (==|\*\*|=>) ` + recipient)

// boot starts the laptop's Exim as Debian does, but with a queue interval of 2 seconds and not of 30 minutes.
func boot(t *testing.T, w *world, password string) {
	t.Helper()
	w.laptop.Write(t, "/etc/exim4/passwd.client", "smarthost.test:"+lab.User+":"+password+"\n", 0o640)
	w.laptop.Do(t, "chgrp", "Debian-exim", "/etc/exim4/passwd.client")
	w.daemon(t, "/usr/sbin/exim4", "-bdf", "-q2s")
}

// smarthost starts the server under test.
func smarthost(unauthenticated string) func(t *testing.T, w *world) string {
	return func(t *testing.T, w *world) string {
		w.serve(t, fmt.Sprintf("unauthenticated = %q", unauthenticated))
		return w.server.Password
	}
}

// notPermitted starts Debian's Exim as a relay like many: TLS and AUTH, and for everybody else "550 relay not permitted".
func notPermitted(t *testing.T, w *world) string {
	const password = "secret-of-alice"
	w.relay.Write(t, "/etc/exim4/relay.conf", `primary_hostname = smarthost.test
tls_advertise_hosts = *
tls_certificate = /etc/exim4/relay.crt
tls_privatekey = /etc/exim4/relay.key
auth_advertise_hosts = ${if def:tls_in_cipher {*}{}}
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
rcpt:
  accept authenticated = *
  deny message = relay not permitted
begin routers
next:
  driver = manualroute
  transport = next
  route_list = * 127.0.0.1
  self = send
begin transports
next:
  driver = smtp
  port = 2525
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and {{eq{$auth2}{`+lab.User+`}}{eq{$auth3}{`+password+`}}{!exists{/etc/exim4/hiccup}}}}
  server_set_id = $auth2
`, 0o644)
	var running *exec.Cmd // ends with its machine
	w.certify = func(t *testing.T, from, until time.Time) {
		certificate, key := w.ca.IssueFor(t, w.folder, from, until, lab.Hostname)
		for from, to := range map[string]string{certificate: "/etc/exim4/relay.crt", key: "/etc/exim4/relay.key"} {
			text, err := os.ReadFile(from)
			lab.Check(t, err)
			w.relay.Write(t, to, string(text), 0o644)
		}
		if running != nil { // it has read the old ones
			w.relay.Do(t, "pkill", "-KILL", "exim4")
			running.Wait()
		}
		running = w.relay.Command("/usr/sbin/exim4", "-C", "/etc/exim4/relay.conf", "-bdf", "-oX", "587")
		lab.Check(t, running.Start())
		w.relay.In(t, func() { lab.AwaitPort(t, server4+":587") })
	}
	w.certify(t, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
	w.hiccup = func(t *testing.T) func() { // 535, as when whatever holds the passwords cannot be asked
		w.relay.Write(t, "/etc/exim4/hiccup", "", 0o644)
		return func() { w.relay.Do(t, "rm", "/etc/exim4/hiccup") }
	}
	return password
}
