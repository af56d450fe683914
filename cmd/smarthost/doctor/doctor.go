// Package doctor says what is wrong with mail submission, from either end of it: a Client examines a server as a laptop
// sees it, whatever software that server runs; a Server examines this machine's own server, its name and its surroundings.
//
// Each check ends in findings: what was seen, why it matters, what to do. Nothing is changed anywhere, and no mail is sent
// unless that was asked for. Every wait is bounded; when ctx ends, what was found until then has been reported.
package doctor

import (
	"fmt"
	"strings"
)

// A Level says how much a finding matters.
type Level int

const (
	Good    Level = iota // as it should be
	Note                 // good to know
	Warning              // works now, for this client; others or later may fail
	Problem              // does not work, or is not safe
)

var levelNames = [...]string{"good", "note", "warning", "problem"}

func (l Level) String() string { return levelNames[l] }

// MarshalText makes "good", "note", "warning" or "problem" of it.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (l *Level) UnmarshalText(text []byte) error {
	for i, name := range levelNames {
		if string(text) == name {
			*l = Level(i)
			return nil
		}
	}
	return fmt.Errorf("no such level: %q", text)
}

// A Finding is what one check saw.
type Finding struct {
	Check string `json:"check"` // one or two words, fixed: scripts look for them
	Level Level  `json:"level"`
	Where string `json:"where,omitempty"` // the doors that it is about ("192.0.2.1:587"), if not all
	What  string `json:"what"`            // what was seen
	Why   string `json:"why,omitempty"`   // why it matters; empty for Good
	Do    string `json:"do,omitempty"`    // what to do; empty for Good

	Detail map[string]any `json:"detail,omitempty"` // figures for programs

	alike string // findings of several doors that differ in words only have this in common
}

// A Report takes findings as they come. It may be called from several goroutines at the same time.
type Report func(Finding)

// A Progress is told what is looked at now, before each wait ("port 587 at 2001:db8::1"). Nil is silence.
type Progress func(what string)

func (p Progress) say(format string, args ...any) {
	if p != nil {
		p(fmt.Sprintf(format, args...))
	}
}

// maxQuote bounds what is shown of a text from outside.
const maxQuote = 300

// clean makes a text from outside fit to be shown: one line, no control or formatting characters, bounded.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "?")
	var b strings.Builder
	for _, r := range strings.TrimSpace(s) {
		switch {
		case b.Len() >= maxQuote:
			return b.String() + "…"
		case r == '\n', r == '\t':
			b.WriteByte(' ')
		case r == '\r':
		case printable(r):
			b.WriteRune(r)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}
