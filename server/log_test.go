package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

func TestBounded(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"short":                        "short",
		strings.Repeat("a", maxLogged): strings.Repeat("a", maxLogged),
		strings.Repeat("a", 5000):      strings.Repeat("a", maxLogged) + "…",
		strings.Repeat("a", maxLogged-1) + "é" + "b": strings.Repeat("a", maxLogged-1) + "…",
		"a\u2028b\u0085c\u009bd\u202ee\xfff\n":       "a?b?c?d?e?f\n", // fault 53; what is ASCII zerolog escapes
	} {
		if got := bounded(in); got != want {
			t.Errorf("bounded(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzBounded(f *testing.F) {
	f.Add(strings.Repeat("\xff", 1000))
	f.Fuzz(func(t *testing.T, s string) {
		got := bounded(s)
		if len(got) > maxLogged+len("…") || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("bounded(%q) = %q", s, got)
		}
	})
}

// A panic with a stack is an error in one line; a connection that broke is no news.
func TestProtocolLog(t *testing.T) {
	var b bytes.Buffer
	l := protocolLog{zerolog.New(&b)}
	l.Printf("panic serving %v: %v\n%s", "192.0.2.1", "oh", "line 1\nline 2")
	l.Println("error handling", "x")
	var levels []string
	for line := range strings.Lines(b.String()) {
		var event struct{ Level, Cause string }
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		levels = append(levels, event.Level)
	}
	if got := strings.Join(levels, " "); got != "error debug" {
		t.Errorf("levels %q", got)
	}
}
