package capture

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

const (
	keptEvents = 10_000                // for streams that come back
	heartbeat  = 15 * time.Second      // between two signs of life
	gathering  = 50 * time.Millisecond // in which what happens is told together
	maxStreams = 256                   // at a time
)

// An Event is something that happened.
type Event struct {
	ID      int64     `json:"id"`   // 1, 2, 3 … over all inboxes
	Kind    string    `json:"kind"` // message, deleted, session, refused, rule, end, or lost: events were missed, so ask again for all
	At      time.Time `json:"at"`
	User    string    `json:"user,omitempty"`    // whose inbox it is in
	Message string    `json:"message,omitempty"` // id
	Session string    `json:"session,omitempty"` // id
	Line    string    `json:"line,omitempty"`    // the reply, what the rule did, or why the session ended
}

// events are what has happened, as far as somebody has looked. What has happened since is found in what the test double keeps, so that it costs
// nothing as long as nobody asks.
type events struct {
	streams atomic.Int32

	mu       sync.Mutex
	last     int64
	kept     []Event
	messages map[string]string // users, by the ids of the messages that were there
	sessions map[string]int    // how many lines of each session were looked at
}

// order is that of kinds at the same moment.
var order = []string{"session", "rule", "refused", "message", "end", "deleted"}

// look finds what has happened since the last look, and returns the events behind an id: all that are kept if it is 0, none if it is negative.
// It also returns the id of the last one.
func (e *events) look(mail *smarthosttest.Server, after int64) ([]Event, int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	found := append(e.lookAtMessages(mail.Messages()), e.lookAtSessions(mail.Sessions())...)
	slices.SortStableFunc(found, func(a, b Event) int {
		return cmp.Or(a.At.Compare(b.At), slices.Index(order, a.Kind)-slices.Index(order, b.Kind))
	})
	for _, of := range found {
		e.last++
		of.ID = e.last
		e.kept = append(e.kept, of)
	}
	if over := len(e.kept) - keptEvents; over > 0 {
		e.kept = slices.Clone(e.kept[over:])
	}
	return e.since(after), e.last
}

func (e *events) since(after int64) []Event {
	first := e.last + 1 - int64(len(e.kept))
	switch {
	case after < 0:
		return nil
	case after > e.last || after > 0 && after < first-1:
		return []Event{{ID: e.last, Kind: "lost", At: time.Now()}}
	}
	return slices.Clone(e.kept[max(after+1-first, 0):])
}

func (e *events) lookAtMessages(now []*smarthosttest.Message) (found []Event) {
	there := make(map[string]string, len(now))
	for _, m := range now {
		there[m.ID] = m.User
		if _, known := e.messages[m.ID]; !known {
			found = append(found, Event{Kind: "message", At: m.Time, User: m.User, Message: m.ID, Session: m.Session})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.messages)) {
		if _, still := there[id]; !still {
			found = append(found, Event{Kind: "deleted", At: time.Now(), User: e.messages[id], Message: id})
		}
	}
	e.messages = there
	return found
}

func (e *events) lookAtSessions(now []*smarthosttest.Session) (found []Event) {
	seen := make(map[string]int, len(now))
	for _, s := range now {
		of := Event{User: cmp.Or(s.User, s.Claimed), Session: s.ID}
		from, known := e.sessions[s.ID]
		if !known {
			of.Kind, of.At = "session", s.Began
			found = append(found, of)
		}
		for _, line := range s.Events[min(from, len(s.Events)):] {
			if of.Kind = kindOf(line); of.Kind != "" {
				of.At, of.Line = s.Began.Add(line.At), line.Line
				found = append(found, of)
			}
		}
		seen[s.ID] = len(s.Events)
	}
	e.sessions = seen
	return found
}

// kindOf is the kind of the event that a line of a transcript is, "" if it is none.
func kindOf(line smarthosttest.Event) string {
	switch line.Kind {
	case smarthosttest.KindReply:
		if len(line.Line) >= 4 && (line.Line[0] == '4' || line.Line[0] == '5') && line.Line[3] == ' ' {
			return "refused"
		}
	case smarthosttest.KindFault:
		if line.Dir == smarthosttest.Noted {
			return "rule"
		}
	case smarthosttest.KindEnd:
		return "end"
	}
	return ""
}

// follow tells what happens, as server-sent events, until the client has enough.
func (s *Server) follow(w http.ResponseWriter, r *request) error {
	after, err := lastSeen(r)
	if err != nil {
		return err
	}
	defer s.events.streams.Add(-1)
	if s.events.streams.Add(1) > maxStreams {
		return web.Fail(http.StatusServiceUnavailable, "too many streams are open", "close one, or ask for messages with wait=")
	}
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{}) // it has been read, and a deadline that passes would end the request
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	text := ":\n\n" // so that the client knows that it is heard
	for {
		messages, sessions := s.Mail.Changed(), s.Mail.SessionsChanged() // before the look
		found, last := s.events.look(s.Mail, after)
		after = last
		for _, of := range found {
			if of.Kind == "lost" || r.user == "" || strings.EqualFold(of.User, r.user) {
				text += of.sent()
			}
		}
		control.SetWriteDeadline(time.Now().Add(answerTime)) // who reads no more is let go
		if text != "" {
			if _, err := io.WriteString(w, text); err != nil || control.Flush() != nil {
				return nil
			}
		}
		text = ""
		select {
		case <-messages:
		case <-sessions:
		case <-beat.C:
			text = ":\n\n"
			continue
		case <-r.Context().Done():
			return nil
		}
		if pause(r.Context(), gathering) != nil {
			return nil
		}
	}
}

// lastSeen is the id of the last event that a client has: the header is what browsers send when they come back.
func lastSeen(r *request) (int64, error) {
	q, err := query(r, "after")
	if err != nil {
		return 0, err
	}
	name, text := "after", q.Get("after")
	if of := r.Header.Get("Last-Event-ID"); of != "" {
		name, text = "Last-Event-ID", of
	}
	if text == "" {
		return -1, nil
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 0 {
		return 0, badParameter(name, "must be the id of an event, or 0 for all that are known")
	}
	return id, nil
}

// sent is the event as it is sent.
func (of Event) sent() string {
	text, err := json.Marshal(of)
	if err != nil {
		panic(err) // strings and numbers
	}
	return fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", of.ID, of.Kind, text)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
