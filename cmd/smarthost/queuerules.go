package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"text/tabwriter"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// queueRules lists, adds and removes rules that hold new mail.
func queueRules(env *environment, c *Config, f *queueFlags, args []string) error {
	word := "list"
	if len(args) > 0 {
		word, args = args[0], args[1:]
	}
	rule := admin.Rule{Account: f.filter.Account, Sender: f.filter.Sender, Destination: f.filter.Destination, Note: f.note}
	switch {
	case word == "list" && len(args) == 0 && rule == admin.Rule{}:
		return listRules(env, c, f.json)
	case word == "add" && len(args) == 0:
		if rule.Account == "" && rule.Sender == "" && rule.Destination == "" {
			return usageError("queue rules add: hold what? --account, --sender or --destination (see smarthost queue --help)")
		}
		return addRule(env, c, rule, f.json)
	case word == "remove" && len(args) == 1 && rule == admin.Rule{}:
		n, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil || n < 1 {
			return usageError("queue rules remove takes the number of a rule; smarthost queue rules shows them")
		}
		return removeRule(env, c, n)
	}
	return usageError("queue rules: list, add with what to hold, or remove NUMBER (see smarthost queue --help)")
}

func listRules(env *environment, c *Config, asJSON bool) error {
	reader, err := openQueue(c)
	if err != nil {
		return err
	}
	defer reader.Close()
	rules, err := reader.Rules(env.Context)
	if err != nil {
		return err
	}
	if asJSON {
		for _, r := range rules {
			if err := json.NewEncoder(env.Stdout).Encode(admin.Rule(r)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(rules) == 0 {
		fmt.Fprintln(env.Stdout, "No rule holds new mail.")
		return nil
	}
	table := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tACCOUNT\tSENDER\tDESTINATION\tADDED\tNOTE")
	for _, r := range rules {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\n", r.ID, orAny(r.Account), orAny(r.Sender), orAny(r.Destination), clock(r.Added), printable(r.Note))
	}
	return table.Flush()
}

func orAny(s string) string {
	if s == "" {
		return "any"
	}
	return printable(s)
}

func addRule(env *environment, c *Config, rule admin.Rule, asJSON bool) error {
	ctx, cancel := context.WithTimeout(env.Context, askTime)
	defer cancel()
	if err := newAdminClient(c).Ask(ctx, http.MethodPost, "/api/v1/rules", rule, &rule); err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(env.Stdout).Encode(rule)
	}
	_, err := fmt.Fprintf(env.Stdout, "rule %d holds such mail from now on; smarthost queue release lets it go, smarthost queue rules remove %d ends it\n", rule.ID, rule.ID)
	return err
}

func removeRule(env *environment, c *Config, n int64) error {
	ctx, cancel := context.WithTimeout(env.Context, askTime)
	defer cancel()
	var removed admin.Removed
	if err := newAdminClient(c).Ask(ctx, http.MethodDelete, fmt.Sprintf("/api/v1/rules/%d", n), nil, &removed); err != nil {
		return err
	}
	_, err := fmt.Fprintf(env.Stdout, "rule %d is gone; what it has held stays held: smarthost queue release --state held\n", n)
	return err
}
