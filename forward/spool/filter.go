package spool

import (
	"fmt"
	"strings"
	"time"
)

// A Filter chooses deliveries: those for which all that is set holds. The zero Filter chooses all.
type Filter struct {
	IDs         []string // of these messages; nil = of all, while an empty list chooses nothing
	Account     string
	Sender      string // reverse-path in any case, * stands for any signs; "<>" is the null reverse-path, which no other pattern matches
	Destination string
	State       State
	Before      time.Time // arrived before
	Since       time.Time // arrived then or later
	Reply       string    // part of a last reply ("450 4.2.1 mailbox busy"), in any case
	Unreached   bool      // by the last replies nobody was reached for any of the recipients (see Result.Unreached); it was not rerouted
	After       string    // keyset paging: only ids greater than this
	Limit       int       // at most so many entries; 0 = no limit
}

// Matches tells whether the filter chooses an entry. It does not look at IDs, After and Limit.
func (f *Filter) Matches(e *Entry) bool {
	return (f.Account == "" || f.Account == e.Account) &&
		(f.Destination == "" || f.Destination == e.Destination) &&
		(f.State == "" || f.State == e.State) &&
		(f.Before.IsZero() || e.Arrived.Before(f.Before)) &&
		(f.Since.IsZero() || !e.Arrived.Before(f.Since)) &&
		(f.Sender == "" || matchSender(f.Sender, e.From)) &&
		(f.Reply == "" || f.matchReply(e)) &&
		(!f.Unreached || unreached(e))
}

func unreached(e *Entry) bool {
	for i := range e.Recipients {
		if last := e.Last[e.Recipients[i].Address]; !last.Unreached() {
			return false
		}
	}
	return e.Relay == "" && len(e.Recipients) > 0
}

func (f *Filter) matchReply(e *Entry) bool {
	part := strings.ToLower(f.Reply)
	for _, last := range e.Last {
		c := last.Reply.EnhancedCode
		if strings.Contains(strings.ToLower(fmt.Sprintf("%d %d.%d.%d %s", last.Reply.Code, c[0], c[1], c[2], last.Reply.Message)), part) {
			return true
		}
	}
	return false
}

// matchSender matches a reverse-path against a pattern of Filter.Sender.
func matchSender(pattern, sender string) bool {
	if sender == "" || pattern == "<>" {
		return sender == "" && pattern == "<>"
	}
	parts := strings.Split(strings.ToLower(pattern), "*")
	rest, ok := strings.CutPrefix(strings.ToLower(sender), parts[0])
	if !ok || len(parts) == 1 {
		return ok && rest == ""
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		_, rest, ok = strings.Cut(rest, part)
		if !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, parts[last])
}
