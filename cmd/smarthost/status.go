package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server/admin"
)

const statusHelp = `smarthost status asks the running server what it is doing: version, health,
doors, connections, queue, certificate, webhooks, and the accounts that have
used most of a limit. It asks over the socket in the data folder; listen.admin
has the same at /api/v1/status.

Examples:
    smarthost status
    smarthost status --json
`

// mostLimits is how many accounts are shown.
const mostLimits = 10

func statusCommand(env *environment, args []string) error {
	fs := newFlags(env, "status", statusHelp)
	config := commonFlags(fs)
	asJSON := fs.Bool("json", false, "print JSON")
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return usageError("status takes no arguments (see smarthost status --help)")
	}
	c, err := loadConfig(env, *config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(env.Context, askTime)
	defer cancel()
	var status admin.Status
	if err := newAdminClient(c).Ask(ctx, http.MethodGet, "/api/v1/status", nil, &status); err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(env.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(status)
	}
	return printStatus(env.Stdout, status, time.Now())
}

func printStatus(w io.Writer, s admin.Status, now time.Time) error {
	var text strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&text, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("server", "%s, smarthost %s, for %s", s.Hostname, s.Version, ago(time.Duration(s.Uptime)*time.Second))
	line("health", "%s%s", s.Health, map[bool]string{true: "; smarthost health says why"}[s.Health != admin.OK])
	line("data", "%s", s.Config.Data)
	line("doors", "%s; %s", strings.Join(s.Config.Doors, ", "), strings.Join(s.Config.Admin, ", "))
	most := ""
	if s.Connections.Most > 0 {
		most = fmt.Sprintf(" of %d", s.Connections.Most)
	}
	line("connections", "%d%s", s.Connections.Now, most)
	relay := "the MX of each recipient"
	if s.Config.Relay != "" {
		relay = s.Config.Relay
	}
	line("mail goes to", "%s", relay)
	line("queue", "%s", queueText(s.Queue, now))
	switch certificate := s.Certificate; {
	case len(certificate.Names) == 0 && certificate.Expires.IsZero():
		line("certificate", "none yet")
	default:
		line("certificate", "%s until %s", strings.Join(certificate.Names, ", "), certificate.Expires.Format("2006-01-02"))
	}
	for i, l := range mostUsed(s.Limits) {
		if i == mostLimits {
			break
		}
		line("limits", "%s (%s): %s, %s, %s", printable(l.Account), l.Class, useText("messages", l.Messages), useText("recipients", l.Recipients), useText("octets", l.Bytes))
	}
	for _, h := range s.Webhooks {
		line("webhook", "%s", webhookText(h))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func webhookText(h admin.WebhookState) string {
	text := fmt.Sprintf("%s: %d events wait", h.Name, h.Waiting)
	if h.Dropped > 0 {
		text += fmt.Sprintf("; %d were dropped", h.Dropped)
	}
	if h.Failing != nil {
		text += "; it has taken nothing since " + h.Failing.UTC().Format("2006-01-02 15:04 UTC")
	}
	if h.GivenUp != nil {
		text += "; an event was last given up at " + h.GivenUp.UTC().Format("2006-01-02 15:04 UTC")
	}
	return text
}

// counted is a number with its noun.
func counted[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func queueText(q admin.QueueSize, now time.Time) string {
	if q.Messages == 0 {
		return "empty"
	}
	text := fmt.Sprintf("%s, %s", counted(q.Messages, "message"), octetsText(q.Bytes))
	if q.Oldest != nil {
		text += ", the oldest " + ago(now.Sub(*q.Oldest))
	}
	for _, state := range slices.Sorted(maps.Keys(q.ByState)) {
		if n := q.ByState[state]; n > 0 {
			text += fmt.Sprintf("; %d %s", n, state)
		}
	}
	return text
}

// mostUsed puts first who is nearest to one of its limits.
func mostUsed(limits []admin.LimitInUse) []admin.LimitInUse {
	part := func(l admin.LimitInUse) (most float64) {
		for _, u := range []admin.Use{l.Messages, l.Recipients, l.Bytes} {
			if u.Of > 0 {
				most = max(most, float64(u.Used)/float64(u.Of))
			}
		}
		return most
	}
	return slices.SortedStableFunc(slices.Values(limits), func(a, b admin.LimitInUse) int {
		switch x, y := part(a), part(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
}

func useText(what string, u admin.Use) string {
	if u.Of == 0 {
		return fmt.Sprintf("%d %s", u.Used, what)
	}
	return fmt.Sprintf("%d of %d %s", u.Used, u.Of, what)
}
