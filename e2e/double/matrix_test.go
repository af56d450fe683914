//go:build e2e

package double

import (
	"bytes"
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

const (
	name = "smarthost.test" // of the double, at 127.0.0.1
	dual = "dual.test"      // the same, also at ::1
)

// fate calls a client in front of a double with a fault.
func fate(t *testing.T, guest *lab.Guest, c client, f fault) outcome {
	t.Helper()
	srv := smarthosttest.NewServer(t, smarthosttest.WithConfig(smarthosttest.Config{Hosts: []string{dual}, IPv6Blackhole: f.hole}))
	script, err := srv.AddRules(f.rules...)
	lab.Check(t, err)
	x := target{Server: srv, t: t, guest: guest, host: name, to: []string{"bob@example.net"}, id: f.id}
	_, x.port, err = net.SplitHostPort(srv.Addr)
	lab.Check(t, err)
	if f.hole {
		x.host = dual
	}
	if f.both {
		x.to = append(x.to, "carol@example.net")
	}
	code, words := c.send(x)
	ended(t, srv)
	o := outcome{code: code, kept: len(srv.Messages()), copies: -1, sessions: len(srv.Sessions()), acted: len(f.rules) == 0 || script.Acted() > 0}
	o.words = strings.ReplaceAll(lab.Shown(words), ":"+x.port, ":587")
	o.words = strings.ReplaceAll(o.words, "port "+x.port, "port 587")
	if f.races && code != 0 {
		o.code, o.words = 1, ""
	}
	for _, found := range srv.Lint() {
		if !strings.Contains(","+o.findings+",", ","+found.Name+",") {
			o.findings = strings.TrimPrefix(o.findings+","+found.Name, ",")
		}
	}
	if f.again {
		if code, words := c.send(x); code != 0 {
			t.Errorf("%s, %s: called again it says: exit code %d: %s", c.name, f.name, code, words)
		}
		o.copies = len(srv.Messages())
	}
	if testing.Verbose() {
		for _, s := range srv.Sessions() {
			t.Logf("%s", s)
		}
	}
	return o
}

// ended returns when nobody is connected.
func ended(t *testing.T, srv *smarthosttest.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		changed := srv.SessionsChanged()
		if !slices.ContainsFunc(srv.Sessions(), func(s *smarthosttest.Session) bool { return s.Ended.IsZero() }) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("the client has ended, and its session has not")
		}
	}
}

// TestMatrix is the table of deploy/testing/CLIENTS.md.
func TestMatrix(t *testing.T) {
	lab.StartDNS(t, "127.0.0.1", name+". 60 IN A 127.0.0.1", dual+". 60 IN A 127.0.0.1", dual+". 60 IN AAAA ::1", "client.test. 60 IN A 127.0.0.1")
	// nodemailer asks for no address where there is loopback alone.
	lab.Command(t, "ip", "link", "add", "eth0", "up", "type", "veth", "peer", "name", "eth1")
	lab.Command(t, "ip", "link", "set", "eth1", "up")
	lab.Command(t, "ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
	guest := lab.NewGuest(t, lab.Layers(t, "commands"))
	seen := map[cell]outcome{}
	var mu sync.Mutex
	t.Run("cells", func(t *testing.T) {
		for _, c := range clients {
			for _, f := range faults {
				t.Run(strings.ReplaceAll(c.name, "/", " ")+"/"+f.name, func(t *testing.T) {
					t.Parallel()
					o := fate(t, guest, c, f)
					mu.Lock()
					defer mu.Unlock()
					seen[cell{c.name, f.name}] = o
				})
			}
		}
	})
	compare(t, seen)
}

// compare holds what was seen against the golden file; cells without an outcome were not run.
func compare(t *testing.T, seen map[cell]outcome) {
	t.Helper()
	var known []cell
	want := map[cell]outcome{}
	if _, err := os.Stat(golden); err == nil {
		known, want = readGolden(t)
	}
	if len(seen) == len(clients)*len(faults) && len(known) != len(seen) && !*update {
		t.Errorf("%s has %d cells, the matrix has %d; if that is meant, run the test with -update", golden, len(known), len(seen))
	}
	var text bytes.Buffer
	for _, c := range clients {
		for _, f := range faults {
			at := cell{c.name, f.name}
			got, ran := seen[at]
			if !ran {
				if got, ran = want[at]; !ran {
					continue
				}
			} else if got != want[at] && !*update {
				t.Errorf("this is new; if it is meant, run the test with -update:\n got %swant %s", got.line(at), want[at].line(at))
			}
			text.WriteString(got.line(at))
		}
	}
	if *update {
		lab.Check(t, os.WriteFile(golden, text.Bytes(), 0o644))
	}
}
