package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

const queueHelp = `smarthost queue shows the mail that waits, and why. It changes nothing, and works while the server runs and while it does not.

    smarthost queue [list] [--account NAME] [--destination DOMAIN] [--limit N] [--json]
    smarthost queue show ID [--json]

Each entry is one message for one destination: its id, age, size, sender, destination and state; below it each recipient that has
not got it yet, with the last answer. --destination relay shows what waits for the relay, if there is one. With --json each line is an object.
What is being delivered at this moment shows as queued or waiting.

Examples:
    smarthost queue
    smarthost queue --destination example.com --limit 20
    smarthost queue show 06ewzp00k3v7t2mq
`

// queueFlags are the flags of both subcommands.
type queueFlags struct {
	filter spool.Filter
	json   bool
}

func queueCommand(env *environment, args []string) error {
	fs := newFlags(env, "queue", queueHelp)
	config := commonFlags(fs)
	var f queueFlags
	fs.StringVar(&f.filter.Account, "account", "", "only mail of this account")
	fs.StringVar(&f.filter.Destination, "destination", "", "only mail for this destination")
	fs.IntVar(&f.filter.Limit, "limit", 0, "at most so many entries")
	fs.BoolVar(&f.json, "json", false, "print JSON")
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	word := "list"
	if len(args) > 0 {
		word, args = args[0], args[1:]
	}
	switch {
	case f.filter.Limit < 0:
		return usageError("queue: --limit must not be negative; leave it out to see everything")
	case word == "show" && len(args) != 1:
		return usageError("queue show takes one id (see smarthost queue --help)")
	case word == "show":
		f.filter.IDs = args
	case word == "list" && len(args) > 0:
		return usageError(fmt.Sprintf("queue list takes no %q (see smarthost queue --help)", args[0]))
	case word != "list":
		return usageError(fmt.Sprintf("queue: no such subcommand: %q (see smarthost queue --help)", word))
	}
	c, err := loadConfig(env, *config)
	if err != nil {
		return err
	}
	return showQueue(env, queueFolder(c), f)
}

// queueFolder is where the queue is kept in data.
func queueFolder(c *Config) string { return filepath.Join(c.Data, "queue") }

func showQueue(env *environment, dir string, f queueFlags) (err error) {
	out := bufio.NewWriter(env.Stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	n := 0
	reader, err := sqlitespool.OpenReadOnly(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no queue in %s: the server has never run with this config, or the data is another user's", dir)
	}
	if err != nil {
		return err
	}
	defer reader.Close()
	now := time.Now()
	for e, err := range reader.List(env.Context, f.filter) {
		if err != nil {
			return err
		}
		n++
		if f.json {
			err = json.NewEncoder(out).Encode(newQueueEntry(e))
		} else {
			writeEntry(out, e, now)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case n > 0 || f.json && f.filter.IDs == nil:
	case f.filter.IDs != nil:
		return fmt.Errorf("the queue has no message %q: it has been delivered or returned, or was never here", f.filter.IDs[0])
	case f.filter.Account != "" || f.filter.Destination != "":
		fmt.Fprintln(out, "No mail in the queue matches.")
	default:
		fmt.Fprintln(out, "The queue is empty.")
	}
	return nil
}

// queueEntry is the JSON form of an entry. Its names are part of the command's interface.
type queueEntry struct {
	ID          string           `json:"id"`
	State       spool.State      `json:"state"`
	Arrived     time.Time        `json:"arrived"`
	Size        int64            `json:"size"`
	Account     string           `json:"account"`
	From        string           `json:"from"`
	Destination string           `json:"destination"`
	Attempts    int              `json:"attempts"`
	Next        *time.Time       `json:"next,omitempty"`
	Parent      string           `json:"report_on,omitempty"`
	Recipients  []queueRecipient `json:"recipients"`
}

type queueRecipient struct {
	Address string `json:"address"`
	Hop     string `json:"hop,omitempty"`
	Reply   string `json:"reply,omitempty"`
}

func newQueueEntry(e spool.Entry) queueEntry {
	q := queueEntry{ID: e.ID, State: e.State, Arrived: e.Arrived.UTC(), Size: e.Size, Account: e.Account, From: e.From, Destination: e.Destination,
		Attempts: e.Attempts, Parent: e.Parent, Recipients: []queueRecipient{}}
	if !e.Due.IsZero() {
		due := e.Due.UTC()
		q.Next = &due
	}
	for _, r := range e.Recipients {
		q.Recipients = append(q.Recipients, queueRecipient{r.Address, e.Last[r.Address].Hop, replyText(e.Last[r.Address])})
	}
	return q
}

// replyText is the last answer in one string; "" if nothing was tried yet.
func replyText(r spool.Result) string {
	if r.Reply.Code == 0 {
		return ""
	}
	enhanced := ""
	if c := r.Reply.EnhancedCode; c[0] > 0 {
		enhanced = fmt.Sprintf("%d.%d.%d ", c[0], c[1], c[2])
	}
	return fmt.Sprintf("%d %s%s", r.Reply.Code, enhanced, r.Reply.Message)
}

func writeEntry(w io.Writer, e spool.Entry, now time.Time) {
	from := printable(e.From)
	if from == "" {
		from = "<> (report)"
	}
	fmt.Fprintf(w, "%s  %s old  %s  %s -> %s  %s\n", printable(e.ID), ago(now.Sub(e.Arrived)), octetsText(e.Size), from, printable(e.Destination), stateText(e, now))
	for _, r := range e.Recipients {
		fmt.Fprintf(w, "    %s", printable(r.Address))
		if last := e.Last[r.Address]; last.Reply.Code != 0 {
			fmt.Fprintf(w, ": %s", printable(replyText(last)))
			if last.Hop != "" {
				fmt.Fprintf(w, " (%s)", printable(last.Hop))
			}
		}
		fmt.Fprintln(w)
	}
}

func stateText(e spool.Entry, now time.Time) string {
	s := string(e.State)
	switch e.Attempts {
	case 0:
	case 1:
		s += ", 1 attempt"
	default:
		s += fmt.Sprintf(", %d attempts", e.Attempts)
	}
	switch left := e.Due.Sub(now); {
	case e.Due.IsZero():
		return s
	case left <= 0:
		return s + ", next try now"
	default:
		return s + ", next try in " + ago(left)
	}
}

// ago is a duration in one unit, rounded down, as people say it.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}

func octetsText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// longestShown bounds what one entry may put on the terminal of foreign text, in characters.
const longestShown = 300

// printable makes text from outside safe for a terminal: one line, no control characters, no change of the writing direction, bounded.
func printable(s string) string {
	if s = strings.ToValidUTF8(s, "?"); len(s) > longestShown {
		if r := []rune(s); len(r) > longestShown {
			s = string(r[:longestShown]) + "…"
		}
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}
