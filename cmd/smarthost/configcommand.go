package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

const configHelp = `smarthost config prints the whole config file, with what each key means and its
default. smarthost config check FILE says all that is wrong with a file, and
whether this version can serve the queue in its data folder; exit code 0 if
nothing is, 2 otherwise. If a server runs with the data folder that the file
names, it also says in what that works otherwise, and what a reload or a restart
would change. The server's own SMARTHOST_ variables are in its values, and the
relay's login is not compared.

Examples:
    smarthost config > smarthost.toml
    smarthost config check /etc/smarthost/smarthost.toml
`

func configCommand(env *environment, args []string) error {
	fs := newFlags(env, "config", configHelp)
	path := commonFlags(fs)
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 0:
		printConfig(env.Stdout)
		return nil
	case args[0] == "check" && len(args) <= 2:
		if len(args) == 2 {
			*path = args[1]
		}
		c, err := loadConfig(env, *path)
		if err != nil {
			return err
		}
		for _, stray := range c.stray {
			fmt.Fprintln(env.Stderr, "smarthost: warning: "+stray)
		}
		if err := checkFiles(c); err != nil {
			return usageError("the config is wrong:\n" + err.Error())
		}
		if c.File == "" {
			fmt.Fprintln(env.Stdout, "there is no config file; the defaults are in force")
		} else {
			fmt.Fprintf(env.Stdout, "%s is right\n", c.File)
		}
		return compareConfig(env, c)
	}
	return usageError("config: expected nothing, or check FILE (see smarthost config --help)")
}

// checkFiles reads what the config names, as a start would.
func checkFiles(c *Config) error {
	var faults []error
	if c.TLS.Certificate != "" {
		if _, err := tls.LoadX509KeyPair(c.TLS.Certificate, c.TLS.Key); err != nil {
			faults = append(faults, c.at(fmt.Errorf("tls: certificate %s with key %s: %w", c.TLS.Certificate, c.TLS.Key, err), "tls.certificate", "tls.key"))
		}
	}
	faults = append(faults,
		c.at(second(readRoots(c.Forward.CA)), "forward.ca"),
		c.at(second(readAuthorities("tls.acme_ca", c.TLS.ACMECA)), "tls.acme_ca"),
		c.at(second(newRouter(c)), "forward.relay_password_file", "forward.relay"))
	if _, err := newHooks(c); err != nil {
		faults = append(faults, fmt.Errorf("%s: %w", c.File, err))
	}
	// Whoever checks a config may be kept from the server's data; the server's own check before it hands over is not.
	if err := sqlitespool.Check(queueFolder(c)); err != nil && !errors.Is(err, fs.ErrPermission) {
		faults = append(faults, fmt.Errorf("data: %w", err))
	}
	return errors.Join(faults...)
}

func second[T any](_ T, err error) error { return err }

// printConfig writes the file that says what is the case anyway: every key with its default, commented out.
func printConfig(w io.Writer) {
	fmt.Fprintln(w, "# The config of smarthost. Every key is optional; what stands here after \"#\" is the default.")
	fmt.Fprintln(w, "# Each has a form for the environment: listen.submission is SMARTHOST_LISTEN_SUBMISSION (lists with commas).")
	fmt.Fprintln(w, "# forward.relay, which may hold a password, can also come from the file that SMARTHOST_FORWARD_RELAY_FILE names.")
	section := ""
	for _, s := range settings {
		table, name, nested := strings.Cut(s.key, ".")
		if !nested {
			table, name = "", s.key
		}
		if table != section {
			if table == "forward" {
				printLimits(w)
			}
			if table == "digest" {
				printWebhooks(w)
			}
			section = table
			fmt.Fprintf(w, "\n[%s]\n", table)
		} else if section == "" && name == settings[0].key {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "# %s\n#%s = %s\n", s.comment, name, s.standard)
	}
}

func printLimits(w io.Writer) {
	fmt.Fprint(w, "\n# Limits by class of account. Another class is another table: [limits.bulk]; what it leaves out is as in default.\n[limits.default]\n")
	for _, d := range limitDefaults {
		fmt.Fprintf(w, "# %s\n#%s = %q\n", d.comment, d.name, d.value)
	}
}
