package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
)

// stateEvery is how often what the server remembers is written down: after a kill the last second is forgotten.
const stateEvery = time.Second

// A memory is something that has to outlive a restart: the use of the limits, who logs in from where, when devices were last seen.
type memory interface {
	Snapshot() []byte
	Restore([]byte) error
	Changes() uint64 // grows with every change
}

// devicesMemory is the name of auth.Sightings among the memories; smarthost device reads them too.
const devicesMemory = "devices"

func (c *Config) stateFile() string { return filepath.Join(c.Data, "state.json") }

// state keeps memories in one file. A file that cannot be read is set aside: what is lost with it is only
// the count of the current hour and the last days' logins, and mail matters more.
type state struct {
	File     string
	Memories map[string]memory
	Log      zerolog.Logger

	saved map[string]uint64
	parts map[string]json.RawMessage // as they were saved
}

// Load restores all memories.
func (s *state) Load() error {
	text, err := os.ReadFile(s.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var parts map[string]json.RawMessage
	faults := []error{json.Unmarshal(text, &parts)}
	for name, m := range s.Memories {
		if part, ok := parts[name]; ok {
			faults = append(faults, m.Restore(part)) // each for itself: a device's last use must not take the limits with it
		}
	}
	if err = errors.Join(faults...); err == nil {
		return nil
	}
	aside := s.File + ".damaged"
	s.Log.Error().Err(err).Str("file", s.File).Str("aside", aside).Msg("what the server remembers (the use of the limits, known logins, last uses of devices) could not be read, all or in part, and that begins anew; the file is set aside")
	return os.Rename(s.File, aside)
}

// Run saves what has changed each second, and once more when ctx ends.
func (s *state) Run(ctx context.Context) error {
	tick := time.NewTicker(stateEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return s.save()
		case <-tick.C:
		}
		err := s.save()
		if err != nil && !failing {
			s.Log.Error().Err(err).Msg("the use of the limits cannot be saved; a restart would forget it")
		}
		failing = err != nil
	}
}

func (s *state) save() error {
	now := map[string]uint64{}
	changed := false
	for name, m := range s.Memories {
		now[name] = m.Changes()
		changed = changed || now[name] != s.saved[name]
	}
	if !changed {
		return nil
	}
	if s.parts == nil {
		s.parts = map[string]json.RawMessage{}
	}
	for name, m := range s.Memories {
		if s.parts[name] == nil || now[name] != s.saved[name] {
			s.parts[name] = m.Snapshot()
		}
	}
	text, err := json.Marshal(s.parts)
	if err != nil {
		return fmt.Errorf("save %s: %w", s.File, err)
	}
	if err := writeFile(s.File, text, 0o600); err != nil {
		return fmt.Errorf("save %s: %w", s.File, err)
	}
	s.saved = now
	return nil
}
