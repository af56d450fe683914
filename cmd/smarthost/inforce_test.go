package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// Every key has its place, and those that are said to reload or to be paths are keys.
func TestEveryKeyHasItsPlace(t *testing.T) {
	c := wired(t, "")
	var keys []string
	for _, s := range settings {
		keys = append(keys, s.key)
		if !c.field(s.key).IsValid() {
			t.Errorf("%s: no field of Config has this name", s.key)
		}
	}
	for _, key := range slices.Concat(reloadable, paths) {
		if !slices.Contains(keys, key) {
			t.Errorf("%s is no key", key)
		}
	}
}

// What is different is named with both values, whether a reload changes it, and without a password.
func TestChanges(t *testing.T) {
	old := wired(t, "hostname = \"a.example\"\n[forward]\nrelay = \"smtp://u:hunter2@relay.example\"\n[limits.bulk]\nmessages = \"1/1h\"\n[limits.default]\nmessages = \"9/1h\"\n")
	new := wired(t, "hostname = \"b.example\"\ndata = \"/d\"\n[listen]\nsubmission = []\n[forward]\nrelay = \"smtp://v:hunter3@next.example\"\nretry = [\"5m\"]\nfamily = \"ipv4\"\n[limits.default]\nmessages = \"8/1h\"\n")
	old.Data = "/c"
	var got []string
	for _, d := range changes(old.values(true), new.values(false)) {
		got = append(got, fmt.Sprintf("%v %s: %s → %s", d.Reloads, d.Key, d.Old, d.New))
	}
	want := []string{
		`false hostname: "a.example" → "b.example"`,
		`false data: "/c" → "/d"`,
		`false listen.submission: [":587"] → []`,
		`true forward.relay: "smtp://***@relay.example" → "smtp://***@next.example"`,
		`false forward.relay, for REQUIRETLS (RFC 8689): true → false`,
		`true forward.family: "any" → "ipv4"`,
		`true forward.retry: ["1m", "5m", "15m", "1h"] → ["5m"]`,
		`true limits.default.messages: "9/1h" → "8/1h"`,
		`true limits.bulk.bytes: "524288000/1h" → `,
		`true limits.bulk.messages: "1/1h" → `,
		`true limits.bulk.recipients: "1000/1h" → `,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if same := changes(old.values(true), old.values(true)); len(same) > 0 {
		t.Errorf("the same config is another one: %v", same)
	}
}

// A path says the same however it was given.
func TestPathsAreCompared(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("smarthost.toml", []byte("[forward]\nca = \"ca.pem\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]admin.Setting
	for _, path := range []string{"smarthost.toml", folder + "/smarthost.toml"} {
		c, err := loadConfig(testEnvironment(t, nil), path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c.values(false))
	}
	if list := changes(all[0], all[1]); len(list) > 0 {
		t.Errorf("%v", list)
	}
}

// What needs a restart stays as it was, in the config that is called in force, and is said again as long as it waits.
func TestWhatIsFixedStays(t *testing.T) {
	running := wired(t, "hostname = \"a.example\"\n[queue]\nhistory = \"1d\"\n")
	for range 2 {
		c := wired(t, "hostname = \"b.example\"\n[queue]\nhistory = \"2d\"\n[submission]\nhelp = \"https://h.example\"\n")
		if n := len(changes(running.values(false), c.values(false))); n < 2 {
			t.Errorf("%d changes", n)
		}
		c.keepFixed(running)
		if c.Hostname != "a.example" || c.Queue != running.Queue || c.Submission.Help != "https://h.example" {
			t.Errorf("%s %v %s", c.Hostname, c.Queue, c.Submission.Help)
		}
		running = c
	}
}

func TestPrintChanges(t *testing.T) {
	var out strings.Builder
	if err := printChanges(&out, []change{{"hostname", `"a"`, `"b"`, false}, {"limits.x.bytes", `"1/1h"`, "", true}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"    restart  hostname: \"a\" → \"b\"\n", "    reload   limits.x.bytes: \"1/1h\" → none\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}
}
