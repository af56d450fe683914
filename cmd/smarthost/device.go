package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
)

const deviceHelp = `smarthost device gives each laptop, phone and service of an account a password
of its own, which can be taken away alone. A running server sees every change
within a second, sessions that are open included.

    smarthost device add USER DEVICE [--sender PATTERN]… [--class CLASS] [--expires DATE] [--network CIDR]… [--password-stdin]
    smarthost device list [USER] [--json]
    smarthost device passwd USER DEVICE [--password-stdin]
    smarthost device revoke USER DEVICE

Without --password-stdin a password is generated and printed, this once. A
device may send as its account may, and shares its limits, unless it has a
--sender or a --class of its own; CLASS names the limits ([limits.CLASS] in the
config). DATE is a day, to its end in UTC, a time such as 2027-01-31T12:00:00Z,
or a duration from now on such as 90d. With --network the device may log in from
there only; CIDR is 192.0.2.0/24, 2001:db8::/32 or an address. list also shows
when, from where and by which EHLO name each was last seen.

Examples:
    smarthost device add alice laptop
    smarthost device add alice scanner --network 192.0.2.0/24 --sender scanner@example.org --class slow
    smarthost device add alice borrowed --expires 14d
    smarthost device list alice
    smarthost device revoke alice laptop
`

// deviceFlags are the flags of all subcommands; each takes the ones it knows.
type deviceFlags struct {
	senders       []string
	class         string
	expires       time.Time
	networks      []netip.Prefix
	passwordStdin bool
	json          bool
}

// deviceSub is a subcommand.
type deviceSub struct {
	flags string
	names int // that it takes: 2 are user and device, 1 is a user that can be left out
	run   func(env *environment, c *Config, name, device string, f *deviceFlags) error
}

var deviceSubs = map[string]deviceSub{
	"add":    {"sender class expires network password-stdin", 2, deviceAdd},
	"list":   {"json", 1, deviceList},
	"passwd": {"password-stdin", 2, devicePasswd},
	"revoke": {"", 2, deviceRevoke},
}

func deviceCommand(env *environment, args []string) error {
	fs := newFlags(env, "device", deviceHelp)
	config := commonFlags(fs)
	f := new(deviceFlags)
	f.define(fs)
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usageError("device: which? add, list, passwd or revoke (see smarthost device --help)")
	}
	word, args := args[0], args[1:]
	sub, ok := deviceSubs[word]
	switch {
	case !ok:
		return usageError(fmt.Sprintf("device: no such subcommand: %q (see smarthost device --help)", word))
	case sub.names == 2 && len(args) != 2:
		return usageError(fmt.Sprintf("device %s takes a user and a device (see smarthost device --help)", word))
	case len(args) > sub.names:
		return usageError(fmt.Sprintf("device %s takes no more than a user (see smarthost device --help)", word))
	}
	if foreign := foreignFlags(fs, sub.flags); foreign != "" {
		return usageError(fmt.Sprintf("device %s does not take %s (see smarthost device --help)", word, foreign))
	}
	c, err := loadConfig(env, *config)
	if err != nil {
		return err
	}
	name, device := "", ""
	if len(args) > 0 {
		if name, err = auth.FoldName(args[0]); err != nil {
			return usageError(fmt.Sprintf("device %s: %q: %v", word, args[0], err))
		}
	}
	if len(args) > 1 {
		device = args[1]
		if err := userfile.CheckDevice(device); err != nil {
			return usageError(fmt.Sprintf("device %s: %v", word, err))
		}
	}
	return sub.run(env, c, name, device, f)
}

func (f *deviceFlags) define(fs *flag.FlagSet) {
	fs.Func("sender", "an address that the device may send as", func(s string) error {
		f.senders = append(f.senders, s)
		return userfile.CheckSender(s)
	})
	fs.StringVar(&f.class, "class", "", "the limits that apply to it alone")
	fs.Func("expires", "the last day, or how long", func(s string) (err error) {
		f.expires, err = parseExpires(s, time.Now())
		return err
	})
	fs.Func("network", "where it may log in from", func(s string) error {
		network, err := userfile.ParseNetwork(s)
		f.networks = append(f.networks, network)
		return err
	})
	fs.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from standard input")
	fs.BoolVar(&f.json, "json", false, "print JSON")
}

// parseExpires reads what an accounts file may say, or a duration from now on. Whole days end with the last of them.
func parseExpires(s string, now time.Time) (time.Time, error) {
	t, err := userfile.ParseExpiry(s)
	if after, wrong := parseDuration(s); wrong == nil {
		t, err = now.UTC().Add(after).Truncate(time.Second), nil
		if strings.HasSuffix(s, "d") {
			t = t.Truncate(24*time.Hour).AddDate(0, 0, 1)
		}
	}
	if err != nil {
		return t, fmt.Errorf("%w, or a duration such as 90d", err)
	}
	if !t.After(now) {
		return t, fmt.Errorf("%s has passed already", s)
	}
	return t, nil
}

func deviceAdd(env *environment, c *Config, name, device string, f *deviceFlags) error {
	hash, err := readPassword(env, f.passwordStdin)
	if err != nil {
		return err
	}
	account := auth.Account{Name: name, Device: device, Class: f.class, Senders: f.senders}
	secret, err := addDevice(c, auth.Login{Account: account, Hash: hash, Expires: f.expires, Networks: f.networks})
	if err != nil {
		return err
	}
	// What it has of its account stands in the file.
	logins, _, err := userfile.Read(c.userFile())
	if err != nil {
		return fmt.Errorf("read the accounts: %w", err)
	}
	for _, l := range logins[name] {
		if l.Device == device {
			account = l.Account
		}
	}
	fmt.Fprintf(env.Stdout, "added %s; it may send as %s%s\n", describe(name, device), sendersText(account), boundsText(f.expires, f.networks))
	return printSecret(env.Stdout, name, device, secret)
}

// boundsText says how long, and from where, a device may log in.
func boundsText(expires time.Time, networks []netip.Prefix) (text string) {
	if !expires.IsZero() {
		text += ", until " + userfile.FormatExpiry(expires)
	}
	if len(networks) > 0 {
		text += ", from " + networksText(networks)
	}
	return text
}

func devicePasswd(env *environment, c *Config, name, device string, f *deviceFlags) error {
	return userPasswd(env, c, name, &userFlags{device: device, passwordStdin: f.passwordStdin})
}

func deviceRevoke(env *environment, c *Config, name, device string, _ *deviceFlags) error {
	err := userfile.Remove(c.userFile(), name, device)
	if errors.Is(err, userfile.ErrNotFound) {
		return whatThereIs(c, name, device)
	}
	if err != nil {
		return fmt.Errorf("revoke %s: %w", describe(name, device), err)
	}
	fmt.Fprintf(env.Stdout, "revoked %s: it can send nothing from now on; mail that it has sent stays in the queue\n", describe(name, device))
	return nil
}

// addDevice gives an account one more device and returns the secret that it made; with a hash in l there is none to return.
// The first device makes the account, if it is known what that may send as: by l.Senders, or because its name is an address.
// What l leaves out, senders and class, a device has from the account's login without a device.
func addDevice(c *Config, l auth.Login) (secret string, err error) {
	if l.Device == "" {
		return "", usageError("a device needs a name: letters, digits, dot, - and _")
	}
	logins, _, err := userfile.Read(c.userFile())
	if err != nil {
		return "", fmt.Errorf("read the accounts: %w", err)
	}
	if len(logins[l.Name]) == 0 && len(l.Senders) == 0 && !strings.Contains(l.Name, "@") {
		return "", fmt.Errorf("%w; smarthost user add %s --sender ADDRESS makes it, or give the device a --sender of its own", noSuchAccount(c, logins, l.Name), l.Name)
	}
	return addLogin(c, l)
}

// addLogin writes a login into the accounts file, with a secret that it makes and returns unless l has a hash.
func addLogin(c *Config, l auth.Login) (secret string, err error) {
	if _, ok := c.Limits[l.Class]; l.Class != "" && !ok {
		return "", usageError(fmt.Sprintf("the config has no class of limits %q; it has %s ([limits.%s] in the config makes it)", l.Class, strings.Join(slices.Sorted(maps.Keys(c.Limits)), ", "), l.Class))
	}
	if l.Hash == nil {
		secret = auth.NewSecret()
		l.Tag = auth.Tag(secret)
		if l.Hash, err = auth.HashPassword([]byte(secret), true); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(filepath.Dir(c.userFile()), 0o700); err != nil {
		return "", err
	}
	err = userfile.Add(c.userFile(), l)
	switch {
	case errors.Is(err, userfile.ErrExists) && l.Device == "":
		return "", fmt.Errorf("%s is in %s already; smarthost user passwd %s gives it a new password, smarthost device add %s NAME adds a device", l.Name, c.userFile(), l.Name, l.Name)
	case errors.Is(err, userfile.ErrExists):
		return "", fmt.Errorf("%s is in %s already; smarthost device passwd %s %s gives it a new password", describe(l.Name, l.Device), c.userFile(), l.Name, l.Device)
	case err != nil:
		return "", fmt.Errorf("add %s: %w", describe(l.Name, l.Device), err)
	}
	return secret, nil
}
