//go:build e2e

package fleet

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// A trouble passes: begin makes it, and what begin returns ends it.
type trouble struct {
	name       string
	submission string   // config text inside [submission]
	names      []string // DNS records
	unheard    bool     // the mail has arrived all the same
	prepare    func(t *testing.T, w *world)
	begin      func(t *testing.T, w *world, c client) (heal func())
}

var troubles = []trouble{
	{name: "none", begin: func(*testing.T, *world, client) func() { return func() {} }},
	{name: "handshake lost", begin: firewalled(`chain in {
		type filter hook input priority 0
		tcp dport { 587, 465 } @ih,0,8 0x16 drop
	}`)},
	{name: "handshake reset", begin: firewalled(`chain in {
		type filter hook input priority 0
		tcp dport { 587, 465 } @ih,0,8 0x16 reject with tcp reset
	}`)},
	{name: "expired certificate", begin: expired},
	{name: "clock days behind", begin: clock(time.Now().AddDate(0, 0, -2).UTC().Format(time.DateTime))},
	{name: "clock years behind", begin: clock("2001-02-03 04:05:06")},
	{name: "accounts hang", begin: hanging},
	{name: "account missing", begin: missing},
	{name: "dead IPv6", names: []string{"smarthost.test. 1 IN AAAA " + server6}, begin: firewalled(`chain in {
		type filter hook input priority 0
		meta nfproto ipv6 tcp dport { 587, 465 } drop
	}`)},
	{name: "restart in the middle", begin: restarted},
	{name: "lost 250", begin: unheard, unheard: true},
}

// named is one of the troubles.
func named(name string) trouble {
	i := slices.IndexFunc(troubles, func(x trouble) bool { return x.name == name })
	return troubles[i]
}

// firewalled is a trouble that nftables makes on the server's side of the cable.
func firewalled(chains string) func(*testing.T, *world, client) func() {
	return func(t *testing.T, w *world, _ client) func() {
		w.relay.Firewall(t, chains)
		return func() { w.relay.Firewall(t, "") }
	}
}

// expired lets the server's certificate be over, until a new one is put in its place.
func expired(t *testing.T, w *world, _ client) func() {
	now := time.Now()
	w.certify(t, now.AddDate(0, -3, 0), now.Add(-time.Hour))
	return func() { w.certify(t, now.Add(-time.Hour), now.Add(24*time.Hour)) }
}

// clock moves the laptop's clock, as a flat battery does, until it is set right.
func clock(now string) func(*testing.T, *world, client) func() {
	return func(t *testing.T, w *world, c client) func() {
		t.Helper()
		w.setClock(t, "@"+now)
		if c.restart != nil {
			c.restart(t, w)
		}
		return func() {
			w.setClock(t, "")
			if c.restart != nil {
				c.restart(t, w)
			}
		}
	}
}

// hanging lets the accounts' file system not answer: opening a FIFO that nobody writes to takes for ever.
func hanging(t *testing.T, w *world, _ client) func() {
	users := filepath.Join(w.server.Data, "users")
	aside := users + ".aside"
	fifo := users + ".fifo"
	lab.Check(t, os.Link(users, aside))
	lab.Check(t, syscall.Mkfifo(fifo, 0o600))
	lab.Check(t, os.Rename(fifo, users))
	return func() {
		lab.Check(t, os.Link(users, fifo))
		lab.Check(t, os.Rename(aside, users))
		f, err := os.OpenFile(fifo, os.O_RDWR, 0) // whoever waits reads an empty file, and then looks again
		lab.Check(t, err)
		lab.Check(t, f.Close())
		lab.Check(t, os.Remove(fifo))
	}
}

// missing takes the account out of the file for a moment, as a file that is put in place too early does. The laptop has sent mail
// before, or the server would have no reason to think well of it.
func missing(t *testing.T, w *world, c client) func() {
	if said := c.send(t, w, "before"); said.code != 0 {
		t.Fatalf("before the trouble: exit code %d: %s", said.code, said.text)
	}
	lab.Await(t, "the mail before the trouble", patience, func() bool { return w.arrived("before") == 1 })
	users := filepath.Join(w.server.Data, "users")
	aside := users + ".aside"
	lab.Check(t, os.Rename(users, aside))
	lab.Check(t, os.WriteFile(users, []byte("# nobody yet\n"), 0o600))
	w.server.Reload(t)
	return func() {
		lab.Check(t, os.Rename(aside, users))
		w.server.Reload(t)
	}
}

// restarted kills the server while it waits for the rest of the content, and starts it again.
func restarted(t *testing.T, w *world, _ client) func() {
	w.laptop.Sysctl(t, "net.ipv4.tcp_retries2=4") // the laptop hears of the server's end before it gives up by itself
	w.relay.Firewall(t, `chain in {
		type filter hook input priority 0
		tcp dport { 587, 465 } ct original bytes > 20000 counter drop
	}`)
	killed := make(chan error)
	go func() {
		err := w.relay.AwaitDrop(patience)
		w.server.Kill()
		killed <- err
	}()
	return func() {
		lab.Check(t, <-killed)
		w.relay.Firewall(t, "")
		w.server.Start(t)
	}
}

// unheard lets the server take the mail while its 250 is lost, and then the connection: whoever sends again must not cause a
// second copy.
func unheard(t *testing.T, w *world, _ client) func() {
	w.relay.Firewall(t, `chain out {
		type filter hook output priority 0
		tcp sport { 587, 465 } ct original bytes > 60000 @ih,0,8 0x17 drop
	}`)
	cut := make(chan error)
	go func() {
		err := w.server.AwaitLog(`"message":"queued"`, patience)
		cut <- errors.Join(err, w.laptop.Cut("587"), w.laptop.Cut("465"))
	}()
	return func() {
		lab.Check(t, <-cut)
		w.relay.Firewall(t, "")
	}
}
