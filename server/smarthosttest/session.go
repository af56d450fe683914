package smarthosttest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Session is what was said on one connection, as it stands at the moment at which it was asked for.
type Session struct {
	ID       string         // as in replies, and in Message.Session
	Remote   netip.AddrPort // the client
	Implicit bool           // it came by the door with implicit TLS
	User     string         // who has logged in; "" is nobody
	Claimed  string         // who the client last said to be, whether it was right or not
	Hello    string         // the argument of the last EHLO or HELO
	TLS      string         // version, suite and server name; "": no TLS
	Began    time.Time
	Ended    time.Time // zero: it is still open
	End      string    // why it ended; "" is QUIT, or that it has not
	Events   []Event
}

// A Dir is who an Event comes from.
type Dir byte

// The directions.
const (
	Client Dir = 'C' // the client sent a line
	Served Dir = 'S' // the server, or a rule, sent a line
	Noted  Dir = '*' // something happened that is no line
)

// An Event is one line of a transcript.
type Event struct {
	At   time.Duration // since the session began
	Dir  Dir
	Line string // without its end of line; secrets as ***
	Kind Kind
	// Waiting are the octets that the client had sent behind the line when it was read.
	Waiting int
}

// Kind says what an Event is, for those who look for one.
type Kind string

// The kinds.
const (
	KindCommand   Kind = "command"   // a command line
	KindResponse  Kind = "response"  // a line inside AUTH
	KindReply     Kind = "reply"     // a line of a reply
	KindHandshake Kind = "handshake" // TLS is up, or has failed
	KindContent   Kind = "content"   // the client has ended a message
	KindViolation Kind = "violation" // the client broke the protocol
	KindLogin     Kind = "login"     // somebody has logged in
	KindFault     Kind = "fault"     // a rule did something that is no reply
	KindEnd       Kind = "end"       // the connection is over
	KindFull      Kind = "full"      // the transcript is longer than is kept
)

// Transcript is the session as text, a line for each event: C: for what the client said, S: for what it heard, * for what happened besides.
// Times and addresses are not in it.
func (s *Session) Transcript() string {
	var b strings.Builder
	for _, e := range s.Events {
		fmt.Fprintf(&b, "%c: %s\n", e.Dir, e.Line)
	}
	return b.String()
}

// String is the transcript below a line that says whose it is.
func (s *Session) String() string {
	user := s.User
	if user == "" {
		user = "nobody"
	}
	return fmt.Sprintf("session %s from %s, logged in: %s\n%s", s.ID, s.Remote, user, s.Transcript())
}

// sessions are all that a server remembers.
type sessions struct {
	most int // that are kept

	mu      sync.Mutex
	kept    []*record
	changed chan struct{} // closed at the next change
}

// record is a session that is being written.
type record struct {
	of *sessions
	Session
}

func newSessions(most int) *sessions {
	return &sessions{most: most, changed: make(chan struct{})}
}

// begin opens a session.
func (l *sessions) begin(s Session) *record {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &record{of: l, Session: s}
	l.kept = append(l.kept, r)
	if over := len(l.kept) - l.most; over > 0 {
		l.kept = slices.Delete(l.kept, 0, over)
	}
	l.tell()
	return r
}

// tell wakes all who wait for a change; mu is held.
func (l *sessions) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// all returns copies of the sessions that match, in the order in which they began, and a channel that is closed when that may have changed.
func (l *sessions) all(match func(*Session) bool) ([]*Session, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var of []*Session
	for _, r := range l.kept {
		if match(&r.Session) {
			s := r.Session
			s.Events = slices.Clip(s.Events) // the record goes on behind it
			of = append(of, &s)
		}
	}
	return of, l.changed
}

// remove forgets the sessions that match and are over.
func (l *sessions) remove(match func(*Session) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = slices.DeleteFunc(l.kept, func(r *record) bool { return !r.Ended.IsZero() && match(&r.Session) })
	l.tell()
}

// maxEvents are kept of one session, so that one that never ends does not fill the memory.
const maxEvents = 10_000

// note writes an event, and changes the session with it.
func (r *record) note(e Event, change func(*Session)) {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	e.At = time.Since(r.Began)
	switch room := maxEvents - len(r.Events); {
	case room > 0 || e.Kind == KindEnd:
		r.Events = append(r.Events, e)
	case room == 0:
		r.Events = append(r.Events, Event{At: e.At, Dir: Noted, Kind: KindFull, Line: "what follows is left out, up to the end"})
	}
	if change != nil {
		change(&r.Session)
	}
	r.of.tell()
}
