//go:build e2e

package mailpit

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// programs are the paths of the clients.
type programs struct{ clients, mailpit string }

func build(t *testing.T) programs {
	t.Helper()
	folder := t.TempDir()
	command := exec.Command("go", "build", "-o", folder, ".", "github.com/axllent/mailpit")
	command.Dir = "testdata/clients"
	command.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build the clients: %v; where there is a network, e2e/run fetches what is missing\n%s", err, out)
	}
	return programs{filepath.Join(folder, "clients"), filepath.Join(folder, "mailpit")}
}

// await returns when mailpit readyz finds the server ready.
func (p programs) await(t *testing.T, s server) {
	t.Helper()
	if out, err := p.readyz(s, "--wait", "--timeout", "30s").CombinedOutput(); err != nil {
		t.Fatalf("readyz: %v: %s", err, out)
	}
}

// readyz is mailpit readyz, which is still to be run.
func (p programs) readyz(s server, flags ...string) *exec.Cmd {
	return exec.Command(p.mailpit, append([]string{"readyz", "--listen", s.host + ":8025", "--webroot", s.path + "/"}, flags...)...)
}

// Each client hears the same here as from Mailpit, and finds what was sent.
func TestClients(t *testing.T) {
	p := build(t)
	all, alice := server{}, server{path: "/inbox/alice", only: "alice"}
	for name, start := range map[string]func(*testing.T, programs, server) server{"smarthost": startOurs, "Mailpit": startMailpit} {
		for _, s := range []server{all, alice} {
			s.host = "127.0.0.1"
			t.Run(name+s.path, func(t *testing.T) { p.ask(t, start(t, p, s)) })
		}
	}
}

// ask lets all clients ask a server. A message that is dumped is not read with that; one that is opened is.
func (p programs) ask(t *testing.T, s server) {
	t.Helper()
	dumped := p.dump(t, s)
	before, after := p.messages(t, s), p.messages(t, s)
	if len(dumped) != len(s.mail()) || len(before) != len(s.mail()) {
		t.Errorf("%d messages are dumped and %d are listed, of %d", len(dumped), len(before), len(s.mail()))
	}
	for _, l := range s.mail() {
		m := before[l.id]
		l.check(t, m, dumped[m.text("ID")], s.adds)
		if after[l.id].Summary["Read"] != true {
			t.Errorf("%s was opened, and is not read", l.id)
		}
	}
	if out, err := p.readyz(server{host: s.host, path: "/inbox/nobody"}).CombinedOutput(); err == nil {
		t.Errorf("readyz says that the inbox of nobody is ready: %s", out)
	}
}

// A message is what gosoline's client makes of it.
type message struct{ Summary, Message map[string]any }

// text is a field of the summary.
func (m message) text(name string) string {
	text, _ := m.Summary[name].(string)
	return text
}

// messages are those that gosoline's client finds, by Message-ID.
func (p programs) messages(t *testing.T, s server) map[string]message {
	t.Helper()
	var all []message
	lab.Check(t, json.Unmarshal([]byte(lab.Command(t, p.clients, "http://"+s.host+":8025"+s.path)), &all))
	found := map[string]message{}
	for _, m := range all {
		found[m.text("MessageID")] = m
	}
	return found
}

// dump are the messages as mailpit dump has written them, by their ids.
func (p programs) dump(t *testing.T, s server) map[string]string {
	t.Helper()
	folder := t.TempDir()
	lab.Command(t, p.mailpit, "dump", "--http", "http://"+s.host+":8025"+s.path, folder)
	entries, err := os.ReadDir(folder)
	lab.Check(t, err)
	found := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		lab.Check(t, err)
		found[strings.TrimSuffix(e.Name(), ".eml")] = string(text)
	}
	return found
}

// check compares a message with the letter that was sent.
func (l letter) check(t *testing.T, m message, dumped string, adds bool) {
	t.Helper()
	if dumped != l.raw() && !(adds && strings.HasSuffix(dumped, "\r\n"+l.raw())) {
		t.Errorf("%s: what was dumped is not what was sent: %q", l.id, dumped)
	}
	if at, err := time.Parse(time.RFC3339, m.text("Created")); err != nil || at.IsZero() {
		t.Errorf("%s was created at %v: %v", l.id, m.Summary["Created"], err)
	}
	for _, of := range []struct {
		want string
		got  map[string]any
	}{{l.summary, m.Summary}, {l.message, m.Message}} {
		if of.got["ID"] != m.text("ID") || of.got["Size"] != float64(len(dumped)) {
			t.Errorf("%s: %v is of %v octets and not of %d", l.id, of.got["ID"], of.got["Size"], len(dumped))
		}
		var want map[string]any
		lab.Check(t, json.Unmarshal([]byte(of.want), &want))
		if diff := cmp.Diff(want, shared(of.got)); diff != "" {
			t.Errorf("%s: -sent +told\n%s", l.id, diff)
		}
	}
}

// shared is what two servers must say alike of a message. A list that is empty may be null, and a line may end in CRLF.
func shared(of map[string]any) map[string]any {
	left := map[string]any{}
	for name, v := range of {
		switch name {
		case "ID", "Created", "Size", "Tags":
			continue
		}
		switch of := v.(type) {
		case nil:
			v = []any{}
		case string:
			v = strings.ReplaceAll(of, "\r\n", "\n")
		}
		left[name] = v
	}
	return left
}
