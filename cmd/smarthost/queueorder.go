package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// orderPast is what an order has done, for people.
var orderPast = map[string]string{"hold": "held", "release": "released", "retry": "due now", "reroute": "rerouted", "drop": "dropped", "return": "to be returned at once"}

// queueOrder has the running server carry an order out.
func queueOrder(env *environment, c *Config, word string, args []string, f *queueFlags) error {
	o := admin.Order{Do: word, Filter: f.filter, All: f.all, DryRun: f.dryRun}
	if word == "reroute" {
		relay, err := f.relay(args[0])
		if err != nil {
			return err
		}
		o.Relay, args = relay, args[1:]
	}
	if f.back {
		o.Do = "return"
	}
	if len(args) > 0 {
		o.Filter.IDs = args
	}
	switch chosen := !reflect.DeepEqual(o.Filter, admin.Filter{}); {
	case !chosen && !o.All:
		return usageError(fmt.Sprintf("queue %s: of what? Name ids, a filter, or --all (see smarthost queue --help)", word))
	case chosen && o.All:
		return usageError(fmt.Sprintf("queue %s: --all is everything; leave it out, or the ids and filters", word))
	}
	client := newAdminClient(c)
	if word == "drop" && !f.dryRun && !f.yes {
		if agreed, err := agree(env, client, o); err != nil || !agreed {
			return err
		}
	}
	outcome, err := sendOrder(env, client, o)
	if err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(env.Stdout).Encode(outcome)
	}
	return tellOutcome(env.Stdout, o, outcome)
}

// relay is the argument of reroute with its password.
func (f *queueFlags) relay(text string) (admin.Relay, error) {
	if text == "back" {
		if f.passwordFile != "" {
			return "", usageError("queue reroute back: there is no relay to log in to; leave --password-file out")
		}
		return "", nil
	}
	password := ""
	if f.passwordFile != "" {
		content, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return "", fmt.Errorf("the relay's password: %w", err)
		}
		password = strings.TrimRight(string(content), "\r\n")
	}
	u, err := url.Parse(text)
	if err == nil && u.User != nil && password != "" {
		if _, given := u.User.Password(); given {
			return "", usageError("queue reroute: the relay has a password already; give it in one place")
		}
		u.User = url.UserPassword(u.User.Username(), password)
		text = u.String()
	} else if password != "" {
		return "", usageError("queue reroute: --password-file needs a relay with a user: smtp://user@host:587")
	}
	if err := checkRelayGiven(text); err != nil {
		return "", usageError(fmt.Sprintf("queue reroute: %v (see smarthost queue --help)", err))
	}
	return admin.Relay(text), nil
}

// checkRelayGiven is checkRelay with no password from elsewhere.
func checkRelayGiven(text string) error {
	_, err := parseRelay(text, "")
	return err
}

// agree asks about what cannot be undone.
func agree(env *environment, client *adminClient, o admin.Order) (bool, error) {
	if _, isTerminal := terminal(env.Stdin); !isTerminal {
		return false, usageError("queue drop cannot be undone: say --yes, or --dry-run to see what it would do")
	}
	o.DryRun = true
	outcome, err := sendOrder(env, client, o)
	if err != nil {
		return false, err
	}
	if outcome.Changed+outcome.Leased == 0 {
		return false, tellOutcome(env.Stdout, o, outcome)
	}
	fmt.Fprintf(env.Stderr, "%s of %s will be %s, which cannot be undone. Go on? [y/N] ", deliveries(outcome.Changed+outcome.Leased), idsText(outcome), orderPast[o.Do])
	line, err := bufio.NewReader(io.LimitReader(env.Stdin, 100)).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, err
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return false, errors.New("nothing was changed")
	}
	return true, nil
}

// progressPause is between words about how far an order is.
const progressPause = time.Second

// sendOrder sends an order and says how far it is if that takes long. When it is broken off, what is done stays done.
func sendOrder(env *environment, client *adminClient, o admin.Order) (outcome admin.Outcome, err error) {
	response, err := client.Send(env.Context, http.MethodPost, "/api/v1/queue", "application/x-ndjson", o)
	if err != nil {
		return outcome, err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return outcome, readFault(response)
	}
	said, live := time.Now(), false
	defer func() {
		if live {
			fmt.Fprintln(env.Stderr)
		}
	}()
	end := "\n"
	if _, isTerminal := terminal(env.Stderr); isTerminal {
		end = ""
	}
	for answers := json.NewDecoder(response.Body); !outcome.Done; {
		var line struct {
			admin.Outcome
			admin.Fault
		}
		if err := answers.Decode(&line); err != nil {
			return outcome, fmt.Errorf("the order was broken off after %d of %s: %w; what is done stays done, and the same command does the rest", outcome.Changed, deliveries(outcome.Seen), err)
		}
		if line.What != "" {
			return outcome, fmt.Errorf("after %s: %s (%s)", deliveries(outcome.Changed), line.What, line.Fault.Do)
		}
		outcome = line.Outcome
		if time.Since(said) >= progressPause && !outcome.Done {
			said, live = time.Now(), end == ""
			start := ""
			if live {
				start = "\r"
			}
			fmt.Fprintf(env.Stderr, "%s%s looked at, %d %s%s", start, deliveries(outcome.Seen), outcome.Changed, orderPast[o.Do], end)
		}
	}
	return outcome, nil
}

func deliveries(n int) string {
	if n == 1 {
		return "1 delivery"
	}
	return fmt.Sprintf("%d deliveries", n)
}

// idsText names some of the messages.
func idsText(o admin.Outcome) string {
	const most = 3
	if len(o.IDs) <= most {
		return printable(strings.Join(o.IDs, ", "))
	}
	return printable(strings.Join(o.IDs[:most], ", ")) + " and others"
}

func tellOutcome(w io.Writer, o admin.Order, outcome admin.Outcome) error {
	if outcome.Changed+outcome.Leased+outcome.Skipped == 0 {
		if o.Filter.IDs != nil {
			return fmt.Errorf("the queue has none of these messages; smarthost trace may tell what became of them")
		}
		_, err := fmt.Fprintln(w, "No mail in the queue matches.")
		return err
	}
	verb := orderPast[o.Do]
	if o.DryRun {
		verb = "would be " + verb
	}
	text := fmt.Sprintf("%s %s", deliveries(outcome.Changed), verb)
	if outcome.Changed > 0 {
		text += ": " + idsText(outcome)
	}
	if outcome.Leased > 0 {
		text += fmt.Sprintf("; %s being tried at this moment: it holds for what the attempt leaves", deliveries(outcome.Leased))
	}
	if outcome.Skipped > 0 {
		text += fmt.Sprintf("; %s left alone", deliveries(outcome.Skipped))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
