package forward

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/route"
	"github.com/seed-1397b510/smarthost/forward/spool"
)

const (
	maxHops      = 8                // that one attempt tries for one destination
	attemptLimit = 10 * time.Minute // after which no further hop is tried: hops that say nothing must not hold a place for hours
	settleTries  = 6                // with a pause of 1 s, 2 s, 4 s … between them
	settleLimit  = 30 * time.Second // for one try
)

// deliver makes one attempt at a delivery and settles it.
func (w *work) deliver(ctx context.Context, d spool.Delivery) {
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	keeping, settled := context.WithCancel(context.Background()) // the end of attempts does not end the lease
	var keeper sync.WaitGroup
	keeper.Go(func() { w.keepLease(keeping, cancel, d) })
	if d.Fate != "" {
		w.settle(d, carriedOut(d))
	} else {
		t := w.try(attempt, d)
		w.settle(d, t)
		w.ways.close(t.closed)
	}
	settled()
	keeper.Wait()
}

// keepLease prolongs a lease until ctx ends. If the lease is lost it cancels the attempt.
func (w *work) keepLease(ctx context.Context, cancel context.CancelCauseFunc, d spool.Delivery) {
	tick := time.NewTicker(leaseFor / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := w.Spool.Extend(ctx, d, leaseFor)
		switch {
		case errors.Is(err, spool.ErrFenced): // somebody else has it
			cancel(err)
			return
		case err != nil && ctx.Err() == nil:
			w.Log.Warn().Err(err).Str("msg", d.ID).Str("destination", d.Destination).Msg("a lease could not be prolonged; it is tried again")
		}
	}
}

// tried is what became of an attempt.
type tried struct {
	results  []spool.Result
	tries    []spool.Try     // all that hops said, for the history
	dsnTaken map[string]bool // recipients whose hop sends the report of success
	lost     map[string]bool // recipients whose hop may have the message: no other one is tried in this attempt
	unfit    map[string]bool // recipients whose hop lacks what the message needs: the next one may have it
	closed   []string        // destinations at which nobody could be reached
	fault    error           // the content is damaged, or the attempt was broken off
}

// carriedOut is the result that an operator has ordered.
func carriedOut(d spool.Delivery) (t tried) {
	for _, r := range d.Recipients {
		t.results = append(t.results, spool.Result{Address: r.Address, Reply: d.Fate.Reply()})
	}
	return t
}

// try tries all recipients, wherever they are routed today: a change of the config moves queued mail. What an operator has rerouted
// goes to that relay.
func (w *work) try(ctx context.Context, d spool.Delivery) tried {
	t := tried{dsnTaken: map[string]bool{}, lost: map[string]bool{}, unfit: map[string]bool{}}
	if d.Relay != "" {
		w.tryHops(ctx, d, d.Relay.String(), d.Recipients, &t)
		return t
	}
	groups := map[string][]spool.Recipient{}
	var order []string
	for _, r := range d.Recipients {
		destination := w.Router.Destination(r.Address)
		if _, ok := groups[destination]; !ok {
			order = append(order, destination)
		}
		groups[destination] = append(groups[destination], r)
	}
	for _, destination := range order {
		if t.fault != nil {
			return t
		}
		w.tryHops(ctx, d, destination, groups[destination], &t)
	}
	return t
}

// hops are those of the relay that an operator has named, or of the destination.
func (w *work) hops(ctx context.Context, d spool.Delivery, destination string) ([]route.Hop, error) {
	if d.Relay == "" {
		return w.Router.Hops(ctx, destination)
	}
	relay, err := route.ParseRelay(string(d.Relay))
	if err != nil {
		return nil, &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 5}, Message: "the relay that this mail was rerouted to cannot be read; reroute it again"}
	}
	return w.Router.RelayHops(ctx, relay)
}

// tryHops tries hop after hop for those recipients that have no final answer (RFC 5321 §5.1).
func (w *work) tryHops(ctx context.Context, d spool.Delivery, destination string, left []spool.Recipient, t *tried) {
	begin := time.Now()
	hops, err := w.hops(ctx, d, destination)
	w.count().routing.Observe(time.Since(begin).Seconds())
	last := map[string]spool.Result{}
	if err != nil && ctx.Err() != nil {
		t.fault = context.Cause(ctx)
		return
	}
	if err != nil {
		setAll(last, left, "", err)
		t.record(last, left, begin)
	}
	for i, hop := range hops {
		if len(left) == 0 || i == maxHops || time.Since(begin) > attemptLimit {
			break
		}
		turned := time.Now()
		got, err := w.Deliverer.Deliver(ctx, hop, w.message(d, left))
		took := time.Since(turned)
		for _, r := range got {
			last[r.Address] = spool.Result{Address: r.Address, Hop: r.Hop, Reply: r.Reply}
			t.tries = append(t.tries, spool.Try{Result: last[r.Address], TLS: r.TLS, At: turned, Took: took})
			t.dsnTaken[r.Address], t.lost[r.Address], t.unfit[r.Address] = r.RelayedToDSN, r.Lost, r.Unfit
		}
		left = t.undecided(left, last)
		var reply *smtp.SMTPError
		if errors.As(err, &reply) {
			setAll(last, left, "", reply) // the words are ours and name the hop
			t.record(last, left, turned)
			continue
		}
		if err == nil {
			continue
		}
		// This says nothing about the hop. Where the message is whole and nobody broke the attempt off, those who are left wait
		// like after a temporary reply: returned at once they would come back at once.
		if ctx.Err() != nil || errors.Is(err, spool.ErrDamaged) || errors.Is(err, spool.ErrNotFound) {
			t.fault = err
		} else {
			w.Log.Error().Err(err).Str("msg", d.ID).Str("destination", d.Destination).Msg("trouble at this server; the mail waits")
			setAll(last, left, "", err)
			t.record(last, left, turned)
		}
		break
	}
	if d.Relay == "" && t.fault == nil {
		w.learn(t, destination, last)
	}
	for _, r := range d.Recipients { // in their order, so that reports are the same each time
		if result, ok := last[r.Address]; ok {
			t.results = append(t.results, result)
			delete(last, r.Address)
		}
	}
}

// record puts the last results of those who are left into the history.
func (t *tried) record(last map[string]spool.Result, left []spool.Recipient, at time.Time) {
	took := time.Since(at)
	for _, r := range left {
		t.tries = append(t.tries, spool.Try{Result: last[r.Address], At: at, Took: took})
	}
}

func setAll(last map[string]spool.Result, recipients []spool.Recipient, hop string, err error) {
	var reply *smtp.SMTPError
	if !errors.As(err, &reply) {
		reply = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "trouble at this server"}
	}
	for _, r := range recipients {
		last[r.Address] = spool.Result{Address: r.Address, Hop: hop, Reply: *reply}
	}
}

// undecided are those for whom the next hop is to be tried.
func (t *tried) undecided(recipients []spool.Recipient, last map[string]spool.Result) []spool.Recipient {
	var left []spool.Recipient
	for _, r := range recipients {
		got, ok := last[r.Address]
		if !ok || t.unfit[r.Address] || got.Reply.Code/100 == 4 && !t.lost[r.Address] {
			left = append(left, r)
		}
	}
	return left
}

func (w *work) message(d spool.Delivery, to []spool.Recipient) deliver.Message {
	m := deliver.Message{
		From: d.From, Return: d.Return, EnvelopeID: d.EnvelopeID, Body: d.Body, UTF8: d.UTF8, RequireTLS: d.RequireTLS, Size: d.Size,
		Recipients: make([]deliver.Recipient, len(to)),
		Open:       func(ctx context.Context) (io.ReadCloser, error) { return w.Spool.Body(ctx, d.ID) },
	}
	for i, r := range to {
		m.Recipients[i] = deliver.Recipient{Address: r.Address, Notify: r.Notify, OriginalType: r.OriginalType, Original: r.Original}
	}
	return m
}

// settle writes down what became of the attempt, and queues the reports of it.
func (w *work) settle(d spool.Delivery, t tried) {
	ctx := context.Background() // an attempt that was broken off at the end has results all the same
	if errors.Is(t.fault, spool.ErrDamaged) || errors.Is(t.fault, spool.ErrNotFound) {
		defer w.damage(ctx, d, t.fault) // when those who got it before are written down
		if len(t.results) == 0 {
			return
		}
	}
	if errors.Is(t.fault, spool.ErrFenced) && len(t.results) == 0 {
		w.Log.Warn().Str("msg", d.ID).Str("destination", d.Destination).Msg("the lease was lost; whoever has it now goes on")
		return
	}
	if t.fault != nil {
		w.Log.Warn().Err(t.fault).Str("msg", d.ID).Str("destination", d.Destination).Msg("an attempt was broken off")
		if len(t.results) == 0 {
			w.release(ctx, d)
			return
		}
	}
	s := w.settlement(ctx, d, t, time.Now())
	wait := time.Second
	for i := range settleTries {
		if i > 0 {
			pause(ctx, wait)
			wait *= 2
		}
		err := w.settleOnce(ctx, s)
		if err == nil || errors.Is(err, spool.ErrFenced) {
			w.logResults(s, err)
			return
		}
		w.Log.Error().Err(err).Str("msg", d.ID).Str("destination", d.Destination).Int("try", i+1).Msg("a result cannot be written down; without it the mail is sent again")
	}
}

func (w *work) settleOnce(ctx context.Context, s spool.Settlement) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	return w.Spool.Settle(ctx, s)
}

// damage sets a message aside that cannot be read back. It stays until an operator looks at it.
func (w *work) damage(ctx context.Context, d spool.Delivery, cause error) {
	w.Log.Error().Err(cause).Str("msg", d.ID).Str("from", d.From).Msg("a message is damaged on disk and set aside; look at the disk, and tell the sender")
	if err := w.Spool.Damage(ctx, d.ID, cause.Error()); err != nil {
		w.Log.Error().Err(err).Str("msg", d.ID).Msg("the message could not be set aside")
	}
}
