package forward

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/dsn"
	"github.com/seed-1397b510/smarthost/forward/spool"
)

// How much of a message a report returns (RFC 3461 §4.3, RFC 3464 §1).
const (
	wholeUnasked = 50 << 10  // octets, if the sender did not say
	wholeAsked   = 256 << 10 // octets, if it asked for all
	maxHeader    = 64 << 10
)

// settlement decides about each recipient and makes the reports.
func (w *work) settlement(ctx context.Context, d spool.Delivery, t tried, now time.Time) spool.Settlement {
	settings := w.current()
	s := spool.Settlement{Delivery: d, Results: t.results, Next: now.Add(settings.wait(d.Attempts)), Tries: t.tries}
	giveUp := settings.givesUp(d, now)
	var failed, delayed, relayed []spool.Result
	for i, r := range s.Results {
		notify := notifyOf(d, r.Address)
		if r.Reply.Code/100 == 4 && giveUp {
			s.Results[i] = settings.givenUp(r)
			r = s.Results[i]
			s.Tries = append(s.Tries, spool.Try{Result: r, At: now})
		}
		switch r.Reply.Code / 100 {
		case 2:
			if slices.Contains(notify, smtp.DSNNotifySuccess) && !t.dsnTaken[r.Address] {
				relayed = append(relayed, r)
			}
		case 4:
			if slices.Contains(notify, smtp.DSNNotifyDelayed) && !d.Delayed && now.Sub(d.Arrived) >= delayAfter {
				delayed = append(delayed, r)
			}
		case 5:
			if len(notify) == 0 || slices.Contains(notify, smtp.DSNNotifyFailure) {
				failed = append(failed, r)
			}
		}
	}
	if d.Fate == spool.Removal { // nobody is told
		return s
	}
	if d.From == "" { // RFC 5321 §4.5.5: nothing is ever sent about what has no sender
		return s
	}
	for _, kind := range []struct {
		action  dsn.Action
		results []spool.Result
	}{{dsn.Failed, failed}, {dsn.Delayed, delayed}, {dsn.Relayed, relayed}} {
		if len(kind.results) > 0 {
			s.Reports = append(s.Reports, w.report(ctx, d, kind.action, kind.results, now))
		}
	}
	s.Delayed = len(delayed) > 0
	return s
}

func recipientOf(d spool.Delivery, address string) spool.Recipient {
	i := slices.IndexFunc(d.Recipients, func(r spool.Recipient) bool { return r.Address == address })
	if i < 0 {
		return spool.Recipient{Address: address}
	}
	return d.Recipients[i]
}

func notifyOf(d spool.Delivery, address string) []smtp.DSNNotify {
	return recipientOf(d, address).Notify
}

// report makes one report of several recipients. Its id is the same whenever the same outcome is settled, and differs from that of
// every other report about the message, since the store leaves out a report whose id it has.
func (w *work) report(ctx context.Context, d spool.Delivery, action dsn.Action, results []spool.Result, now time.Time) spool.Report {
	words := []string{d.ID, d.Destination, string(action), strconv.Itoa(d.Attempts)}
	for _, res := range results {
		words = append(words, res.Address)
	}
	r := dsn.Report{
		ID:   spool.DerivedID(words...),
		Host: w.Hostname, To: d.From, Action: action, Time: now,
		UTF8: d.UTF8, MessageID: d.ID, EnvelopeID: d.EnvelopeID, Arrived: d.Arrived, RetryUntil: d.Arrived.Add(w.current().GiveUp),
	}
	for _, res := range results {
		to := recipientOf(d, res.Address)
		r.Recipients = append(r.Recipients, dsn.Recipient{Address: res.Address, OriginalType: to.OriginalType, Original: to.Original, Hop: res.Hop, Reply: res.Reply})
	}
	r.Content, r.Whole = w.returned(ctx, d, action)
	content := r.Bytes()
	e := spool.Envelope{
		ID: r.ID, Arrived: now, Parent: d.ID, Size: int64(len(content)), UTF8: !isASCII([]byte(d.From)),
		Recipients: []spool.Recipient{{Address: d.From, Destination: w.Router.Destination(d.From)}},
	}
	if !isASCII(content) {
		e.Body = smtp.Body8BitMIME
	}
	return spool.Report{Envelope: e, Content: content}
}

func isASCII(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r >= 0x80 })
}

// returned is what of the message the report carries. A report without content is better than none.
func (w *work) returned(ctx context.Context, d spool.Delivery, action dsn.Action) (content []byte, whole bool) {
	limit := int64(wholeUnasked)
	if d.Return == smtp.DSNReturnFull {
		limit = wholeAsked
	}
	whole = action == dsn.Failed && d.Return != smtp.DSNReturnHeaders && d.Size <= limit
	body, err := w.Spool.Body(ctx, d.ID)
	if err != nil {
		w.Log.Warn().Err(err).Str("msg", d.ID).Msg("a report goes out without the message that it is about")
		return nil, false
	}
	defer body.Close()
	if whole {
		if content, err = io.ReadAll(io.LimitReader(body, limit+1)); err == nil {
			return content, true
		}
		w.Log.Warn().Err(err).Str("msg", d.ID).Msg("a report goes out without the message that it is about")
		return nil, false
	}
	content = make([]byte, maxHeader)
	n, err := io.ReadFull(body, content)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, false
	}
	content = content[:n]
	if end := bytes.Index(content, []byte("\r\n\r\n")); end >= 0 {
		return content[:end+2], false
	}
	return content[:bytes.LastIndexByte(content, '\n')+1], false
}

// logResults writes one line for each kind of outcome, and one for each report.
func (w *work) logResults(s spool.Settlement, err error) {
	d := s.Delivery
	for _, kind := range []struct {
		class int
		event string
	}{{2, "delivered"}, {4, "deferred"}, {5, "failed"}} {
		n, example := 0, spool.Result{}
		for _, r := range s.Results {
			if r.Reply.Code/100 == kind.class {
				n, example = n+1, r
			}
		}
		if n == 0 {
			continue
		}
		if err == nil {
			w.count().settled(d, kind.event, n)
		}
		e := withSession(w.Log.Info().Str("msg", d.ID), d).Str("destination", d.Destination).Int("recipients", n).Int("attempt", d.Attempts+1).
			Str("to", example.Address).Str("hop", example.Hop).Int("code", example.Reply.Code).Str("reply", example.Reply.Message)
		if kind.class == 4 {
			e = e.Time("next", s.Next)
		}
		if err != nil {
			e = e.AnErr("not_recorded", err)
		}
		e.Msg(kind.event)
	}
	for _, r := range s.Reports {
		if err == nil {
			w.count().reports.Inc()
			withSession(w.Log.Info().Str("msg", d.ID), d).Str("report", r.Envelope.ID).Str("to", d.From).Msg("reported")
		}
	}
}

// withSession binds the id of the session that brought the message; reports have none.
func withSession(e *zerolog.Event, d spool.Delivery) *zerolog.Event {
	if d.Session == "" {
		return e
	}
	return e.Str("session", d.Session)
}
