package admin

import (
	"strings"
	"testing"
	"time"
)

// What became of a mail is said in a word: of each recipient the last answer counts.
func TestFates(t *testing.T) {
	now := time.Now()
	attempt := func(codes ...int) (a Attempt) {
		for n, code := range codes {
			a.Tries = append(a.Tries, Try{Address: string(rune('a' + n)), Code: code})
		}
		return a
	}
	for want, s := range map[string]Story{
		`<span class="code later">waits</span>`:          {Attempts: []Attempt{attempt(250, 451)}},
		`<span class="code good">delivered</span>`:       {Ended: &now, Attempts: []Attempt{attempt(451, 451), attempt(250, 250)}},
		`<span class="code bad">not delivered</span>`:    {Ended: &now, Attempts: []Attempt{attempt(451), attempt(550)}},
		`<span class="code bad">partly delivered</span>`: {Ended: &now, Attempts: []Attempt{attempt(451, 550), attempt(250)}},
		`<span class="code ">ended</span>`:               {Ended: &now},
	} {
		b := newBrowser(true)
		b.told = func() []Story { return []Story{s} }
		if text := b.get(t, "/trace?of=id1", 200); !strings.Contains(text, want) {
			t.Errorf("the page lacks %s:\n%s", want, text)
		}
	}
}

// A lease has an end, which is no next attempt.
func TestBeingTriedIsNoWait(t *testing.T) {
	b := newBrowser(true)
	next := time.Now().Add(5 * time.Minute)
	for state, want := range map[string]string{"leased": "being tried now", "waiting": "next in 4 min"} {
		b.entry = Entry{ID: "id1", State: state, Next: &next}
		b.told = func() []Story { return []Story{{ID: "id1", Waiting: []Entry{b.entry}}} }
		for _, path := range []string{"/queue", "/trace?of=id1"} {
			if text := b.get(t, path, 200); !strings.Contains(text, want) || strings.Count(text, "next in") != strings.Count(want, "next in") {
				t.Errorf("%s of %s lacks %q:\n%s", path, state, want, text)
			}
		}
	}
}
