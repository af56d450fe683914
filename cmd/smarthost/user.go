package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
)

const userHelp = `smarthost user looks after the accounts file. A running server sees every change
within a second.

    smarthost user add NAME [--sender PATTERN]… [--class NAME] [--device NAME] [--password-stdin]
    smarthost user passwd NAME [--device NAME] [--password-stdin]
    smarthost user list [--json]
    smarthost user show NAME
    smarthost user remove NAME [--device NAME]

Without --password-stdin a password is generated and printed, this once. PATTERN
is an address that the account may send as: "alice@example.org", "*@example.org"
or "*"; an account without one may send as its own name, if that is an address.
CLASS names the limits ([limits.CLASS] in the config). Senders and class of an
account that exists are changed in its line of the accounts file:
alice:HASH:sender=alice@example.org sender=*@example.net class=bulk. An account
can have several devices, each with a password of its own: smarthost device
--help.

Examples:
    smarthost user add alice --sender alice@example.org
    echo "$PASSWORD" | smarthost user add printer --sender printer@example.org --password-stdin
    smarthost user add alice --device laptop --sender alice@example.org
    smarthost user passwd alice
    smarthost user remove alice
`

// userFlags are the flags of all subcommands; each takes the ones it knows.
type userFlags struct {
	config        *string
	senders       []string
	class, device string
	passwordStdin bool
	json          bool
}

func userCommand(env *environment, args []string) error {
	fs := newFlags(env, "user", userHelp)
	f := &userFlags{config: commonFlags(fs)}
	fs.Func("sender", "an address that the account may send as", func(s string) error {
		f.senders = append(f.senders, s)
		return userfile.CheckSender(s)
	})
	fs.StringVar(&f.class, "class", "", "the limits that apply")
	fs.StringVar(&f.device, "device", "", "the device that has this password")
	fs.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from standard input")
	fs.BoolVar(&f.json, "json", false, "print JSON")
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usageError("user: which? add, passwd, list, show or remove (see smarthost user --help)")
	}
	word, args := args[0], args[1:]
	sub, ok := map[string]struct {
		flags string
		named bool
		run   func(*environment, *Config, string, *userFlags) error
	}{
		"add":    {"sender class device password-stdin", true, userAdd},
		"passwd": {"device password-stdin", true, userPasswd},
		"list":   {"json", false, userList},
		"show":   {"json", true, userShow},
		"remove": {"device", true, userRemove},
	}[word]
	switch {
	case !ok:
		return usageError(fmt.Sprintf("user: no such subcommand: %q (see smarthost user --help)", word))
	case sub.named && len(args) != 1:
		return usageError(fmt.Sprintf("user %s takes one name (see smarthost user --help)", word))
	case !sub.named && len(args) != 0:
		return usageError(fmt.Sprintf("user %s takes no name (see smarthost user --help)", word))
	}
	if foreign := foreignFlags(fs, sub.flags); foreign != "" {
		return usageError(fmt.Sprintf("user %s does not take %s (see smarthost user --help)", word, foreign))
	}
	c, err := loadConfig(env, *f.config)
	if err != nil {
		return err
	}
	name := ""
	if sub.named {
		if name, err = auth.FoldName(args[0]); err != nil {
			return usageError(fmt.Sprintf("user %s: %q: %v", word, args[0], err))
		}
	}
	return sub.run(env, c, name, f)
}

// foreignFlags names the flags that were given and are none of a subcommand's.
func foreignFlags(fs *flag.FlagSet, known string) string {
	var foreign []string
	fs.Visit(func(set *flag.Flag) {
		if set.Name != "config" && !slices.Contains(strings.Fields(known), set.Name) {
			foreign = append(foreign, "--"+set.Name)
		}
	})
	return strings.Join(foreign, ", ")
}

func userAdd(env *environment, c *Config, name string, f *userFlags) error {
	hash, err := readPassword(env, f.passwordStdin)
	if err != nil {
		return err
	}
	l := auth.Login{Account: auth.Account{Name: name, Device: f.device, Class: f.class, Senders: f.senders}, Hash: hash}
	secret, err := addLogin(c, l)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "added %s; it may send as %s\n", describe(name, f.device), sendersText(l.Account))
	return printSecret(env.Stdout, name, f.device, secret)
}

func userPasswd(env *environment, c *Config, name string, f *userFlags) error {
	secret, hash, err := newPassword(env, f.passwordStdin)
	if err != nil {
		return err
	}
	err = userfile.SetHash(c.userFile(), name, f.device, hash, auth.Tag(secret))
	if errors.Is(err, userfile.ErrNotFound) {
		return whatThereIs(c, name, f.device)
	}
	if err != nil {
		return fmt.Errorf("change the password of %s: %w", name, err)
	}
	fmt.Fprintf(env.Stdout, "%s has a new password; the old one is good for nothing from now on\n", describe(name, f.device))
	return printSecret(env.Stdout, name, f.device, secret)
}

func userRemove(env *environment, c *Config, name string, f *userFlags) error {
	err := userfile.Remove(c.userFile(), name, f.device)
	if errors.Is(err, userfile.ErrNotFound) {
		return whatThereIs(c, name, f.device)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	fmt.Fprintf(env.Stdout, "removed %s; mail that it has sent stays in the queue\n", describe(name, f.device))
	return nil
}

// listed is a login as list and show print it.
type listed struct {
	Name    string   `json:"name"`
	Device  string   `json:"device,omitempty"`
	Class   string   `json:"class"`
	Senders []string `json:"senders"`
}

func userList(env *environment, c *Config, _ string, f *userFlags) error {
	logins, err := readUsers(env, c)
	if err != nil {
		return err
	}
	var all []auth.Login
	for _, name := range slices.Sorted(maps.Keys(logins)) {
		all = append(all, logins[name]...)
	}
	if len(all) == 0 && !f.json {
		fmt.Fprintf(env.Stdout, "there are no accounts in %s; smarthost user add NAME makes one\n", c.userFile())
		return nil
	}
	return printLogins(env.Stdout, all, f.json)
}

func userShow(env *environment, c *Config, name string, f *userFlags) error {
	logins, err := readUsers(env, c)
	if err != nil {
		return err
	}
	if len(logins[name]) == 0 {
		return noSuchAccount(c, logins, name)
	}
	return printLogins(env.Stdout, logins[name], f.json)
}

func printLogins(w io.Writer, all []auth.Login, asJSON bool) error {
	list := make([]listed, len(all))
	for i, l := range all {
		list[i] = listed{l.Name, l.Device, l.Class, append([]string{}, l.Senders...)} // [] in JSON, not null
		if list[i].Class == "" {
			list[i].Class = "default"
		}
	}
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tDEVICE\tLIMITS\tMAY SEND AS")
	for i, l := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.Name, l.Device, l.Class, sendersText(all[i].Account))
	}
	return table.Flush()
}

// readUsers reads the file and says on standard error which lines are damaged.
func readUsers(env *environment, c *Config) (map[string][]auth.Login, error) {
	logins, faults, err := userfile.Read(c.userFile())
	if err != nil {
		return nil, fmt.Errorf("read the accounts: %w", err)
	}
	for _, fault := range faults {
		fmt.Fprintf(env.Stderr, "smarthost: damaged line, left out: %v\n", fault)
	}
	return logins, nil
}

// mostNamed is how many devices a line of words names.
const mostNamed = 20

// whatThereIs explains why a login was not found.
func whatThereIs(c *Config, name, device string) error {
	logins, _, err := userfile.Read(c.userFile())
	if err != nil {
		return fmt.Errorf("read the accounts: %w", err)
	}
	of := logins[name]
	if len(of) == 0 {
		return noSuchAccount(c, logins, name)
	}
	var devices []string
	for _, l := range of {
		if l.Device != "" {
			devices = append(devices, l.Device)
		}
	}
	has := "it has none"
	switch {
	case len(devices) > mostNamed:
		has = fmt.Sprintf("it has %d, which smarthost device list %s shows", len(devices), name)
	case len(devices) > 0:
		has = "it has " + strings.Join(devices, ", ")
	}
	if device == "" {
		return fmt.Errorf("%s has no password that is not a device's; %s", name, has)
	}
	return fmt.Errorf("%s has no device %s; %s", name, device, has)
}

func noSuchAccount(c *Config, logins map[string][]auth.Login, name string) error {
	near := ""
	for _, other := range slices.Sorted(maps.Keys(logins)) {
		if distance(name, other) <= 2 {
			near = fmt.Sprintf("; did you mean %s?", other)
			break
		}
	}
	return fmt.Errorf("there is no account %s in %s%s", name, c.userFile(), near)
}

// newPassword reads one from standard input, or makes one and returns it to be shown.
func newPassword(env *environment, fromStdin bool) (shown string, hash []byte, err error) {
	if hash, err = readPassword(env, fromStdin); hash != nil || err != nil {
		return "", hash, err
	}
	shown = auth.NewSecret()
	hash, err = auth.HashPassword([]byte(shown), true)
	return shown, hash, err
}

// readPassword reads a chosen password from standard input; nil if it is not to come from there.
func readPassword(env *environment, fromStdin bool) (hash []byte, err error) {
	if !fromStdin {
		return nil, nil
	}
	line, err := bufio.NewReader(io.LimitReader(env.Stdin, 4096)).ReadString('\n')
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	hash, err = auth.HashPassword([]byte(strings.TrimRight(line, "\r\n")), false)
	if err != nil {
		return nil, usageError("--password-stdin: " + err.Error())
	}
	return hash, nil
}

// printSecret shows a secret that was made, the only time that anybody can see it.
func printSecret(w io.Writer, name, device, secret string) error {
	if secret == "" {
		return nil
	}
	if _, err := fmt.Fprintf(w, "password: %s\n(shown this once; it goes into the mail program's configuration)\n", secret); err != nil {
		again := "user passwd " + name
		if device != "" {
			again = "device passwd " + name + " " + device
		}
		return fmt.Errorf("the password is in force, but could not be printed: %w; smarthost %s makes another one", err, again)
	}
	return nil
}

func describe(name, device string) string {
	if device == "" {
		return name
	}
	return name + ", device " + device
}

func sendersText(a auth.Account) string {
	switch {
	case slices.Contains(a.Senders, "*"):
		return "any address"
	case len(a.Senders) > 0:
		return strings.Join(a.Senders, ", ")
	case strings.Contains(a.Name, "@"):
		return a.Name
	}
	return "nobody yet (--sender gives it an address)"
}
