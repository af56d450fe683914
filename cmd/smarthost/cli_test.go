package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every command explains itself, with an example, however it is asked.
func TestHelp(t *testing.T) {
	t.Parallel()
	ask := func(args ...string) string {
		var out strings.Builder
		env := testEnvironment(t, nil)
		env.Stdout = &out
		if code := run(env, args); code != 0 {
			t.Errorf("%q: exit code %d", args, code)
		}
		return out.String()
	}
	for _, c := range commands() {
		help := ask(c.name, "--help")
		if !strings.Contains(help, "smarthost "+c.name) || !strings.Contains(help, "Example") {
			t.Errorf("%s has the help %q", c.name, help)
		}
		if other := ask("help", c.name); other != help {
			t.Errorf("smarthost help %s says %q", c.name, other)
		}
	}
	for _, c := range append(commands(), command{name: "help"}) {
		for line := range strings.Lines(ask(c.name, "--help")) {
			if length := len([]rune(strings.TrimSuffix(line, "\n"))); length > 80 && line[0] != ' ' {
				t.Errorf("%s --help has a sentence over %d columns, and terminals have 80: %s", c.name, length, line)
			}
		}
	}
	if help := ask("help"); help != ask("--help") || !strings.Contains(help, "Example") {
		t.Errorf("smarthost help says %q", help)
	}
}

// Flags stand before, between and behind the arguments, with one hyphen or two; behind "--" nothing is a flag.
func TestParseFlags(t *testing.T) {
	t.Parallel()
	fs := newFlags(testEnvironment(t, nil), "test", "")
	text, on, off := fs.String("text", "", ""), fs.Bool("on", false, ""), fs.Bool("off", true, "")
	rest, err := parseFlags(fs, []string{"-text=a=b", "one", "--on", "two", "-", "--off=false", "--", "--on", "-x"})
	if diff := cmp.Diff([]string{"one", "two", "-", "--on", "-x"}, rest); err != nil || diff != "" || *text != "a=b" || !*on || *off {
		t.Errorf("%v, text %q, on %t, off %t (-want +got):\n%s", err, *text, *on, *off, diff)
	}
}
