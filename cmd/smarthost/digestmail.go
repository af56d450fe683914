package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server/admin"
)

const (
	digestRecent  = 1000 // refusals that its examples are taken from
	digestReasons = 10   // kinds of refusals that a digest names
	digestWords   = 200  // octets of a reply that it shows
)

// A clockTime is a time of day, in the machine's time zone.
type clockTime struct{ Hour, Minute int }

func (t clockTime) String() string { return fmt.Sprintf("%02d:%02d", t.Hour, t.Minute) }

func timeOfDay(field func(*Config) *clockTime) func(*Config, any) error {
	return func(c *Config, v any) error {
		s, _ := v.(string)
		t, err := time.Parse("15:04", s)
		if err != nil || len(s) != len("15:04") {
			return errors.New(`must be a time of day in quotes such as "07:00" or "18:30"`)
		}
		*field(c) = clockTime{t.Hour(), t.Minute()}
		return nil
	}
}

// A digestMail is one digest. Nothing of a mail's content is in it, and of addresses only its own recipient's.
type digestMail struct {
	ID, Hostname, To string
	Now, Since       time.Time
	Counts           map[string]float64
	Status           admin.Status
	Recent           []admin.Refusal // newest first
}

func (m *digestMail) messageID() string { return m.ID + "@" + m.Hostname }

func (m *digestMail) count(name string) int64 { return int64(m.Counts[name] + 0.5) }

// Bytes is the mail (RFC 5322): plain text in ASCII, CRLF lines. Auto-Submitted keeps answering programs still (RFC 3834 §5).
func (m *digestMail) Bytes() []byte {
	var b strings.Builder
	line := func(format string, v ...any) { b.WriteString(ascii(fmt.Sprintf(format, v...)) + "\r\n") }
	line("Date: %s", m.Now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	line("From: smarthost <postmaster@%s>", m.Hostname)
	line("To: <%s>", m.To)
	line("Subject: smarthost on %s: %d accepted, %d delivered, %d failed", m.Hostname, m.count("messages"), m.count("result delivered"), m.count("result failed"))
	line("Message-ID: <%s>", m.messageID())
	line("Auto-Submitted: auto-generated")
	line("MIME-Version: 1.0")
	line("Content-Type: text/plain; charset=us-ascii")
	line("")
	line("%s from %s to %s", m.Hostname, m.Since.In(m.Now.Location()).Format("2006-01-02 15:04"), m.Now.Format("2006-01-02 15:04 MST"))
	line("")
	line("Accepted    %d messages for %d recipients; %d more had been sent before", m.count("messages"), m.count("recipients"), m.count("duplicates"))
	line("Delivered   %d recipients", m.count("result delivered"))
	line("Deferred    %d times a recipient's mail has to wait and is tried again", m.count("result deferred"))
	line("Failed      %d recipients, for good", m.count("result failed"))
	if n := m.count("result ordered"); n > 0 {
		line("Removed     %d recipients, by an operator", n)
	}
	m.refusals(line)
	m.now(line)
	line("")
	line("smarthost trace ID or ADDRESS tells the story of one mail, smarthost queue list what waits.")
	return []byte(b.String())
}

// refusals are the kinds of them, the most frequent first, with the words of the newest of a kind that is remembered.
func (m *digestMail) refusals(line func(string, ...any)) {
	type kind struct {
		words string
		n     int64
	}
	var kinds []kind
	total := int64(0)
	for name := range m.Counts {
		if words, ok := strings.CutPrefix(name, "refused "); ok && m.count(name) > 0 {
			kinds = append(kinds, kind{words, m.count(name)})
			total += m.count(name)
		}
	}
	slices.SortFunc(kinds, func(a, b kind) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.words, b.words)) })
	line("Refused     %d times", total)
	for i, k := range kinds {
		if i == digestReasons {
			line("            and %d other kinds", len(kinds)-i)
			break
		}
		line("  %8d  %s", k.n, k.words)
		stage, code, _ := strings.Cut(k.words, " ")
		code, _, _ = strings.Cut(code, " ")
		for _, r := range m.Recent {
			if r.Stage == stage && strconv.Itoa(r.Code) == code {
				line("            such as: %s", r.Reply[:min(len(r.Reply), digestWords)])
				break
			}
		}
	}
}

// now is how the queue and the certificate are.
func (m *digestMail) now(line func(string, ...any)) {
	q := m.Status.Queue
	line("")
	line("The queue   %d messages: %d new, %d being tried, %d waiting, %d held, %d damaged", q.Messages,
		q.ByState["queued"], q.ByState["leased"], q.ByState["waiting"], q.ByState["held"], q.ByState["damaged"])
	if q.Oldest != nil {
		line("            the oldest came %s ago", max(0, m.Now.Sub(*q.Oldest)).Truncate(time.Minute))
	}
	switch c := m.Status.Certificate; {
	case c.Expires.IsZero():
		line("Certificate there is none; clients cannot log in")
	case c.Expires.Before(m.Now):
		line("Certificate EXPIRED on %s; clients refuse it", c.Expires.Format("2006-01-02 15:04 MST"))
	default:
		line("Certificate good until %s, for %d more days", c.Expires.Format("2006-01-02 15:04 MST"), int(c.Expires.Sub(m.Now).Hours()/24))
	}
	line("Version     %s", m.Status.Version)
}

// ascii makes each control and each sign beyond ASCII a question mark.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
