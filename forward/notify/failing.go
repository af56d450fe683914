package notify

import (
	"sync"
	"time"
)

// troubles are what goes wrong with hooks at present.
type troubles struct {
	mu      sync.Mutex
	since   map[string]time.Time // hooks that took nothing of late, from the first attempt that failed on
	givenUp map[string]time.Time // the last event that was given up
}

// note remembers how a hook took what it was told last.
func (t *troubles) note(name string, taken, gaveUp bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since == nil {
		t.since, t.givenUp = map[string]time.Time{}, map[string]time.Time{}
	}
	if _, fails := t.since[name]; taken {
		delete(t.since, name)
	} else if !fails {
		t.since[name] = now
	}
	if gaveUp {
		t.givenUp[name] = now
	}
}

// A Trouble is a hook that somebody should look at.
type Trouble struct {
	Name    string
	Since   time.Time // it has taken nothing since then; zero: it takes events
	GivenUp time.Time // when it was last decided that it never hears of an event; zero: not since the start
}

// Troubles are the hooks that take nothing, or for which events were given up, in the order of the config.
func (n *Notifier) Troubles() (all []Trouble) {
	n.troubles.mu.Lock()
	defer n.troubles.mu.Unlock()
	for _, name := range n.Hooks.Names() {
		t := Trouble{name, n.troubles.since[name], n.troubles.givenUp[name]}
		if !t.Since.IsZero() || !t.GivenUp.IsZero() {
			all = append(all, t)
		}
	}
	return all
}
