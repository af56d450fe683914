package capture

import (
	"net/http"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

// A Session is a connection of a client. Who has not logged in is in the inbox of the user that it claimed to be.
type Session struct {
	ID       string     `json:"id"` // as in replies
	Remote   string     `json:"remote"`
	Implicit bool       `json:"implicit"` // by the door with implicit TLS
	User     string     `json:"user"`     // who has logged in; "" is nobody
	Claimed  string     `json:"claimed"`  // who the client last said to be, whether it was right or not
	Hello    string     `json:"hello"`    // the argument of the last EHLO or HELO
	TLS      string     `json:"tls"`      // version, suite and server name; "" is no TLS
	Began    time.Time  `json:"began"`
	Ended    *time.Time `json:"ended"`           // null: it is still open
	End      string     `json:"end"`             // why it ended; "" is by QUIT
	Messages []string   `json:"messages"`        // ids of those that it brought and that are kept
	Lines    []Line     `json:"lines,omitempty"` // of one session that is asked for
}

// A Line is one of a transcript.
type Line struct {
	At   float64 `json:"at"`  // seconds since the session began
	Dir  string  `json:"dir"` // C: the client, S: the server, *: something that happened besides
	Kind string  `json:"kind"`
	Line string  `json:"line"` // secrets as ***
}

// SessionList is a list of sessions, in the order in which they began.
type SessionList struct {
	Sessions []Session `json:"sessions"`
	More     bool      `json:"more"` // there are older ones, which are left out
}

const (
	standardList = 1000
	mostListed   = 10_000
)

func (s *Server) listSessions(w http.ResponseWriter, r *request) error {
	q, err := query(r, "user", "limit")
	if err != nil {
		return err
	}
	limit, err := number(q, "limit", 1, mostListed, standardList)
	if err != nil {
		return err
	}
	of := r.inbox.Sessions()
	if user := q.Get("user"); user != "" {
		theirs := map[string]bool{}
		for _, x := range s.Mail.Inbox(user).Sessions() {
			theirs[x.ID] = true
		}
		of = filter(of, func(x *smarthosttest.Session) bool { return theirs[x.ID] })
	}
	list := SessionList{Sessions: []Session{}, More: len(of) > limit}
	brought := broughtBy(r.inbox.Messages())
	for _, x := range of[max(0, len(of)-limit):] {
		list.Sessions = append(list.Sessions, described(x, brought[x.ID]))
	}
	web.Answer(w, http.StatusOK, list)
	return nil
}

// showSession answers with a session, or with its transcript if its id is followed by .txt.
func (s *Server) showSession(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	id, text := strings.CutSuffix(r.PathValue("session"), ".txt")
	x := find(r.inbox.Sessions(), func(x *smarthosttest.Session) bool { return x.ID == id })
	if x == nil {
		return web.Fail(http.StatusNotFound, "there is no session "+web.Printable(id), "/api/t/v1/sessions lists them; a reset forgets those that are over")
	}
	if text {
		answerText(w, http.StatusOK, x.String())
		return nil
	}
	of := described(x, broughtBy(r.inbox.Messages(smarthosttest.In(id)))[id])
	of.Lines = []Line{}
	for _, e := range x.Events {
		of.Lines = append(of.Lines, Line{e.At.Seconds(), string(rune(e.Dir)), string(e.Kind), e.Line})
	}
	web.Answer(w, http.StatusOK, of)
	return nil
}

func described(x *smarthosttest.Session, messages []string) Session {
	of := Session{
		ID: x.ID, Remote: x.Remote.String(), Implicit: x.Implicit, User: x.User, Claimed: x.Claimed, Hello: x.Hello, TLS: x.TLS, Began: x.Began, End: x.End,
		Messages: messages,
	}
	if !x.Ended.IsZero() {
		of.Ended = &x.Ended
	}
	if of.Messages == nil {
		of.Messages = []string{}
	}
	return of
}

// broughtBy are the messages' ids, by session.
func broughtBy(messages []*smarthosttest.Message) map[string][]string {
	ids := map[string][]string{}
	for _, m := range messages {
		ids[m.Session] = append(ids[m.Session], m.ID)
	}
	return ids
}

func filter[T any](all []*T, is func(*T) bool) (of []*T) {
	for _, x := range all {
		if is(x) {
			of = append(of, x)
		}
	}
	return of
}

func find[T any](all []*T, is func(*T) bool) *T {
	for _, x := range all {
		if is(x) {
			return x
		}
	}
	return nil
}
