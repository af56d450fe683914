package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
	"github.com/seed-1397b510/smarthost/server/admin"
)

const traceHelp = `smarthost trace tells what became of mail, from its acceptance to its end: each
hop that was tried, what it said about whom, with which TLS, how long that took,
and the reports that went out. It knows what is in the queue, and for as long as
queue.history says (7 days) what was. It works while the server runs and while
it does not.

    smarthost trace ID|MESSAGE-ID|ADDRESS [--limit N] [--json]

ID is what the client was told ("queued as …"), ADDRESS a sender or a recipient.
The newest message comes first; --limit is 20. With --json each line is an
object.

Examples:
    smarthost trace 06ewzp00k3v7t2mq
    smarthost trace '<20240101120000.1@example.org>'
    smarthost trace bob@example.com --limit 3
`

func traceCommand(env *environment, args []string) error {
	fs := newFlags(env, "trace", traceHelp)
	config := commonFlags(fs)
	limit := fs.Int("limit", 20, "at most so many messages")
	asJSON := fs.Bool("json", false, "print JSON")
	args, err := parseFlags(fs, args)
	switch {
	case err != nil:
		return err
	case len(args) != 1 || args[0] == "":
		return usageError("trace takes an id, a Message-ID or an address (see smarthost trace --help)")
	case *limit < 1 || *limit > 1000:
		return usageError("trace: --limit must be a number from 1 to 1000")
	}
	c, err := loadConfig(env, *config)
	if err != nil {
		return err
	}
	return trace(env, c, args[0], *limit, *asJSON)
}

// openQueue opens the queue for looking, or says that there is none.
func openQueue(c *Config) (*sqlitespool.Reader, error) {
	dir := queueFolder(c)
	reader, err := sqlitespool.OpenReadOnly(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no queue in %s: the server has never run with this config (--config names another), or the data is another user's", dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("this user may not read the queue in %s; be root or the user that the server runs as", dir)
	}
	return reader, err
}

func trace(env *environment, c *Config, key string, limit int, asJSON bool) (err error) {
	reader, err := openQueue(c)
	if err != nil {
		return err
	}
	defer reader.Close()
	stories, err := reader.Trace(env.Context, key, limit)
	if err != nil {
		return err
	}
	if len(stories) == 0 {
		return unknownMail(c, key)
	}
	out := bufio.NewWriter(env.Stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	for i, s := range stories {
		if asJSON {
			err = json.NewEncoder(out).Encode(adminStory(s))
		} else {
			if i > 0 {
				fmt.Fprintln(out)
			}
			writeStory(out, s, time.Now())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func unknownMail(c *Config, key string) error {
	if c.Queue.History == 0 {
		return fmt.Errorf("the queue has no mail of %s, and queue.history is \"0s\": what has ended is not written down", printable(key))
	}
	return fmt.Errorf("neither the queue nor the history of the last %s knows mail of %s; the log may", span(c.Queue.History), printable(key))
}

// span is a duration as the config has it.
func span(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

func writeStory(w io.Writer, s spool.Story, now time.Time) {
	fmt.Fprint(w, printable(s.ID))
	if s.MessageID != "" {
		fmt.Fprintf(w, "  <%s>", printable(s.MessageID))
	}
	from := printable(s.From)
	if from == "" {
		from = "<>"
	}
	fmt.Fprintf(w, "\n    %s  accepted from %s", clock(s.Arrived), from)
	if s.Account != "" {
		fmt.Fprintf(w, ", account %s", printable(s.Account))
	}
	if s.Device != "" {
		fmt.Fprintf(w, ", device %s", printable(s.Device))
	}
	if s.Session != "" {
		fmt.Fprintf(w, ", session %s", printable(s.Session))
	}
	fmt.Fprintf(w, ", %s", octetsText(s.Size))
	if s.Parent != "" {
		fmt.Fprintf(w, ": a report on %s", printable(s.Parent))
	}
	fmt.Fprintln(w)
	for _, step := range adminStory(s).Steps() {
		if o := step.Order; o != nil {
			fmt.Fprintf(w, "    %s  %s by %s, for %s\n", clock(o.At), printable(o.Did()), printable(o.By), printable(o.Destination))
		} else {
			writeAttempt(w, *step.Attempt)
		}
	}
	for _, e := range s.Entries {
		for _, r := range e.Recipients {
			fmt.Fprintf(w, "    %-20s  %s for %s: %s\n", "now", printable(r.Address), printable(e.Destination), orderedText(e, now))
		}
	}
	if !s.Ended.IsZero() {
		fmt.Fprintf(w, "    %s  ended: %s\n", clock(s.Ended), outcomeText(s))
	}
}

func writeAttempt(w io.Writer, a admin.Attempt) {
	for _, t := range a.Tries {
		at := t.At
		if at.IsZero() {
			at = a.At
		}
		fmt.Fprintf(w, "    %s  %s: %s", clock(at), printable(t.Address), printable(t.Reply))
		if t.Hop != "" {
			tls := "in clear"
			if t.TLS != "" {
				tls = t.TLS
			}
			fmt.Fprintf(w, " (%s, %s, %.1f s)", printable(t.Hop), printable(tls), float64(t.Took)/1000)
		}
		fmt.Fprintln(w)
	}
	for _, id := range a.Reports {
		fmt.Fprintf(w, "    %s  reported to the sender: %s\n", clock(a.At), printable(id))
	}
}

// clock is a time as the log and the mail's own fields have it: UTC.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// An ending is what became of each recipient of a message that has ended, or has so far.
type ending struct{ delivered, failed []string }

func endingOf(s spool.Story) (e ending) {
	last := map[string]int{}
	var order []string
	for _, a := range s.Attempts {
		for _, t := range a.Tries {
			if _, seen := last[t.Address]; !seen {
				order = append(order, t.Address)
			}
			last[t.Address] = t.Reply.Code
		}
	}
	for _, address := range order {
		switch last[address] / 100 {
		case 2:
			e.delivered = append(e.delivered, address)
		case 5:
			e.failed = append(e.failed, address)
		}
	}
	return e
}

func outcomeText(s spool.Story) string {
	e := endingOf(s)
	var words []string
	if len(e.delivered) > 0 {
		words = append(words, "delivered to "+printable(strings.Join(e.delivered, ", ")))
	}
	if len(e.failed) > 0 {
		words = append(words, "failed for "+printable(strings.Join(e.failed, ", ")))
	}
	if len(words) == 0 {
		return "the attempts are not known any more"
	}
	return strings.Join(words, "; ")
}
