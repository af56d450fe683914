package smarthosttest

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// WaitFor returns the first message that matches, waiting for it until ctx ends. The error says what has come instead.
func (v view) WaitFor(ctx context.Context, match ...Match) (*Message, error) {
	of, err := v.WaitN(ctx, 1, match...)
	if err != nil {
		return nil, err
	}
	return of[0], nil
}

// WaitN returns the messages that match as soon as there are n or more, waiting for them until ctx ends. The error says what has come instead.
func (v view) WaitN(ctx context.Context, n int, match ...Match) ([]*Message, error) {
	for {
		of, changed := v.messages(match)
		if len(of) >= n {
			return of, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d messages that match have come (%w); %s", len(of), n, context.Cause(ctx), v.found(match))
		}
	}
}

// Quiet waits for d, and fails at once if a message that matches is there or comes. It also fails when ctx ends before.
func (v view) Quiet(ctx context.Context, d time.Duration, match ...Match) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		of, changed := v.messages(match)
		if len(of) > 0 {
			return fmt.Errorf("no message that matches should have come; %s", table(of, nil))
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("wait for %s without a message: %w", d, context.Cause(ctx))
		}
	}
}

// One returns the only message that matches. Unless there is exactly one, the test fails at once, with a list of those that are there and the transcripts.
func (v view) One(match ...Match) *Message {
	v.tb.Helper()
	of := v.Messages(match...)
	if len(of) != 1 {
		v.tb.Fatalf("%d messages match, and exactly one should; %s\n%s", len(of), v.found(match), v.transcripts())
		return nil
	}
	return of[0]
}

// None fails the test if a message that matches is there.
func (v view) None(match ...Match) {
	v.tb.Helper()
	if of := v.Messages(match...); len(of) > 0 {
		v.tb.Errorf("%d messages match, and none should; %s\n%s", len(of), table(of, nil), v.transcripts())
	}
}

// found says what was looked for, what is there, and why that does not match.
func (v view) found(match []Match) string {
	if len(match) == 0 {
		return table(v.Messages(), nil)
	}
	return "looked for: " + words(match, " and ") + "; " + table(v.Messages(), match)
}

const tableRows = 20 // of a list in an error

// table lists messages for people, and says why they do not match.
func table(of []*Message, match []Match) string {
	if len(of) == 0 {
		return "there is no message"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "messages that are there: %d", len(of))
	for i, m := range of {
		if i == tableRows {
			fmt.Fprintf(&b, "\n  and %d more", len(of)-i)
			break
		}
		to := make([]string, len(m.Envelope.Recipients))
		for i, r := range m.Envelope.Recipients {
			to[i] = r.Address
		}
		fmt.Fprintf(&b, "\n  %d. of %s, from <%s> to <%s>, %d octets", m.Seq, m.User, m.Envelope.From, strings.Join(clipped(to), ">, <"), len(m.Raw))
		if reason := why(m, match); reason != "" {
			fmt.Fprintf(&b, ": %s", reason)
		}
	}
	return b.String()
}

const fewSessions = 20 // of which an error shows the transcripts

// transcripts shows the last sessions.
func (v view) transcripts() string {
	of := v.Sessions()
	var b strings.Builder
	if left := len(of) - fewSessions; left > 0 {
		fmt.Fprintf(&b, "%d sessions before these\n", left)
		of = of[left:]
	}
	for _, s := range of {
		b.WriteString(s.String())
	}
	return b.String()
}
