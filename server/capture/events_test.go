package capture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stream is a client that listens to events.
type stream struct {
	h     *house
	lines *bufio.Scanner
	end   context.CancelFunc
}

// piped is an answer that is read while it is written.
type piped struct {
	io.Writer
	header http.Header
}

func (p piped) Header() http.Header { return p.header }
func (p piped) WriteHeader(int)     {}
func (p piped) Flush()              {}

func (h *house) listen(path, after string) *stream {
	ctx, end := context.WithCancel(h.t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", "http://localhost"+path, nil)
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	out, in := io.Pipe()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		h.Handler().ServeHTTP(piped{in, http.Header{}}, r)
		in.Close()
	}()
	s := &stream{h, bufio.NewScanner(out), func() { end(); out.Close(); <-gone }}
	h.t.Cleanup(s.end)
	if !s.lines.Scan() || !strings.HasPrefix(s.lines.Text(), ":") {
		h.t.Fatalf("it begins with %q", s.lines.Text())
	}
	return s
}

// next is the next event.
func (s *stream) next() (of Event) {
	s.h.t.Helper()
	for range 100 { // lines, signs of life included, so that a test that waits in vain ends
		if !s.lines.Scan() {
			break
		}
		if text, ok := bytes.CutPrefix(s.lines.Bytes(), []byte("data: ")); ok {
			if err := json.Unmarshal(text, &of); err != nil {
				s.h.t.Fatal(err)
			}
			return of
		}
	}
	s.h.t.Fatal("there are no more events")
	return of
}

// kinds are the kinds of the next n events.
func (s *stream) kinds(n int) string {
	s.h.t.Helper()
	var all []string
	for range n {
		all = append(all, s.next().Kind)
	}
	return strings.Join(all, " ")
}

// settle lets all that is under way in a bubble end, and a moment pass.
func settle() {
	synctest.Wait()
	time.Sleep(time.Millisecond)
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.sent("alice", "x@example.com", "carol@example.net", note)
		settle()
		all, alice := h.listen("/api/t/v1/events", ""), h.listen("/inbox/Alice/api/t/v1/events", "")
		h.ask(http.StatusOK, "PUT", "/api/t/v1/script", `[{"on":"rcpt","times":1,"do":{"reply":[550,"5.1.1","no"]}}]`)
		if h.send("bob", "x@example.com", "carol@example.net", note) == nil {
			t.Fatal("a rule did not act")
		}
		settle()
		h.sent("alice", "x@example.com", "carol@example.net", note+"second\n")
		if got := all.kinds(6); got != "session rule refused session message end" {
			t.Error(got)
		}
		if got := alice.kinds(3); got != "session message end" {
			t.Error(got)
		}
		id := h.Mail.Inbox("alice").Messages()[0].ID
		h.Mail.Inbox("alice").Delete()
		if of := alice.next(); of.Kind != "deleted" || of.Message != id || of.User != "alice" {
			t.Errorf("%+v", of)
		}
	})
}

// Who comes back is told what happened meanwhile.
func TestEventsAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		first := h.listen("/api/t/v1/events", "")
		h.sent("alice", "x@example.com", "carol@example.net", note)
		begun := first.next()
		first.end()
		settle()
		h.sent("alice", "x@example.com", "carol@example.net", note+"second\n")
		settle()
		again := h.listen("/api/t/v1/events", "1")
		if begun.ID != 1 || begun.Kind != "session" {
			t.Errorf("%+v", begun)
		}
		if got := again.kinds(5); got != "message end session message end" {
			t.Error(got)
		}
		if got := h.listen("/inbox/alice/api/t/v1/events?after=0", "").kinds(6); got != "session message end session message end" {
			t.Error(got)
		}
		lost := h.listen("/inbox/bob/api/t/v1/events", "100").next()
		if lost.Kind != "lost" || lost.ID != 6 {
			t.Errorf("after an id of another server: %+v", lost)
		}
	})
}

func TestEventsThatAreForgotten(t *testing.T) {
	e := events{last: 20, kept: make([]Event, 10)} // 11 to 20
	for after, want := range map[int64]int{-1: 0, 0: 10, 10: 10, 15: 5, 20: 0} {
		if got := e.since(after); len(got) != want {
			t.Errorf("%d events after %d, and not %d", len(got), after, want)
		}
	}
	for _, after := range []int64{9, 21} {
		if got := e.since(after); len(got) != 1 || got[0].Kind != "lost" || got[0].ID != 20 {
			t.Errorf("after %d: %+v", after, got)
		}
	}
}

func TestStreamsShowThatTheyLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		s, began := h.listen("/api/t/v1/events", ""), time.Now()
		for range 2 { // the end of the first one, and the next
			s.lines.Scan()
		}
		if took := time.Since(began); took != heartbeat {
			t.Errorf("a sign of life after %s", took)
		}
	})
}

func TestStreamsAreLimited(t *testing.T) {
	h := newHouse(t)
	h.events.streams.Store(maxStreams)
	over, end := context.WithCancel(t.Context())
	end() // so that a stream that should not begin ends
	h.serve(http.StatusServiceUnavailable, httptest.NewRequestWithContext(over, "GET", "http://localhost/api/t/v1/events", nil))
	if n := h.events.streams.Load(); n != maxStreams {
		t.Errorf("%d streams are counted", n)
	}
}
