package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/forward/route"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// adminQueue is the spool as the API sees it.
type adminQueue struct{ *service }

// List ends a page with a whole message: what follows is asked for by its id.
func (a adminQueue) List(ctx context.Context, f admin.Filter, after string, limit int) (admin.QueuePage, error) {
	page := admin.QueuePage{Entries: []admin.Entry{}}
	filter := spoolFilter(f, time.Now())
	filter.After = after
	last := ""
	for e, err := range a.Spool.List(ctx, filter) {
		if err != nil {
			return admin.QueuePage{}, err
		}
		if len(page.Entries) >= limit && e.ID != last {
			page.Next = last
			return page, nil
		}
		last = e.ID
		page.Entries = append(page.Entries, adminEntry(e))
	}
	return page, nil
}

// spoolFilter is the filter in the spool's words.
func spoolFilter(f admin.Filter, now time.Time) spool.Filter {
	filter := spool.Filter{IDs: f.IDs, Account: keptAccount(f.Account), Sender: f.Sender, Destination: keptDestination(f.Destination), State: spool.State(f.State), Reply: f.Reply}
	if f.OlderThan > 0 {
		filter.Before = now.Add(-time.Duration(f.OlderThan))
	}
	if f.NewerThan > 0 {
		filter.Since = now.Add(-time.Duration(f.NewerThan))
	}
	return filter
}

// keptAccount is the name of an account as the queue has it, in whatever case people write it.
func keptAccount(name string) string {
	if folded, err := auth.FoldName(name); err == nil {
		return folded
	}
	return name // nobody's
}

// keptDestination is a destination as the queue has it: in lower case, A-labels.
func keptDestination(name string) string {
	if d := new(route.Router).Destination("x@" + name); name != "" && d != "" {
		return d
	}
	return name
}

func adminEntry(e spool.Entry) admin.Entry {
	q := newQueueEntry(e)
	entry := admin.Entry{ID: q.ID, State: string(q.State), Arrived: q.Arrived, Size: q.Size, Account: q.Account, Device: e.Device, From: q.From,
		Destination: q.Destination, Relay: e.Relay.String(), Attempts: q.Attempts, Next: q.Next, Parent: q.Parent, Recipients: []admin.Recipient{}}
	for _, r := range q.Recipients {
		entry.Recipients = append(entry.Recipients, admin.Recipient(r))
	}
	return entry
}

func (a adminQueue) Change(ctx context.Context, o admin.Order, progress func(admin.Outcome)) (admin.Outcome, error) {
	if o.Relay != "" {
		if err := checkRelay(string(o.Relay)); err != nil { // its words may hold the login
			return admin.Outcome{}, &admin.Fault{Status: http.StatusBadRequest, What: "the relay is not a URL such as smtp://user:password@host:587 or smtps://host:465",
				Do: "write user and password percent-encoded if they hold signs other than letters and digits"}
		}
	}
	order := spool.Order{Verb: spool.Verb(o.Do), Filter: spoolFilter(o.Filter, time.Now()), Relay: spool.Relay(o.Relay), DryRun: o.DryRun, By: o.By}
	outcome, err := a.Spool.Change(ctx, order, func(piece spool.Outcome) { progress(adminOutcome(piece)) })
	return adminOutcome(outcome), err
}

func adminOutcome(o spool.Outcome) admin.Outcome {
	return admin.Outcome{Seen: o.Seen, Changed: o.Changed, Leased: o.Leased, Skipped: o.Skipped, IDs: append([]string{}, o.IDs...)}
}

func (a adminQueue) Rules(ctx context.Context) ([]admin.Rule, error) {
	rules, err := a.Spool.Rules(ctx)
	list := make([]admin.Rule, len(rules))
	for i, r := range rules {
		list[i] = admin.Rule(r)
	}
	return list, err
}

func (a adminQueue) AddRule(ctx context.Context, r admin.Rule) (admin.Rule, error) {
	r.Account, r.Destination = keptAccount(r.Account), keptDestination(r.Destination)
	added, err := a.Spool.AddRule(ctx, spool.Rule(r))
	return admin.Rule(added), err
}

func (a adminQueue) RemoveRule(ctx context.Context, id int64) error {
	err := a.Spool.RemoveRule(ctx, id)
	if errors.Is(err, spool.ErrNotFound) {
		return &admin.Fault{Status: http.StatusNotFound, What: "there is no such rule", Do: "GET /api/v1/rules lists those that are there"}
	}
	return err
}

func (a adminQueue) Trace(ctx context.Context, of string, limit int) ([]admin.Story, error) {
	stories, err := a.Spool.Trace(ctx, of, limit)
	list := make([]admin.Story, len(stories))
	for i, s := range stories {
		list[i] = adminStory(s)
	}
	return list, err
}

func adminStory(s spool.Story) admin.Story {
	story := admin.Story{ID: s.ID, MessageID: s.MessageID, Session: s.Session, Account: s.Account, Device: s.Device, From: s.From,
		Arrived: s.Arrived.UTC(), Size: s.Size, Parent: s.Parent, Ended: moment(s.Ended), Waiting: []admin.Entry{}, Attempts: []admin.Attempt{}, Orders: []admin.Ordered{}}
	for _, e := range s.Entries {
		story.Waiting = append(story.Waiting, adminEntry(e))
	}
	for _, a := range s.Attempts {
		attempt := admin.Attempt{At: a.At.UTC(), Destination: a.Destination, Next: moment(a.Next), Reports: a.Reports, Tries: []admin.Try{}}
		for _, t := range a.Tries {
			attempt.Tries = append(attempt.Tries, admin.Try{At: t.At.UTC(), Address: t.Address, Hop: t.Hop, TLS: t.TLS,
				Took: t.Took.Milliseconds(), Code: t.Reply.Code, Reply: replyText(t.Result)})
		}
		story.Attempts = append(story.Attempts, attempt)
	}
	for _, o := range s.Orders {
		story.Orders = append(story.Orders, admin.Ordered{At: o.At.UTC(), Destination: o.Destination, Do: string(o.Verb), Relay: o.Relay.String(), By: o.By})
	}
	return story
}

// moment is a time that may be missing.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
