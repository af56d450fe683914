package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/seed-1397b510/smarthost/server/admin"
)

const healthHelp = `smarthost health asks the running server how it is. Exit code 0: it can do its
work; 1: it cannot, or does not run.

    smarthost health [--ready] [--exclude CHECK]... [--live] [--json]

--ready, which is what it does without flags, looks at everything: listeners,
queue, disk, certificate, accounts, config, and whether waiting mail finds a way
out. What is degraded works, and is shown. --exclude leaves a check out: without
route, it tells whether mail is taken, even if it cannot go on at present.
--live asks no more than whether the process answers. It asks over the socket in
the data folder, and needs neither a shell nor a token; listen.admin answers the
same at /readyz?exclude=CHECK and /livez. For a container:

    HEALTHCHECK CMD ["/smarthost", "health"]

Example:
    smarthost health
    smarthost health --exclude route
`

func healthCommand(env *environment, args []string) error {
	fs := newFlags(env, "health", healthHelp)
	config := commonFlags(fs)
	ready := fs.Bool("ready", false, "whether it can do its work")
	exclude := url.Values{}
	fs.Func("exclude", "a check to leave out", func(name string) error {
		exclude.Add("exclude", name)
		return nil
	})
	live := fs.Bool("live", false, "whether it answers")
	asJSON := fs.Bool("json", false, "print JSON")
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(args) > 0:
		return usageError("health takes no arguments (see smarthost health --help)")
	case *ready && *live:
		return usageError("health: --ready or --live, not both")
	case *live && len(exclude) > 0:
		return usageError("health: --live looks at nothing that could be excluded")
	}
	c, err := loadConfig(env, *config)
	if err != nil {
		return err
	}
	path := "/readyz?" + exclude.Encode()
	if *live {
		path = "/livez"
	}
	return health(env, newAdminClient(c), path, *asJSON)
}

func health(env *environment, client *adminClient, path string, asJSON bool) error {
	ctx, cancel := context.WithTimeout(env.Context, askTime)
	defer cancel()
	response, err := client.Send(ctx, http.MethodGet, path, "application/json", nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusServiceUnavailable {
		if err = readFault(response); response.StatusCode == http.StatusBadRequest {
			return usageError("health: " + err.Error())
		}
		return err
	}
	var report admin.Report
	if err := json.NewDecoder(response.Body).Decode(&report); err != nil {
		return fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	if asJSON {
		err = json.NewEncoder(env.Stdout).Encode(report)
	} else {
		err = printReport(env.Stdout, report)
	}
	if err == nil && report.State == admin.Failed {
		return errFound
	}
	return err
}

func printReport(w io.Writer, report admin.Report) error {
	if _, err := fmt.Fprintln(w, report.State); err != nil {
		return err
	}
	for _, c := range report.Checks {
		if _, err := fmt.Fprintf(w, "    %-12s %-9s %s\n", c.Name, c.State, printable(c.Why)); err != nil {
			return err
		}
	}
	return nil
}
