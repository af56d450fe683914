package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	maxSightings = 1 << 16     // devices; the ones that were seen the longest ago give way
	sightEvery   = time.Minute // how often one that stays as it is is noted
	maxHello     = 255         // octets of an EHLO name (RFC 5321 §4.5.3.1.2)
)

// A Sighting is when, and from where, a login was last used.
type Sighting struct {
	At    time.Time  `json:"at"` // to the second
	Addr  netip.Addr `json:"address"`
	Hello string     `json:"hello"` // printable, whatever the client sent
}

// Sightings are the last ones of each login, of 65,536 at most. The zero Sightings are none and ready; so are nil ones, which note nothing.
// All methods may be called at the same time.
type Sightings struct {
	once    sync.Once
	last    *lru.Cache[seenAs, seen]
	changes atomic.Uint64
}

type seenAs struct{ name, device string }

// seen is a sighting with what tells the secret that was used from a later one of the same device.
type seen struct {
	Sighting
	secret string
}

func (s *Sightings) prepare() { s.last = newCache[seenAs, seen](maxSightings) }

// note is called when a login was of use.
func (s *Sightings) note(l Login, peer Peer) {
	if s == nil {
		return
	}
	s.once.Do(s.prepare)
	key := seenAs{l.Name, l.Device}
	now := seen{Sighting{time.Now().UTC().Truncate(time.Second), peer.Addr.Unmap(), printable(peer.Hello)}, secretID(l.Hash)}
	if old, ok := s.last.Get(key); ok && now.At.Sub(old.At).Abs() < sightEvery {
		if old.At = now.At; old == now {
			return
		}
	}
	s.last.Add(key, now)
	s.changes.Add(1)
}

// Last is the last sighting of a login with its present secret.
func (s *Sightings) Last(l Login) (Sighting, bool) {
	s.once.Do(s.prepare)
	got, ok := s.last.Peek(seenAs{l.Name, l.Device})
	if !ok || got.secret != secretID(l.Hash) {
		return Sighting{}, false
	}
	return got.Sighting, true
}

// secretID tells secrets apart, and tells nothing of them.
func secretID(hash []byte) string {
	sum := sha256.Sum256(hash)
	return hex.EncodeToString(sum[:6])
}

// printable bounds what a client calls itself, and makes it one line.
func printable(s string) string {
	s = s[:min(len(s), maxHello)]
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Changes grows with every change that Snapshot would show.
func (s *Sightings) Changes() uint64 { return s.changes.Load() }

// The snapshot's format. A new version must be able to read this one.
const sightingsVersion = 1

type (
	sightingsSnapshot struct {
		Version int            `json:"version"`
		Devices []seenSnapshot `json:"devices"` // the longest unseen first
	}
	seenSnapshot struct {
		Name   string     `json:"name"`
		Device string     `json:"device,omitempty"`
		Secret string     `json:"secret"` // six octets of the hash's SHA-256
		At     int64      `json:"at"`     // Unix seconds
		Addr   netip.Addr `json:"address"`
		Hello  string     `json:"hello"`
	}
)

// Snapshot is everything as JSON.
func (s *Sightings) Snapshot() []byte {
	s.once.Do(s.prepare)
	all := sightingsSnapshot{Version: sightingsVersion, Devices: []seenSnapshot{}}
	for _, key := range s.last.Keys() {
		if v, ok := s.last.Peek(key); ok {
			all.Devices = append(all.Devices, seenSnapshot{key.name, key.device, v.secret, v.At.Unix(), v.Addr, v.Hello})
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // the types above can always be written
	}
	return text
}

// Restore replaces everything by what Snapshot wrote. On an error nothing is changed.
func (s *Sightings) Restore(snapshot []byte) error {
	var all sightingsSnapshot
	if err := json.Unmarshal(snapshot, &all); err != nil {
		return fmt.Errorf("restore the last uses of devices: %w", err)
	}
	if all.Version != sightingsVersion {
		return errors.New("restore the last uses of devices: written by a newer version")
	}
	s.once.Do(s.prepare)
	s.last.Purge()
	for _, d := range all.Devices {
		s.last.Add(seenAs{d.Name, d.Device}, seen{Sighting{time.Unix(d.At, 0).UTC(), d.Addr, printable(d.Hello)}, d.Secret})
	}
	s.changes.Add(1)
	return nil
}
