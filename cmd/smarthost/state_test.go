package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// note is a memory of one word.
type note struct {
	mu      sync.Mutex
	word    string
	changes uint64
}

func (n *note) Snapshot() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	text, err := json.Marshal(n.word)
	if err != nil {
		panic(err)
	}
	return text
}

func (n *note) Restore(text []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return json.Unmarshal(text, &n.word)
}

func (n *note) Changes() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changes
}

func (n *note) write(word string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.word, n.changes = word, n.changes+1
}

// checklist 116: what is remembered outlives a kill after a second, and an ordered end at once.
func TestStateIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	synctest.Test(t, func(t *testing.T) {
		n := new(note)
		s := &state{File: file, Memories: map[string]memory{"note": n}, Log: zerolog.Nop()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		restored := func() string {
			again := new(note)
			if err := (&state{File: file, Memories: map[string]memory{"note": again}}).Load(); err != nil {
				t.Fatal(err)
			}
			return again.word
		}
		n.write("first")
		time.Sleep(stateEvery + time.Millisecond) // the bubble's clock
		synctest.Wait()
		if got := restored(); got != "first" {
			t.Errorf("after a second the file says %q", got)
		}
		n.write("second")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := restored(); got != "second" {
			t.Errorf("after the end the file says %q", got)
		}
	})
}

func TestDamagedStateIsSetAside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(file, []byte(`{"note": "wor`), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := &state{File: file, Memories: map[string]memory{"note": new(note)}, Log: zerolog.New(&log)}
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file + ".damaged"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), `"level":"error"`) {
		t.Errorf("no alarm: %q", log.String())
	}
}

// One memory that cannot be read takes no other with it.
func TestPartOfTheStateIsDamaged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	memories := map[string]memory{"damaged": new(note)}
	parts := map[string]any{"damaged": 1} // a note is a string
	for _, name := range strings.Fields("a b c d e f g h i j k l m n o p") {
		memories[name], parts[name] = new(note), "kept"
	}
	text, err := json.Marshal(parts)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := (&state{File: file, Memories: memories, Log: zerolog.Nop()}).Load(); err != nil {
		t.Fatal(err)
	}
	for name, m := range memories {
		if got := m.(*note).word; name != "damaged" && got != "kept" {
			t.Errorf("%s holds %q", name, got)
		}
	}
	if _, err := os.Stat(file + ".damaged"); err != nil {
		t.Error(err)
	}
}

// What has not changed is not written down anew, and stays in the file.
func TestUnchangedMemoryStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	still, busy := new(note), new(note)
	s := &state{File: file, Memories: map[string]memory{"still": still, "busy": busy}, Log: zerolog.Nop()}
	for _, word := range []string{"first", "second"} {
		busy.write(word)
		if word == "first" {
			still.write("kept")
		} else {
			still.word = "not announced"
		}
		if err := s.save(); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || got["busy"] != word || got["still"] != "kept" {
			t.Errorf("the file says %v, %v", got, err)
		}
	}
}
