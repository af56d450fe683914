package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// digestEvery is how often it is looked whether the digest is due, and what was counted is noted: a kill forgets no more than that.
const digestEvery = time.Minute

// A digest is the daily mail to the operator: what was counted since the last one, and how the queue and the certificate are.
// It is a memory, so that counts and days outlive a restart.
type digest struct {
	Config func() *Config // in force
	Counts prometheus.Gatherer
	Status func(context.Context) (admin.Status, error)
	Recent func() []admin.Refusal // newest first; for the words of refusals
	Queue  func(ctx context.Context, to string, key string, m digestMail) error
	Log    zerolog.Logger

	mu      sync.Mutex
	kept    digestState
	base    map[string]float64 // what the counters said when kept.Counts was last brought up to date
	changes uint64
}

// digestState is what a restart must not forget.
type digestState struct {
	Last   time.Time          `json:"last"`  // the time of day that the last digest was for
	Since  time.Time          `json:"since"` // when Counts began
	Counts map[string]float64 `json:"counts"`
}

// digestCounters are the counters that a digest tells of, under the words that it keeps them by; of refusals each kind is one.
var digestCounters = map[string]string{
	"smarthost_messages_total":           "messages",
	"smarthost_message_recipients_total": "recipients",
	"smarthost_duplicates_total":         "duplicates",
	"smarthost_recipient_results_total":  "result",
	"smarthost_refusals_total":           "refused",
}

func (s *service) newDigest() *digest {
	return &digest{
		Config: s.inForce.Load,
		Counts: s.Metrics,
		Status: s.status,
		Recent: func() []admin.Refusal { return s.Refusals.Before(0, digestRecent) },
		Queue:  s.queueDigest,
		Log:    s.Log,
	}
}

// Run sends a digest whenever one is due, until ctx ends.
func (d *digest) Run(ctx context.Context) error {
	tick := time.NewTicker(digestEvery)
	defer tick.Stop()
	for {
		if err := d.look(ctx, time.Now()); err != nil && ctx.Err() == nil {
			d.Log.Error().Err(err).Msg("the digest could not be queued; it is tried again in a minute")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Note brings the counts up to date.
func (d *digest) Note() {
	if d.Config().Digest.To == "" {
		return
	}
	if err := d.note(time.Now()); err != nil {
		d.Log.Error().Err(err).Msg("the counts for the digest cannot be read")
	}
}

// look sends the digest if it is due.
func (d *digest) look(ctx context.Context, now time.Time) error {
	c := d.Config()
	if c.Digest.To == "" {
		d.forget()
		return nil
	}
	if err := d.note(now); err != nil {
		return err
	}
	due := lastTime(now, c.Digest.At)
	state := d.state()
	if state.Last.IsZero() { // the first one comes when a day's time is next reached
		d.done(due, state, now, false)
		return nil
	}
	if !state.Last.Before(due) {
		return nil
	}
	status, err := d.Status(ctx)
	if err != nil {
		return err
	}
	// Should the program end before it is noted that the mail is queued, the key keeps it from being queued twice.
	key := strings.Join([]string{"digest", c.Digest.To, due.UTC().Format(time.RFC3339)}, " ")
	m := digestMail{Hostname: c.Hostname, To: c.Digest.To, Now: now, Since: state.Since, Counts: state.Counts, Status: status, Recent: d.Recent()}
	if err := d.Queue(ctx, c.Digest.To, key, m); err != nil {
		if _, already := errors.AsType[*spool.Duplicate](err); !already {
			return err
		}
	}
	d.done(due, state, now, true)
	return nil
}

// lastTime is the latest moment, not after now, when the clock said at.
func lastTime(now time.Time, at clockTime) time.Time {
	t := time.Date(now.Year(), now.Month(), now.Day(), at.Hour, at.Minute, 0, 0, now.Location())
	if t.After(now) {
		t = time.Date(now.Year(), now.Month(), now.Day()-1, at.Hour, at.Minute, 0, 0, now.Location())
	}
	return t
}

// note adds what was counted since it was last called.
func (d *digest) note(now time.Time) error {
	counted, err := d.read()
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept.Since.IsZero() {
		d.kept.Since, d.kept.Counts, d.base = now, map[string]float64{}, counted
		d.changes++
		return nil
	}
	for name, n := range counted {
		if more := n - d.base[name]; more > 0 {
			d.kept.Counts[name] += more
			d.changes++
		}
	}
	d.base = counted
	return nil
}

// read asks the counters.
func (d *digest) read() (map[string]float64, error) {
	families, err := d.Counts.Gather()
	if err != nil && len(families) == 0 {
		return nil, err // else another collector failed, such as the one of a queue whose disk is in trouble
	}
	all := map[string]float64{}
	for _, f := range families {
		name, ok := digestCounters[f.GetName()]
		if !ok {
			continue
		}
		for _, m := range f.GetMetric() {
			of := map[string]string{}
			for _, l := range m.GetLabel() {
				of[l.GetName()] = l.GetValue()
			}
			words := []string{name}
			for _, label := range []string{"result", "stage", "code", "status"} {
				if of[label] != "" {
					words = append(words, of[label])
				}
			}
			all[strings.Join(words, " ")] += m.GetCounter().GetValue()
		}
	}
	return all, nil
}

func (d *digest) state() digestState {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.kept
	s.Counts = maps.Clone(s.Counts)
	return s
}

// done notes for which time the digest went out, and takes off what it told.
func (d *digest) done(due time.Time, told digestState, now time.Time, sent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept.Last = due
	d.changes++
	if !sent {
		return
	}
	d.kept.Since = now
	for name, n := range told.Counts {
		if d.kept.Counts[name] -= n; d.kept.Counts[name] <= 0 {
			delete(d.kept.Counts, name)
		}
	}
}

// forget begins anew when the digest is wanted again.
func (d *digest) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.kept.Since.IsZero() {
		d.kept = digestState{}
		d.changes++
	}
}

// Snapshot, Restore and Changes make it a memory.
func (d *digest) Snapshot() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	text, err := json.Marshal(d.kept)
	if err != nil {
		panic(err) // numbers and times can always be written
	}
	return text
}

func (d *digest) Restore(text []byte) error {
	var kept digestState
	if err := json.Unmarshal(text, &kept); err != nil {
		return fmt.Errorf("the digest: %w", err)
	}
	if kept.Counts == nil {
		kept.Counts = map[string]float64{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = kept
	return nil
}

func (d *digest) Changes() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changes
}

// queueDigest puts a digest into the queue, from the null reverse-path, so that nothing is ever sent back about it (RFC 5321 §4.5.5).
func (s *service) queueDigest(ctx context.Context, to, key string, m digestMail) error {
	e := &spool.Envelope{ID: spool.NewID(), Recipients: []spool.Recipient{{Address: to, Destination: s.Router.Destination(to)}}}
	draft, err := s.Spool.Create(ctx, e)
	if err != nil {
		return err
	}
	defer draft.Abort()
	m.ID = e.ID
	if _, err := draft.Write(m.Bytes()); err != nil {
		return err
	}
	seal := spool.Seal{Arrived: m.Now, MessageID: m.messageID(), Key: []byte(key), Window: 7 * 24 * time.Hour}
	if err := draft.Commit(ctx, seal); err != nil {
		return err
	}
	s.Log.Info().Str("msg", e.ID).Str("to", to).Str("message_id", m.messageID()).Str("content", "digest").Msg("queued")
	return nil
}
