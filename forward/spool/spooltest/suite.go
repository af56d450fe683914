// Package spooltest is the suite that every engine of the queue passes. It knows only the contract (package spool):
// what an engine promises besides is tested beside it.
//
// Time-outs are tested in a bubble of testing/synctest; crashes with a child process that is killed.
package spooltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// An Opener opens the engine's queue in dir. A Store that is also an io.Closer is closed by the suite, as often as it opens one.
// It keeps a history. Opening the same dir again after that, or after a kill, must find what was kept.
type Opener = func(t *testing.T, dir string) spool.Store

// Run runs the suite. A test binary that calls it must call Child first thing in TestMain: the crash test starts the binary again.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		test func(*harness)
	}{
		{"commit_claim_body_settle", testCycle},
		{"envelope_comes_back_whole", testEnvelope},
		{"one_delivery_per_destination", testDestinations},
		{"results_are_per_recipient", testPartial},
		{"abort_leaves_nothing", testAbort},
		{"write_after_the_end_fails", testDraftOver},
		{"top_and_cut", testSeal},
		{"bodies_of_all_sizes", testSizes},
		{"old_fences_are_refused", testFences},
		{"release_is_due_at_once", testRelease},
		{"skip_leaves_others", testSkip},
		{"skip_is_no_reason_to_wait_for_others", testSkipMany},
		{"claim_ends_with_its_context", testClaimEnds},
		{"reports_come_with_the_settlement", testReports},
		{"report_is_queued_once", testReportOnce},
		{"reports_and_deliveries_of_one_destination", testManyInOne},
		{"list_pages_and_filters", testList},
		{"damage_sets_aside", testDamage},
		{"missing_bodies_are_not_found", testNotFound},
		{"a_second_message_with_the_same_id_is_a_duplicate", testSameID},
		{"many_writers", testWriters},
		{"reopen_finds_everything", testReopen},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(newHarness(t, open)) })
	}
	for _, c := range controls {
		t.Run(c.name, func(t *testing.T) { c.test(newHarness(t, open)) })
	}
	t.Run("time", func(t *testing.T) { runTimed(t, open) })
	t.Run("kill", func(t *testing.T) { runKill(t, open) })
}

// harness is one open queue and the short words of the tests.
type harness struct {
	*testing.T
	spool.Store
	open Opener
	dir  string
}

func newHarness(t *testing.T, open Opener) *harness {
	h := &harness{T: t, open: open, dir: t.TempDir()}
	h.Store = open(t, h.dir)
	t.Cleanup(h.close)
	return h
}

func (h *harness) close() {
	if c, ok := h.Store.(io.Closer); ok {
		if err := c.Close(); err != nil {
			h.Errorf("close: %v", err)
		}
	}
}

func (h *harness) reopen() {
	h.close()
	h.Store = h.open(h.T, h.dir)
}

func (h *harness) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// letter is an envelope for these addresses, each in the destination that its domain names.
func letter(addresses ...string) *spool.Envelope {
	e := &spool.Envelope{ID: spool.NewID(), Account: "alice", From: "alice@example.org"}
	for _, a := range addresses {
		e.Recipients = append(e.Recipients, spool.Recipient{Address: a, Destination: a[strings.LastIndexByte(a, '@')+1:]})
	}
	return e
}

func (h *harness) commit(e *spool.Envelope, content string, seal spool.Seal) error {
	h.Helper()
	d, err := h.Create(context.Background(), e)
	h.check(err)
	defer d.Abort()
	_, err = io.WriteString(d, content)
	h.check(err)
	return d.Commit(context.Background(), seal)
}

// keep commits a message and returns its id.
func (h *harness) keep(e *spool.Envelope, content string) string {
	h.Helper()
	h.check(h.commit(e, content, spool.Seal{Arrived: time.Now()}))
	return e.ID
}

func (h *harness) claim(most int, skip ...string) []spool.Delivery {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ds, err := h.Claim(ctx, spool.Query{Max: most, Lease: time.Minute, Skip: skip})
	h.check(err)
	if len(ds) == 0 || len(ds) > most {
		h.Fatalf("claim of at most %d returned %d deliveries without an error", most, len(ds))
	}
	return ds
}

func (h *harness) claimOne(skip ...string) spool.Delivery {
	h.Helper()
	return h.claim(1, skip...)[0]
}

// idle tells that nothing is due now.
func (h *harness) idle(skip ...string) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	ds, err := h.Claim(ctx, spool.Query{Max: 10, Lease: time.Minute, Skip: skip})
	if !errors.Is(err, context.DeadlineExceeded) || len(ds) != 0 {
		h.Fatalf("claim with nothing due: %d deliveries, %v", len(ds), err)
	}
}

func (h *harness) body(id string) string {
	h.Helper()
	r, err := h.Body(context.Background(), id)
	h.check(err)
	defer r.Close()
	b, err := io.ReadAll(r)
	h.check(err)
	return string(b)
}

// results gives each recipient of d the reply with this code.
func results(d spool.Delivery, code int) []spool.Result {
	var all []spool.Result
	for _, r := range d.Recipients {
		all = append(all, spool.Result{Address: r.Address, Hop: "mx [192.0.2.1]", Reply: reply(code)})
	}
	return all
}

func reply(code int) smtp.SMTPError {
	return smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: fmt.Sprintf("reply %d", code)}
}

func (h *harness) settle(d spool.Delivery, code int, next time.Duration, reports ...spool.Report) {
	h.Helper()
	h.check(h.Settle(context.Background(), spool.Settlement{Delivery: d, Results: results(d, code), Next: time.Now().Add(next), Reports: reports}))
}

func (h *harness) list(f spool.Filter) []spool.Entry {
	h.Helper()
	var all []spool.Entry
	for e, err := range h.List(context.Background(), f) {
		h.check(err)
		all = append(all, e)
	}
	return all
}

// counts is Stats without zeros and times.
func (h *harness) counts() (messages int, octets int64, byState map[spool.State]int) {
	h.Helper()
	s, err := h.Stats(context.Background())
	h.check(err)
	for state, n := range s.ByState {
		if n == 0 {
			delete(s.ByState, state)
		}
	}
	if (s.Messages == 0) != s.Oldest.IsZero() {
		h.Errorf("%d messages, the oldest of %v", s.Messages, s.Oldest)
	}
	return s.Messages, s.Bytes, s.ByState
}

// empty tells that nothing is kept.
func (h *harness) empty() {
	h.Helper()
	messages, octets, byState := h.counts()
	if messages != 0 || octets != 0 || len(byState) != 0 || len(h.list(spool.Filter{})) != 0 {
		h.Fatalf("not empty: %d messages, %d octets, %v, %v", messages, octets, byState, h.list(spool.Filter{}))
	}
}

func (h *harness) same(what string, got, want any) {
	h.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		h.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// pattern is n octets of CRLF lines that differ from place to place.
func pattern(n int) string {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d of the content\r\n", i)
	}
	return b.String()[:n]
}
