package spool

import (
	"encoding/json"
	"net/url"
	"time"

	"github.com/emersion/go-smtp"
)

// A Verb is what an operator does to deliveries.
type Verb string

// The verbs. None of them breaks an attempt off that is under way: what it changes holds for what that attempt leaves undone.
const (
	Hold    Verb = "hold"    // not tried until Unhold; those that are held or damaged are left alone
	Unhold  Verb = "release" // held ones are due now
	Retry   Verb = "retry"   // due now; those that are held, damaged or being tried are left alone
	Reroute Verb = "reroute" // goes to Order.Relay from the next attempt on, whatever its route is; "" takes that back
	Remove  Verb = "drop"    // forgotten, and nobody is told; what is damaged goes as well
	Return  Verb = "return"  // failed, with a report to the sender if it wants one; damaged ones are left alone
)

// Known tells whether there is such a verb.
func (v Verb) Known() bool {
	switch v {
	case Hold, Unhold, Retry, Reroute, Remove, Return:
		return true
	}
	return false
}

// An Order is a verb for all deliveries that a filter chooses. Filter.After and Filter.Limit are not used.
type Order struct {
	Verb   Verb
	Filter Filter
	Relay  Relay  // for Reroute
	DryRun bool   // only count
	By     string // who gives it, for the history
}

// An Ordered is what was ordered for a delivery, and is told by its Story.
type Ordered struct {
	At          time.Time
	Destination string
	Verb        Verb
	Relay       Relay  // for Reroute, without its login; "" = by its route again
	By          string // Order.By, or the rule that held it on arrival ("rule 3")
}

// outcomeIDs is how many ids an outcome names.
const outcomeIDs = 100

// An Outcome tells how far an order has come, in deliveries.
type Outcome struct {
	Seen    int      `json:"seen"`    // that were looked at
	Changed int      `json:"changed"` // with DryRun: that would be
	Leased  int      `json:"leased"`  // that are being tried at this moment: the change holds for what the attempt leaves
	Skipped int      `json:"skipped"` // that the filter chose and the verb leaves alone
	IDs     []string `json:"ids"`     // the first 100 messages of those changed or leased
}

// Name adds a message to those that the outcome names.
func (o *Outcome) Name(id string) {
	if len(o.IDs) < outcomeIDs && (len(o.IDs) == 0 || o.IDs[len(o.IDs)-1] != id) {
		o.IDs = append(o.IDs, id)
	}
}

// A Fate is what an operator has ordered for a delivery while it was leased, or that needs a report: whoever claims it next carries it out.
type Fate string

// The fates; "" is none.
const (
	Removal   Fate = "drop"   // settled as failed without a report
	Returning Fate = "return" // settled as failed with one
)

// Reply is the result that a recipient with this fate is settled with.
func (f Fate) Reply() smtp.SMTPError {
	r := smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 3, 0}, Message: "removed from the queue by the operator of this server"}
	if f == Returning {
		r.Message = "returned by the operator of this server"
	}
	return r
}

// A Relay is the URL of a relay, with its login if it has one. It never shows the login; string(r) has it.
type Relay string

// String is the URL without user and password.
func (r Relay) String() string {
	if r == "" {
		return ""
	}
	u, err := url.Parse(string(r))
	if err != nil || u.Host == "" {
		return "***"
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host}
	return shown.String()
}

// GoString is for %#v.
func (r Relay) GoString() string { return r.String() }

// MarshalJSON is String.
func (r Relay) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }

// A Rule holds new mail on arrival: what matches all of its fields that are set. Mail that it has held stays held when it is removed.
type Rule struct {
	ID          int64     `json:"id"` // set by the store
	Account     string    `json:"account,omitempty"`
	Sender      string    `json:"sender,omitempty"`      // like Filter.Sender
	Destination string    `json:"destination,omitempty"` // see Recipient.Destination
	Note        string    `json:"note,omitempty"`        // why, for people
	Added       time.Time `json:"added"`                 // set by the store
}

// Holds tells whether the rule is for mail of this account from this sender to this destination.
func (r *Rule) Holds(account, sender, destination string) bool {
	return (r.Account == "" || r.Account == account) && (r.Sender == "" || matchSender(r.Sender, sender)) && (r.Destination == "" || r.Destination == destination)
}
