package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
	"github.com/seed-1397b510/smarthost/cmd/smarthost/enroll"
	"github.com/seed-1397b510/smarthost/policy"
)

const enrollHelp = `smarthost enroll gives an account a new device and prints the configuration with
which that device sends mail here.

    smarthost enroll CLIENT --user NAME [--device NAME] [--from ADDRESS] [--sender PATTERN]… [--expires DAY] [--network CIDR]…
                     [--host NAME] [--port PORT] [--ca FILE|none] [--replace] [--write DIR [--force]]
    smarthost enroll                       lists the clients

What is printed is a shell script, or for a program its text; the password in it
is shown this once. Nothing is made if anything is wrong.

    --device   the device's name; default: the client's, with a number if there is such a device
    --replace  give the device that there is a new password; the old one is good for nothing then
    --from     the address that mail comes from where a client wants one; it must be one that the device may send as
    --sender   what the device may send as, as in smarthost device add; default: what the account may
    --expires  the password is good until the end of this day, as in 2027-01-31, or for days, as in 90d
    --network  the device may log in from this network only
    --host     how clients call this server; default: hostname in the config
    --port     default: the first of listen.submission, or of listen.submissions
    --ca       the CA that clients have to trust; default: the private CA if there is one, else none, the system's
    --write    write the files into DIR, as if it were the root of the client's machine, and print the commands that are
               left to run. --force replaces files that others have written; a copy stays beside them as .before

Examples:
    smarthost enroll exim4 --user alice --device laptop | ssh root@laptop sh
    smarthost enroll msmtp --user alice | sh
    smarthost enroll smtplib --user backup --expires 90d > send.py
    smarthost enroll postfix --user web --write /
`

// enrollFlags are what the command line says.
type enrollFlags struct {
	config, user, device, from, host, port, ca, write string
	expires                                           time.Time
	networks                                          []netip.Prefix
	senders                                           []string
	replace, force                                    bool
}

func enrollFlagSet(env *environment, f *enrollFlags) *flag.FlagSet {
	fs := newFlags(env, "enroll", enrollHelp)
	fs.StringVar(&f.config, "config", "", "the config file")
	fs.StringVar(&f.user, "user", "", "the account")
	fs.StringVar(&f.device, "device", "", "the new device")
	fs.StringVar(&f.from, "from", "", "the sender")
	fs.StringVar(&f.host, "host", "", "this server's name")
	fs.StringVar(&f.port, "port", "", "this server's port")
	fs.StringVar(&f.ca, "ca", "", "the CA of the certificate")
	fs.StringVar(&f.write, "write", "", "the folder to write into")
	fs.BoolVar(&f.replace, "replace", false, "a new password for an old device")
	fs.BoolVar(&f.force, "force", false, "replace files of others")
	fs.Func("expires", "when the password ends", func(s string) (err error) {
		f.expires, err = parseExpires(s, time.Now())
		return err
	})
	fs.Func("sender", "an address that the device may send as", func(s string) error {
		f.senders = append(f.senders, s)
		return userfile.CheckSender(s)
	})
	fs.Func("network", "where the device may be", func(s string) error {
		p, err := userfile.ParseNetwork(s)
		f.networks = append(f.networks, p)
		return err
	})
	return fs
}

func enrollCommand(env *environment, args []string) error {
	var f enrollFlags
	args, err := parseFlags(enrollFlagSet(env, &f), args)
	if err != nil {
		return err
	}
	clients, err := enroll.Clients()
	if err != nil {
		return err
	}
	switch len(args) {
	case 0:
		return listClients(env, clients)
	case 1:
	default:
		return usageError("enroll takes one client (see smarthost enroll --help)")
	}
	client, err := findClient(clients, args[0])
	if err != nil {
		return err
	}
	switch {
	case f.user == "":
		return usageError("enroll: for whom? --user NAME (smarthost user list shows the accounts)")
	case f.replace && (!f.expires.IsZero() || len(f.networks) > 0 || len(f.senders) > 0):
		return usageError("enroll: --replace changes nothing but the password; --sender, --expires and --network are for a new device")
	case f.force && f.write == "":
		return usageError("enroll: --force goes with --write")
	}
	if f.device != "" {
		if err := userfile.CheckDevice(f.device); err != nil {
			return usageError("enroll: --device: " + err.Error())
		}
	}
	c, err := loadConfig(env, f.config)
	if err != nil {
		return err
	}
	e, err := newEnrolment(env, c, client, &f)
	if err != nil {
		return err
	}
	return e.run(env, &f)
}

func listClients(env *environment, clients []enroll.Client) error {
	table := tabwriter.NewWriter(env.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "CLIENT\tWHAT IT IS")
	for _, c := range clients {
		fmt.Fprintf(table, "%s\t%s\n", c.Name, c.Summary)
	}
	fmt.Fprintln(table, "\nsmarthost enroll CLIENT --user NAME prints its configuration (see smarthost enroll --help)")
	return table.Flush()
}

// findClient names those that may have been meant if there is no such client.
func findClient(clients []enroll.Client, name string) (enroll.Client, error) {
	var near []string
	word := strings.ToLower(name)
	for _, c := range clients {
		if c.Name == name {
			return c, nil
		}
		if distance(word, c.Name) <= 2 && len(word) > 2 || strings.Contains(c.Name, word) || strings.Contains(strings.ToLower(c.Summary), word) {
			near = append(near, c.Name)
		}
	}
	if len(near) == 0 {
		return enroll.Client{}, usageError(fmt.Sprintf("enroll: no such client: %q (smarthost enroll lists them; mail and env are for all that are not there)", name))
	}
	return enroll.Client{}, usageError(fmt.Sprintf("enroll: no such client: %q; did you mean %s?", name, strings.Join(near, ", ")))
}

// An enrolment is a device that is about to be made, and the configuration that is printed when it is there.
type enrolment struct {
	config  *Config
	login   auth.Login // with the hash of the new password
	old     auth.Login // what the device had, if it gets a new password
	replace bool
	plan    *enroll.Plan
}

// newEnrolment does all that can fail before anything is changed.
func newEnrolment(env *environment, c *Config, client enroll.Client, f *enrollFlags) (*enrolment, error) {
	name, err := auth.FoldName(f.user)
	if err != nil {
		return nil, usageError(fmt.Sprintf("enroll: %q: %v", f.user, err))
	}
	logins, err := readUsers(env, c)
	if err != nil {
		return nil, err
	}
	if len(logins[name]) == 0 {
		return nil, fmt.Errorf("%w; smarthost user add %s --sender ADDRESS makes it", noSuchAccount(c, logins, name), shellWord(name))
	}
	e := &enrolment{config: c, replace: f.replace}
	e.login = auth.Login{Account: auth.Account{Name: name, Senders: f.senders}, Expires: f.expires, Networks: f.networks}
	if err := e.nameDevice(logins[name], client.Name, f.device); err != nil {
		return nil, err
	}
	secret := auth.NewSecret()
	e.login.Tag = auth.Tag(secret)
	if e.login.Hash, err = auth.HashPassword([]byte(secret), true); err != nil {
		return nil, err
	}
	v, err := serverValues(env, c, f)
	if err != nil {
		return nil, err
	}
	v.User, v.Device, v.Secret = name, e.login.Device, secret
	v.Revoke = "smarthost device revoke " + shellWord(name) + " " + e.login.Device
	if f.config != "" {
		file, err := filepath.Abs(f.config)
		if err != nil {
			return nil, err
		}
		v.Revoke += " --config " + shellWord(file)
	}
	account := e.account(logins[name])
	v.MayBe = sendersText(account)
	if v.From, err = senderFor(env, account, f.from, v.Host); err != nil {
		return nil, err
	}
	e.plan, err = client.Plan(v)
	return e, err
}

// nameDevice takes the name that was given, or the first that is free.
func (e *enrolment) nameDevice(of []auth.Login, client, given string) error {
	e.login.Device = cmp.Or(given, client)
	there := func() bool {
		i := slices.IndexFunc(of, func(l auth.Login) bool { return l.Device == e.login.Device })
		if i >= 0 {
			e.old = of[i]
		}
		return i >= 0
	}
	if e.replace {
		if !there() {
			return fmt.Errorf("%s has no device %q that --replace could give a new password", e.login.Name, e.login.Device)
		}
		return nil
	}
	for n := 2; there(); n++ {
		if given != "" {
			return fmt.Errorf("%s has a device %q already: choose another name with --device, or give that one a new password with --replace", e.login.Name, given)
		}
		e.login.Device = fmt.Sprintf("%s-%d", client, n)
	}
	return nil
}

// account is what the device may do: what is written at it, or else at the account.
func (e *enrolment) account(of []auth.Login) auth.Account {
	switch {
	case len(e.old.Senders) > 0:
		return e.old.Account
	case len(e.login.Senders) > 0:
		return e.login.Account
	}
	for _, l := range of {
		if l.Device == "" {
			return l.Account
		}
	}
	return e.login.Account
}

// senderFor checks the sender that was given, or finds one.
func senderFor(env *environment, a auth.Account, given, host string) (string, error) {
	from := given
	if from == "" {
		from = likelySender(a, host)
	}
	if _, err := (&policy.Policy{}).Mail(env.Context, a, from, nil); err != nil || from == "" {
		return "", fmt.Errorf("%s may not send as %q, but as %s; --from gives an address, --sender allows the device one", a.Name, from, sendersText(a))
	}
	if err := userfile.CheckSender(from); err != nil || strings.Contains(from, "*") {
		return "", usageError(fmt.Sprintf("enroll: --from: %q is not an address", from))
	}
	return from, nil
}

func likelySender(a auth.Account, host string) string {
	local := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, a.Name)
	local = cmp.Or(local, "mail")
	patterns := slices.Clone(a.Senders)
	slices.SortStableFunc(patterns, func(a, b string) int { return strings.Count(a, "*") - strings.Count(b, "*") })
	switch {
	case len(patterns) == 0 || strings.Contains(a.Name, "@") && slices.Contains(patterns, "*"):
		return a.Name
	case patterns[0] == "*":
		return local + "@" + mailDomain(host)
	}
	return strings.Replace(patterns[0], "*", local, 1)
}

// run makes the device and hands its configuration out. If that fails, the device is as it was before.
func (e *enrolment) run(env *environment, f *enrollFlags) error {
	target := enroll.Target{Dir: f.write, Home: env.Getenv("HOME"), Force: f.force}
	if f.write != "" {
		if target.Home == "" {
			target.Home = "/root"
		}
		if err := target.Check(e.plan); err != nil {
			return fmt.Errorf("nothing was written and no device made: %w", err)
		}
	}
	// A reader that has gone away must not end the program here: the device would stay, with a password that nobody has seen.
	gone := make(chan os.Signal, 1)
	signal.Notify(gone, syscall.SIGPIPE)
	defer signal.Stop(gone)
	if err := e.apply(); err != nil {
		return err
	}
	if err := e.handOut(env, f, target); err != nil {
		return errors.Join(fmt.Errorf("the device is not made: %w", err), e.undo())
	}
	did := "made"
	if e.replace {
		did = "has a new password, and the old one is good for nothing from now on"
	}
	fmt.Fprintf(env.Stderr, "device %s of %s %s; revoke it with %s\n", e.login.Device, e.login.Name, did, e.plan.Values.Revoke)
	return nil
}

func (e *enrolment) apply() error {
	if e.replace {
		return userfile.SetHash(e.config.userFile(), e.login.Name, e.login.Device, e.login.Hash, e.login.Tag)
	}
	_, err := addDevice(e.config, e.login)
	return err
}

func (e *enrolment) undo() error {
	if e.replace {
		return userfile.SetHash(e.config.userFile(), e.login.Name, e.login.Device, e.old.Hash, e.old.Tag)
	}
	return userfile.Remove(e.config.userFile(), e.login.Name, e.login.Device)
}

func (e *enrolment) handOut(env *environment, f *enrollFlags, target enroll.Target) error {
	text := e.plan.String()
	if f.write != "" {
		written, commands, err := target.Write(e.plan)
		for _, path := range written {
			fmt.Fprintf(env.Stderr, "wrote %s\n", path)
		}
		if err != nil {
			return err
		}
		text = commands
	}
	_, err := fmt.Fprint(env.Stdout, text)
	return err
}

// shellWord is s as it can be typed, between quotes only if it needs them.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@/+-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
