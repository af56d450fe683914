package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// environment is what a command has of the world around it.
type environment struct {
	Context context.Context // ends at SIGINT or SIGTERM
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Getenv  func(string) string
	Environ func() []string // every variable as NAME=VALUE; nil where nobody looks for wrong ones
}

// usageError is a wrong call or a wrong config: exit code 2 and no more words than these.
type usageError string

func (e usageError) Error() string { return string(e) }

// errHelp tells that help was asked for and has been printed.
var errHelp = flag.ErrHelp

// exitCode is how a command ends whose child has said all there is to say.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// A command is one word after "smarthost".
type command struct {
	name, summary string
	run           func(env *environment, args []string) error
}

func commands() []command {
	return []command{
		{"serve", "take and forward mail; runs in the foreground", serveCommand},
		{"user", "add, list, show and remove accounts, change passwords", userCommand},
		{"device", "give laptops and services of an account passwords of their own, list and revoke them", deviceCommand},
		{"enroll", "give an account a device, and print the configuration of its mail client", enrollCommand},
		{"queue", "show the mail that waits, and why; hold, retry, reroute, drop it", queueCommand},
		{"trace", "tell what became of a mail", traceCommand},
		{"wait", "wait until a mail has been delivered, or has failed", waitCommand},
		{"status", "say what the running server is doing", statusCommand},
		{"health", "say whether the running server can do its work; for containers and probes", healthCommand},
		{"token", "make, list and revoke tokens for the API", tokenCommand},
		{"doctor", "say what is wrong with a server: another one as a laptop sees it, or this one", doctorCommand},
		{"test", "a server for the tests of other programs: strict as the real one, relays nothing", testCommand},
		{"config", "print the config file with its defaults, or check one", configCommand},
		{"version", "print the version", versionCommand},
	}
}

const usageText = `smarthost takes mail from those who log in, on ports 587 and 465, keeps it safe
on disk, and forwards it to the recipients' mail servers or to a relay.

Usage: smarthost COMMAND [--config FILE] …

%s
Every command explains itself: smarthost COMMAND --help
The config is the file given, else ./smarthost.toml, else
/etc/smarthost/smarthost.toml, else the defaults.

Example: start a server here and now, with nothing configured
    smarthost serve
`

// run finds the command and turns its error into words and an exit code:
// 0 done, 1 it went wrong, 2 it was called or configured wrongly; test exec ends with its child's.
func run(env *environment, args []string) int {
	err := dispatch(env, args)
	var usage usageError
	var code exitCode
	switch {
	case err == nil, errors.Is(err, errHelp):
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		fmt.Fprintln(env.Stderr, strings.TrimRight("smarthost: "+string(usage), "\n"))
		return 2
	case errors.Is(err, errFound):
		return 1
	default:
		fmt.Fprintf(env.Stderr, "smarthost: %v\n", err)
		return 1
	}
}

// dispatch takes --config before the command's name as well as after it.
func dispatch(env *environment, args []string) error {
	var before []string
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		word := strings.TrimLeft(args[0], "-")
		switch {
		case word == "help" || word == "h":
			return printUsage(env)
		case word == "version":
			return versionCommand(env, nil)
		case strings.HasPrefix(word, "config="):
			before, args = append(before, args[0]), args[1:]
		case word == "config" && len(args) > 1:
			before, args = append(before, args[0], args[1]), args[2:]
		case word == "config":
			return usageError("--config needs a file: smarthost --config FILE COMMAND")
		default:
			return usageError(fmt.Sprintf("no such option: %s (see smarthost --help)", args[0]))
		}
	}
	if len(args) >= 2 && args[0] == "help" && !strings.HasPrefix(args[1], "-") { // the help of a command is that of its subcommands too
		args = []string{args[1], "--help"}
	}
	if len(args) == 0 || args[0] == "help" {
		return printUsage(env)
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		return usageError(fmt.Sprintf("no such command: %q (see smarthost --help)", args[0]))
	}
	return all[i].run(env, append(before, args[1:]...))
}

func printUsage(env *environment) error {
	var list strings.Builder
	for _, c := range commands() {
		fmt.Fprintf(&list, "    %-9s %s\n", c.name, c.summary)
	}
	fmt.Fprintf(env.Stdout, usageText, list.String())
	return errHelp
}

// newFlags makes a command's flags; help is its whole help text, with an example.
func newFlags(env *environment, name, help string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() { fmt.Fprint(env.Stdout, help) }
	return fs
}

// commonFlags adds the flags that every command takes.
func commonFlags(fs *flag.FlagSet) *string {
	return fs.String("config", "", "the config file")
}

// parseFlags takes flags before, between and after the arguments and returns the arguments; behind "--" all are arguments.
// Only who asks for help gets it: output of a wrong call may be on its way into a shell.
func parseFlags(fs *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "--" {
			return append(rest, args...), nil
		}
		if len(word) < 2 || word[0] != '-' {
			rest = append(rest, word)
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
		f := fs.Lookup(name)
		switch {
		case f == nil && (name == "help" || name == "h"):
			fs.Usage()
			return nil, errHelp
		case f == nil:
			return nil, usageError(fmt.Sprintf("%s: there is no flag --%s%s (see smarthost %s --help)", fs.Name(), name, nearFlag(fs, name), fs.Name()))
		case given:
		case isSwitch(f):
			value = "true"
		case len(args) == 0:
			return nil, usageError(fmt.Sprintf("%s: --%s needs a value (see smarthost %s --help)", fs.Name(), name, fs.Name()))
		default:
			value, args = args[0], args[1:]
		}
		if err := setFlag(fs, name, value); err != nil {
			return nil, usageError(fmt.Sprintf("%s: --%s: %v (see smarthost %s --help)", fs.Name(), name, err, fs.Name()))
		}
	}
	return rest, nil
}

// isSwitch tells of a flag that needs no value.
func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// nearFlag names the flag that was meant, if one looks like it.
func nearFlag(fs *flag.FlagSet, name string) string {
	near, best := "", 3
	fs.VisitAll(func(f *flag.Flag) {
		if d := distance(name, f.Name); d < best {
			near, best = "; did you mean --"+f.Name+"?", d
		}
	})
	return near
}

// setFlag sets a flag. What package flag calls no more than a "parse error" says what would be right.
func setFlag(fs *flag.FlagSet, name, value string) error {
	err := fs.Set(name, value)
	typed, ok := fs.Lookup(name).Value.(flag.Getter)
	if err == nil || !ok {
		return err
	}
	switch typed.Get().(type) {
	case bool:
		return fmt.Errorf("%q is neither true nor false", value)
	case int:
		return fmt.Errorf("%q is not a whole number", value)
	case uint64:
		return fmt.Errorf("%q is not a whole number from 0 up", value)
	case time.Duration:
		return fmt.Errorf("%q is not a duration such as 30s or 5m", value)
	}
	return err
}
