package spool

import (
	"context"
	"encoding/json"
	"time"
)

// EventVersion is the version of Event's JSON form. Fields may be added to it; a change of what one means raises it.
const EventVersion = 1

// An EventType is what happened to a recipient's mail.
type EventType string

// The types of events.
const (
	EventQueued    EventType = "queued"    // on disk; it comes first, whether the mail is held or not
	EventDelivered EventType = "delivered" // a hop took it
	EventDeferred  EventType = "deferred"  // it is tried again
	EventFailed    EventType = "failed"    // for good: refused, given up, or removed by an operator
)

// EventTypes are all of them.
func EventTypes() []EventType {
	return []EventType{EventQueued, EventDelivered, EventDeferred, EventFailed}
}

// An Event is one step of one recipient's mail, for those outside who want to know. Its JSON form is what they get. There is nothing of
// the content in it.
type Event struct {
	Version     int        `json:"version"`
	ID          string     `json:"id"` // the same however often the event is told
	Type        EventType  `json:"type"`
	At          time.Time  `json:"timestamp"`            // when it was written down
	Message     string     `json:"msg"`                  // Envelope.ID, as in the log
	MessageID   string     `json:"message_id,omitempty"` // of the header, without angle brackets
	Session     string     `json:"session,omitempty"`
	Account     string     `json:"account,omitempty"` // "" for the server's own mail
	Device      string     `json:"device,omitempty"`
	Sender      string     `json:"sender"` // "" is the null reverse-path
	Recipient   string     `json:"recipient"`
	Destination string     `json:"destination"`
	Parent      string     `json:"parent,omitempty"` // for a report: the message that it speaks of
	Attempt     int        `json:"attempt,omitempty"`
	Hop         string     `json:"hop,omitempty"` // host and address that answered
	Code        int        `json:"code,omitempty"`
	Enhanced    string     `json:"enhanced,omitempty"` // RFC 3463
	Reply       string     `json:"reply,omitempty"`    // cut to 512 octets
	Next        *time.Time `json:"next,omitempty"`     // deferred: when it is tried again
}

// A Notice is an Event that waits to be told to one listener.
type Notice struct {
	Number   int64
	ID       string // Event.ID
	Message  string // Event.Message
	At       time.Time
	Attempts int
	Body     json.RawMessage // the Event
}

// A Postponement puts a notice off.
type Postponement struct {
	Number int64
	Until  time.Time
}

// An Outbox keeps events for listeners, from the transaction that made them true until they are told. All methods may be called at the
// same time; each listener's notices are taken by one caller.
type Outbox interface {
	// Notices are at most most of those that are due for a listener, of each message its oldest alone, so that they are told in
	// their order. Without one, next is when the next is due (zero: there is none), and changed is closed when there are new ones.
	Notices(ctx context.Context, listener string, most int) (due []Notice, next time.Time, changed <-chan struct{}, err error)
	// Told ends notices, and puts others off.
	Told(ctx context.Context, done []int64, later []Postponement) error
}
