package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
	"github.com/seed-1397b510/smarthost/policy/limit"
)

const queueHelp = `smarthost queue shows the mail that waits, and why. It reads beside a running server and changes nothing.

    smarthost queue [list] [--account NAME] [--destination DOMAIN] [--limit N] [--json]
    smarthost queue show ID [--json]

list prints a line for each delivery, that is a message for one destination, oldest first; show prints all that is known of
one message, each recipient with the last reply.

Examples:
    smarthost queue
    smarthost queue list --destination example.org --limit 20
    smarthost queue show 06h0szy7m56cdtes
`

func queueCommand(env *environment, args []string) error {
	fs := newFlags(env, "queue", queueHelp)
	path := commonFlags(fs)
	var filter spool.Filter
	fs.StringVar(&filter.Account, "account", "", "only mail of this account")
	fs.StringVar(&filter.Destination, "destination", "", "only mail for this destination")
	fs.IntVar(&filter.Limit, "limit", 0, "at most so many deliveries")
	asJSON := fs.Bool("json", false, "print JSON, an object for each delivery")
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	show := false
	switch {
	case len(args) == 0, len(args) == 1 && args[0] == "list":
	case len(args) == 2 && args[0] == "show":
		show, filter.ID = true, args[1]
	default:
		return usageError("queue: expected nothing, list, or show ID (see smarthost queue --help)")
	}
	if filter.Limit < 0 {
		return usageError("queue: --limit must not be negative")
	}
	c, err := loadConfig(env, *path)
	if err != nil {
		return err
	}
	entries, err := readQueue(env, c, filter)
	if err != nil {
		return err
	}
	switch {
	case show && len(entries) == 0:
		return fmt.Errorf("there is no message %q in the queue; it was delivered or returned (the server's log says which), or never came", filter.ID)
	case *asJSON:
		return printEntriesJSON(env.Stdout, entries)
	case show:
		return printMessage(env.Stdout, entries)
	}
	return printEntries(env.Stdout, entries)
}

func readQueue(env *environment, c *Config, filter spool.Filter) (entries []spool.Entry, err error) {
	folder := filepath.Join(c.Data, "queue")
	r, err := sqlitespool.OpenReadOnly(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no queue in %s; is data in the config the one that the server uses?", folder)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for e, err := range r.List(env.Context, filter) {
		if err != nil {
			return nil, fmt.Errorf("read the queue: %w", err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func printEntries(w io.Writer, entries []spool.Entry) error {
	if len(entries) == 0 {
		fmt.Fprintln(w, "the queue is empty: nothing waits")
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tAGE\tSIZE\tFROM\tTO\tSTATE\tTRIES\tNEXT\tWHY")
	for _, e := range entries {
		to := "-"
		if len(e.Recipients) > 0 {
			to = e.Recipients[0].Address
		}
		if n := len(e.Recipients); n > 1 {
			to += fmt.Sprintf(" +%d", n-1)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t<%s>\t%s\t%s\t%d\t%s\t%s\n", e.ID, limit.Words(time.Since(e.Arrived)), sizeText(e.Size),
			printable(e.From), printable(to), e.State, e.Attempts, next(e), printable(why(e)))
	}
	return table.Flush()
}

func printMessage(w io.Writer, entries []spool.Entry) error {
	first := entries[0]
	fmt.Fprintf(w, "message   %s\nfrom      <%s>\naccount   %s\narrived   %s (%s ago)\nsize      %s\n", first.ID, printable(first.From),
		printable(describe(first.Account, first.Device)), first.Arrived.Format(time.RFC3339), limit.Words(time.Since(first.Arrived)), sizeText(first.Size))
	if first.Parent != "" {
		fmt.Fprintf(w, "report on %s\n", first.Parent)
	}
	for _, e := range entries {
		fmt.Fprintf(w, "\nfor %s: %s, tried %d times, next %s\n", printable(e.Destination), e.State, e.Attempts, next(e))
		for _, r := range e.Recipients {
			fmt.Fprintf(w, "    <%s>\n", printable(r.Address))
			if last, ok := e.Last[r.Address]; ok {
				fmt.Fprintf(w, "        %s\n", printable(replyOf(last)))
			} else {
				fmt.Fprintln(w, "        not tried yet")
			}
		}
	}
	return nil
}

// listedDelivery is a delivery as --json prints it.
type listedDelivery struct {
	ID          string            `json:"id"`
	From        string            `json:"from"`
	Account     string            `json:"account"`
	Device      string            `json:"device,omitempty"`
	Arrived     time.Time         `json:"arrived"`
	Size        int64             `json:"size"`
	Parent      string            `json:"parent,omitempty"`
	Destination string            `json:"destination"`
	State       spool.State       `json:"state"`
	Attempts    int               `json:"attempts"`
	Next        time.Time         `json:"next"`
	Recipients  []listedRecipient `json:"recipients"`
}

type listedRecipient struct {
	Address string `json:"address"`
	Hop     string `json:"hop,omitempty"`
	Code    int    `json:"code,omitempty"`
	Reply   string `json:"reply,omitempty"`
}

func printEntriesJSON(w io.Writer, entries []spool.Entry) error {
	encoder := json.NewEncoder(w)
	for _, e := range entries {
		d := listedDelivery{e.ID, e.From, e.Account, e.Device, e.Arrived, e.Size, e.Parent, e.Destination, e.State, e.Attempts, e.Due, []listedRecipient{}}
		for _, r := range e.Recipients {
			last := e.Last[r.Address]
			d.Recipients = append(d.Recipients, listedRecipient{r.Address, last.Hop, last.Reply.Code, last.Reply.Message})
		}
		if err := encoder.Encode(d); err != nil {
			return err
		}
	}
	return nil
}

// why is the last reply to any recipient.
func why(e spool.Entry) string {
	for _, address := range slices.Sorted(maps.Keys(e.Last)) {
		return replyOf(e.Last[address])
	}
	return ""
}

func replyOf(r spool.Result) string {
	text := fmt.Sprintf("%d %s", r.Reply.Code, r.Reply.Message)
	if r.Hop != "" {
		text = r.Hop + ": " + text
	}
	return text
}

func next(e spool.Entry) string {
	switch left := time.Until(e.Due); {
	case e.State == spool.Held, e.State == spool.Damaged:
		return "-"
	case e.State == spool.Leased:
		return "now"
	case left <= 0:
		return "due"
	default:
		return "in " + limit.Words(left)
	}
}

func sizeText(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// printable keeps what strangers wrote from steering a terminal, and a line from becoming two.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && !unicode.In(r, unicode.Cf) {
			return r
		}
		return '?'
	}, s)
}
