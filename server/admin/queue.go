package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Queue is the mail that waits, and what became of the mail that did. Errors that are no Fault are the server's own trouble.
type Queue interface {
	// List shows what the filter chooses, in the order of the ids: those after the one given, and of whole messages at least limit deliveries.
	List(ctx context.Context, f Filter, after string, limit int) (QueuePage, error)
	// Change carries an order out, in pieces, and calls progress after each. When ctx ends what is done stays done.
	Change(ctx context.Context, o Order, progress func(Outcome)) (Outcome, error)
	// Trace tells the stories of an id, a Message-ID or an address, newest first.
	Trace(ctx context.Context, of string, limit int) ([]Story, error)
	// Rules are those that hold new mail.
	Rules(ctx context.Context) ([]Rule, error)
	AddRule(ctx context.Context, r Rule) (Rule, error)
	RemoveRule(ctx context.Context, id int64) error
}

// A Filter chooses deliveries: those for which all that is set holds.
type Filter struct {
	IDs         []string `json:"ids,omitempty"` // of these messages
	Account     string   `json:"account,omitempty"`
	Sender      string   `json:"sender,omitempty"` // reverse-path in any case; * stands for any signs, <> for the null reverse-path
	Destination string   `json:"destination,omitempty"`
	State       string   `json:"state,omitempty"`
	Reply       string   `json:"reply,omitempty"` // part of a last reply
	OlderThan   Span     `json:"older_than,omitzero"`
	NewerThan   Span     `json:"newer_than,omitzero"`
}

// chooses tells whether anything is set.
func (f *Filter) chooses() bool {
	return len(f.IDs) > 0 || f.Account != "" || f.Sender != "" || f.Destination != "" || f.State != "" || f.Reply != "" || f.OlderThan != 0 || f.NewerThan != 0
}

// A Span is a duration, written as 90s, 15m, 2h or 5d.
type Span time.Duration

// UnmarshalText reads one.
func (s *Span) UnmarshalText(text []byte) error {
	var days int
	if n, err := fmt.Sscanf(string(text)+";", "%dd;", &days); n == 1 && err == nil && days > 0 && days < 36500 {
		*s = Span(days) * Span(24*time.Hour)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return errors.New("an age must be such as 90s, 15m, 2h or 5d")
	}
	*s = Span(d)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// A QueuePage is one answer of many.
type QueuePage struct {
	Entries []Entry `json:"entries"`
	Next    string  `json:"next"` // what to ask after= for; "": that was all
}

// An Entry is one delivery: one message for one destination.
type Entry struct {
	ID          string      `json:"id"`
	State       string      `json:"state"`
	Arrived     time.Time   `json:"arrived"`
	Size        int64       `json:"size"`
	Account     string      `json:"account"`
	Device      string      `json:"device"`
	From        string      `json:"from"` // "": the null reverse-path, a report
	Destination string      `json:"destination"`
	Relay       string      `json:"relay,omitempty"` // where it goes in place of its route, without the login
	Attempts    int         `json:"attempts"`
	Next        *time.Time  `json:"next,omitempty"`
	Parent      string      `json:"report_on,omitempty"`
	Recipients  []Recipient `json:"recipients"` // that have not got it yet
}

// A Recipient is one with the last answer about it.
type Recipient struct {
	Address string `json:"address"`
	Hop     string `json:"hop,omitempty"`
	Reply   string `json:"reply,omitempty"`
}

// An Order is something to do to all deliveries that a filter chooses.
type Order struct {
	Do     string `json:"do"` // hold, release, retry, reroute, drop (nobody is told) or return (its sender is)
	Filter Filter `json:"filter"`
	All    bool   `json:"all,omitempty"`   // an empty filter is meant: everything
	Relay  Relay  `json:"relay,omitempty"` // for reroute: a URL with its login if it has one; "": by its route again
	DryRun bool   `json:"dry_run,omitempty"`
	By     string `json:"-"` // who gives it: Caller.Name
}

// A Relay is a URL that may hold a password, and never shows it.
type Relay string

// String shows nothing.
func (Relay) String() string { return "***" }

// GoString is for %#v.
func (Relay) GoString() string { return "***" }

// An Outcome tells how far an order has come, in deliveries.
type Outcome struct {
	Seen    int      `json:"seen"`
	Changed int      `json:"changed"` // in a dry run: that would be
	Leased  int      `json:"leased"`  // that are being tried at this moment: it holds for what the attempt leaves
	Skipped int      `json:"skipped"` // that the filter chose and the order leaves alone
	IDs     []string `json:"ids"`     // the first 100 messages of those changed or leased
	Done    bool     `json:"done"`    // false: a piece, more lines follow
}

// A Rule holds new mail on arrival: what matches all of its fields that are set.
type Rule struct {
	ID          int64     `json:"id"`
	Account     string    `json:"account,omitempty"`
	Sender      string    `json:"sender,omitempty"`
	Destination string    `json:"destination,omitempty"`
	Note        string    `json:"note,omitempty"`
	Added       time.Time `json:"added,omitzero"`
}

// A Story is all that is known of one message.
type Story struct {
	ID        string     `json:"id"`
	MessageID string     `json:"message_id"`
	Session   string     `json:"session"`
	Account   string     `json:"account"`
	Device    string     `json:"device"`
	From      string     `json:"from"`
	Arrived   time.Time  `json:"arrived"`
	Size      int64      `json:"size"`
	Parent    string     `json:"report_on,omitempty"`
	Ended     *time.Time `json:"ended"` // null: it waits still
	Waiting   []Entry    `json:"waiting"`
	Attempts  []Attempt  `json:"attempts"` // oldest first
	Orders    []Ordered  `json:"orders"`   // oldest first; of each delivery the last 32
}

// An Ordered is what an operator, or a rule, did to a delivery.
type Ordered struct {
	At          time.Time `json:"at"`
	Destination string    `json:"destination"`
	Do          string    `json:"do"`
	Relay       string    `json:"relay,omitempty"` // for reroute, without the login; "": by its route again
	By          string    `json:"by"`
}

// Did is what was done, for people.
func (o Ordered) Did() string {
	switch o.Do {
	case "hold":
		return "held"
	case "release":
		return "released"
	case "retry":
		return "made due at once"
	case "drop":
		return "ordered to be dropped"
	case "return":
		return "ordered to be returned to its sender"
	}
	if o.Relay == "" {
		return "given back to its route"
	}
	return "rerouted to " + o.Relay
}

// A Step is one thing in a story: an order or an attempt.
type Step struct {
	Order   *Ordered
	Attempt *Attempt
}

// At is when it was.
func (s Step) At() time.Time {
	if s.Order != nil {
		return s.Order.At
	}
	return s.Attempt.At
}

// Steps are orders and attempts in the order of their times.
func (s Story) Steps() (steps []Step) {
	for i := range s.Orders {
		steps = append(steps, Step{Order: &s.Orders[i]})
	}
	for i := range s.Attempts {
		steps = append(steps, Step{Attempt: &s.Attempts[i]})
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.At().Compare(b.At()) })
	return steps
}

// An Attempt is what one conversation, or an operator, came to.
type Attempt struct {
	At          time.Time  `json:"at"`
	Destination string     `json:"destination"`
	Next        *time.Time `json:"next,omitempty"`
	Reports     []string   `json:"reports,omitempty"`
	Tries       []Try      `json:"tries"`
}

// A Try is what one hop said about one recipient.
type Try struct {
	At      time.Time `json:"at,omitzero"`
	Address string    `json:"address"`
	Hop     string    `json:"hop,omitempty"`
	TLS     string    `json:"tls,omitempty"`
	Took    int64     `json:"took_ms"`
	Code    int       `json:"code"`
	Reply   string    `json:"reply"`
}

// checkOrder says what is wrong with an order before anything is done.
func checkOrder(o *Order) error {
	switch o.Do {
	case "hold", "release", "retry", "drop", "return":
		if o.Relay != "" {
			return badParameter("relay", "is for reroute only")
		}
	case "reroute":
	default:
		return badParameter("do", "must be hold, release, retry, reroute, drop or return")
	}
	if o.Filter.chooses() == o.All {
		return badParameter("filter", `must choose something, or leave it out and say "all": true`)
	}
	return nil
}

// MarshalJSON is for orders on their way to a server, which has to know the login.
func (r Relay) MarshalJSON() ([]byte, error) { return json.Marshal(string(r)) }
