package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var samples = []Finding{
	{Check: "name", What: "mx.example.org is at 192.0.2.1, 2001:db8::1"},
	{Check: "connect", Where: "2001:db8::1", Level: Warning, What: "no answer on port 587 within 10 s", Why: "Exim and msmtp wait for it", Do: "remove the AAAA record",
		Detail: map[string]any{"587": map[string]any{"error": "no answer in time"}}},
	{Check: "auth", Level: Problem, What: "no login is offered inside TLS", Why: "mail <bounces> & is lost", Do: "set up AUTH"},
	{Check: "extensions", Level: Note, What: "mail up to 50 MiB"},
}

// show prints the samples as p does, 2.5 s after the start.
func show(t *testing.T, p *Printer, complete bool) (out, err string) {
	t.Helper()
	var o, e strings.Builder
	synctest.Test(t, func(t *testing.T) {
		p.Out, p.Err = &o, &e
		p.Start()
		p.Progress("port 587 at 192.0.2.1")
		for _, f := range samples {
			p.Report(f)
		}
		time.Sleep(2500 * time.Millisecond)
		if _, err := p.Finish(complete); err != nil {
			t.Error(err)
		}
	})
	return o.String(), e.String()
}

func TestPrinter(t *testing.T) {
	t.Parallel()
	for file, c := range map[string]struct {
		p        *Printer
		complete bool
	}{
		"plain.txt":     {&Printer{}, true},
		"terminal.txt":  {&Printer{Colour: true, Width: 50}, false},
		"findings.json": {&Printer{JSON: true, Target: "mx.example.org"}, true},
	} {
		got, _ := show(t, c.p, c.complete)
		want, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.ReplaceAll(string(want), "\\e", "\x1b"), got); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	if _, got := show(t, &Printer{}, true); got != "… port 587 at 192.0.2.1\n" {
		t.Errorf("after a second: %q", got)
	}
	if _, got := show(t, &Printer{Live: true}, true); got != "\r… port 587 at 192.0.2.1\x1b[K\r\x1b[K" {
		t.Errorf("on a terminal: %q", got)
	}
	if _, got := show(t, &Printer{Live: true, Line: 10}, true); got != "\r… port 58\x1b[K\r\x1b[K" {
		t.Errorf("on a narrow terminal, whatever the findings go to: %q", got)
	}
	synctest.Test(t, func(t *testing.T) {
		var out, err strings.Builder
		p := &Printer{Out: &out, Err: &err}
		p.Start()
		p.Progress("something quick")
		time.Sleep(patience / 2)
		p.Finish(true)
		time.Sleep(patience)
		synctest.Wait()
		if err.String() != "" {
			t.Errorf("a short wait is spoken of: %q", err.String())
		}
	})
}

func TestLevels(t *testing.T) {
	t.Parallel()
	for _, l := range []Level{Good, Note, Warning, Problem} {
		text, err := l.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Level
		if err := back.UnmarshalText(text); err != nil || back != l {
			t.Errorf("%v came back as %v: %v", l, back, err)
		}
	}
	var l Level
	if err := l.UnmarshalText([]byte("dreadful")); err == nil {
		t.Error("there is a level dreadful")
	}
}
