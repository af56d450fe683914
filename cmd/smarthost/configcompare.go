package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// compareTime is how long a running server may take to tell its config.
const compareTime = 5 * time.Second

// compareConfig says in what the config differs from that of the server which runs with its data folder, if one does.
func compareConfig(env *environment, c *Config) error {
	ctx, cancel := context.WithTimeout(env.Context, compareTime)
	defer cancel()
	var running admin.ConfigInForce
	if err := newAdminClient(c).Ask(ctx, http.MethodGet, "/api/v1/config", nil, &running); err != nil {
		_, err = fmt.Fprintf(env.Stdout, "not compared with a running server: %v\n", err)
		return err
	}
	return printChanges(env.Stdout, changes(running.Settings, c.values(honoursRequireTLS(c))))
}

func printChanges(w io.Writer, list []change) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "the running server works with just this (the relay's login is not compared)")
		return err
	}
	if _, err := fmt.Fprintln(w, "the running server works with other values; what to do for each, the value in force, the new one:"); err != nil {
		return err
	}
	for _, d := range list {
		do := "restart"
		if d.Reloads {
			do = "reload"
		}
		if _, err := fmt.Fprintf(w, "    %-8s %s: %s → %s\n", do, d.Key, printable(orNone(d.Old)), printable(orNone(d.New))); err != nil {
			return err
		}
	}
	return nil
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}
