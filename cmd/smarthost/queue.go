package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/server/admin"
)

const queueHelp = `smarthost queue shows what waits, and why, and changes what becomes of it.

    smarthost queue [list] [FILTER]… [--limit N] [--json]
    smarthost queue show ID [--json]
    smarthost queue log ID [--json]                    what was tried so far; the same as smarthost trace ID
    smarthost queue retry   ID…|FILTER…|--all          try it now
    smarthost queue hold    ID…|FILTER…|--all          do not try it until it is released
    smarthost queue release ID…|FILTER…|--all          try what is held, now
    smarthost queue reroute RELAY|back ID…|FILTER…|--all [--password-file FILE]
                                                       hand it to this relay from the next attempt on; back: by its route again
    smarthost queue drop    ID…|FILTER…|--all [--return] [--yes]
                                                       forget it; with --return its sender gets a report
    smarthost queue rules                              what new mail is held on arrival
    smarthost queue rules add [--account NAME] [--sender PATTERN] [--destination DOMAIN] [--note TEXT]
    smarthost queue rules remove NUMBER                what it has held stays held

FILTER is --account NAME, --sender PATTERN ('*@example.org'; '<>' are reports),
--destination DOMAIN ("relay" is what waits for the relay), --state
queued|leased|waiting|held|damaged, --reply TEXT (part of the last answer),
--older-than 2h, --newer-than 30m. All that are given must hold. What changes
takes --dry-run (only count), --json, and leaves mail that is being tried at
this moment until that attempt has ended. RELAY is smtp://user@host:587 or
smtps://user@host:465; its password is read from the file, and never shown.

Each entry is one message for one destination: its id, age, size, sender,
destination and state; below it each recipient that has not got it yet, with the
last answer. With --json each line is an object. Looking works while the server
runs and while it does not (what is being delivered then shows as queued or
waiting); changes need a server that runs.

Examples:
    smarthost queue --destination example.com --limit 20
    smarthost queue show 06ewzp00k3v7t2mq
    smarthost queue hold --sender '*@example.org' --dry-run
    smarthost queue reroute smtps://alice@relay.example.net --password-file secret --destination example.com
`

// queueFlags are the flags of all subcommands.
type queueFlags struct {
	filter       admin.Filter
	limit        int
	json         bool
	all          bool
	dryRun, yes  bool
	back         bool // drop: to the sender
	passwordFile string
	note         string
}

func (f *queueFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&f.filter.Account, "account", "", "only mail of this account")
	fs.StringVar(&f.filter.Sender, "sender", "", "only mail from this reverse-path; * stands for any signs")
	fs.StringVar(&f.filter.Destination, "destination", "", "only mail for this destination")
	fs.StringVar(&f.filter.State, "state", "", "only what is in this state")
	fs.StringVar(&f.filter.Reply, "reply", "", "only what was answered so last")
	fs.TextVar(&f.filter.OlderThan, "older-than", admin.Span(0), "only what came before so long")
	fs.TextVar(&f.filter.NewerThan, "newer-than", admin.Span(0), "only what came within so long")
	fs.IntVar(&f.limit, "limit", 0, "at most so many entries")
	fs.BoolVar(&f.json, "json", false, "print JSON")
	fs.BoolVar(&f.all, "all", false, "everything in the queue")
	fs.BoolVar(&f.dryRun, "dry-run", false, "change nothing, say what would be changed")
	fs.BoolVar(&f.yes, "yes", false, "do not ask")
	fs.BoolVar(&f.back, "return", false, "send it back to its sender, with a report")
	fs.StringVar(&f.passwordFile, "password-file", "", "file with the relay's password")
	fs.StringVar(&f.note, "note", "", "why, for people")
}

// filterFlags choose deliveries, and those with orders carry them out.
const (
	filterFlags = "account sender destination state reply older-than newer-than "
	orderFlags  = filterFlags + "all dry-run json "
)

// queueWords are the subcommands with their flags.
var queueWords = map[string]string{
	"list": filterFlags + "limit json", "show": "json", "log": "json", "rules": "account sender destination note json",
	"retry": orderFlags, "hold": orderFlags, "release": orderFlags, "reroute": orderFlags + "password-file", "drop": orderFlags + "return yes",
}

func queueCommand(env *environment, args []string) error {
	fs := newFlags(env, "queue", queueHelp)
	config := commonFlags(fs)
	var f queueFlags
	f.define(fs)
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	word := "list"
	if len(args) > 0 {
		word, args = args[0], args[1:]
	}
	f.filter.Account, f.filter.Destination = keptAccount(f.filter.Account), keptDestination(f.filter.Destination)
	flags, known := queueWords[word]
	if !known {
		return usageError(fmt.Sprintf("queue: no such subcommand: %q (see smarthost queue --help)", word))
	}
	if foreign := foreignFlags(fs, flags); foreign != "" {
		return usageError(fmt.Sprintf("queue %s does not take %s (see smarthost queue --help)", word, foreign))
	}
	if err := f.check(word, args); err != nil {
		return err
	}
	c, err := loadConfig(env, *config)
	if err != nil {
		return err
	}
	switch word {
	case "list", "show":
		if word == "show" {
			f.filter.IDs = args
		}
		return showQueue(env, c, f)
	case "log":
		return trace(env, c, args[0], 1, f.json)
	case "rules":
		return queueRules(env, c, &f, args)
	}
	return queueOrder(env, c, word, args, &f)
}

// check finds what is wrong with a call before anything is read.
func (f *queueFlags) check(word string, args []string) error {
	states := []string{"", "queued", "leased", "waiting", "held", "damaged"}
	switch {
	case f.limit < 0:
		return usageError("queue: --limit must not be negative; leave it out to see everything")
	case !slices.Contains(states, f.filter.State):
		return usageError(fmt.Sprintf("queue: --state %q is none; there are %s", f.filter.State, strings.Join(states[1:], ", ")))
	case (word == "show" || word == "log") && len(args) != 1:
		return usageError(fmt.Sprintf("queue %s takes one id (see smarthost queue --help)", word))
	case word == "list" && len(args) > 0:
		return usageError(fmt.Sprintf("queue list takes no %q (see smarthost queue --help)", args[0]))
	case word == "reroute" && len(args) == 0:
		return usageError("queue reroute: where to? smtp://user@host:587, smtps://user@host:465, or back (see smarthost queue --help)")
	}
	return nil
}

// queueFolder is where the queue is kept in data.
func queueFolder(c *Config) string { return filepath.Join(c.Data, "queue") }

func showQueue(env *environment, c *Config, f queueFlags) (err error) {
	out := bufio.NewWriter(env.Stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	n := 0
	reader, err := openQueue(c)
	if err != nil {
		return err
	}
	defer reader.Close()
	now := time.Now()
	filter := spoolFilter(f.filter, now)
	filter.Limit = f.limit
	for e, err := range reader.List(env.Context, filter) {
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
	case n > 0 || f.json && filter.IDs == nil:
	case filter.IDs != nil:
		return fmt.Errorf("the queue has no message %q: it has been delivered or returned, or was never here; smarthost trace may tell", filter.IDs[0])
	case !reflect.DeepEqual(f.filter, admin.Filter{}):
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
	Relay       string           `json:"relay,omitempty"` // that an operator has named, without its login
	Recipients  []queueRecipient `json:"recipients"`
}

type queueRecipient struct {
	Address string `json:"address"`
	Hop     string `json:"hop,omitempty"`
	Reply   string `json:"reply,omitempty"`
}

func newQueueEntry(e spool.Entry) queueEntry {
	q := queueEntry{ID: e.ID, State: e.State, Arrived: e.Arrived.UTC(), Size: e.Size, Account: e.Account, From: e.From, Destination: e.Destination,
		Attempts: e.Attempts, Parent: e.Parent, Relay: e.Relay.String(), Recipients: []queueRecipient{}}
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
	fmt.Fprintf(w, "%s  %s old  %s  %s -> %s  %s\n", printable(e.ID), ago(now.Sub(e.Arrived)), octetsText(e.Size), from, printable(e.Destination), orderedText(e, now))
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

// orderedText is the state, and what an operator has ordered.
func orderedText(e spool.Entry, now time.Time) string {
	text := stateText(e, now)
	if e.Relay != "" {
		text += ", by the relay " + printable(e.Relay.String())
	}
	switch e.Fate {
	case spool.Removal:
		text += ", to be dropped"
	case spool.Returning:
		text += ", to be returned"
	}
	return text
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
