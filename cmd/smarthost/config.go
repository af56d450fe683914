package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/seed-1397b510/smarthost/forward/route"
	"github.com/seed-1397b510/smarthost/policy/limit"
)

// Config is the config file with the environment on top. settings.go says what each field means.
type Config struct {
	File     string // where it was read; "" if there is none
	Hostname string
	Data     string
	Listen   struct {
		Submission, Submissions, Proxies []string
		ACMEHTTP, ACMETLS                string
		PerAddress, MaxConnections       int
		Admin                            string
		Drain                            time.Duration
	}
	TLS struct {
		Certificate, Key                 string
		ACME                             bool
		ACMEEmail, ACMEDirectory, ACMECA string
	}
	Accounts   struct{ File string }
	Submission struct {
		Unauthenticated, Help string
		MaxMessageSize        int64
		MaxRecipients         int
		DuplicateWindow       time.Duration
		ClientAddress         bool
	}
	Limits   map[string]limit.Class
	Webhooks map[string]*webhook
	Forward  struct {
		Relay, RelayPasswordFile, CA string
		AllowLoopback                bool
		Family                       route.Family
		Retry                        []time.Duration
		GiveUp                       time.Duration
		Connections, PerDestination  int
	}
	Queue  struct{ History time.Duration }
	Digest struct {
		To string
		At clockTime
	}
	Log struct{ Format string }

	given map[string]string // keys that somebody set, and where: "smarthost.toml:12", or a variable of the environment
	stray []string          // variables of the environment that look like the form of a key and are none, in words
}

// userFile is the path of the accounts file.
func (c *Config) userFile() string { return inFolder(c.Data, c.Accounts.File) }

// standardFiles are where the config is looked for when --config does not name it.
var standardFiles = []string{"smarthost.toml", "/etc/smarthost/smarthost.toml"}

// loadConfig reads the file at path, or the first standard one, and the environment. All faults come in one usageError.
func loadConfig(env *environment, path string) (*Config, error) {
	var all []given
	var faults []error
	path, text, err := findConfig(path)
	if err != nil {
		return nil, usageError(err.Error())
	}
	if path != "" {
		all, err = readTOML(path, text)
		if err != nil {
			faults = append(faults, err)
		}
	}
	all = append(all, readEnvironment(env.Getenv, &faults)...)
	c := &Config{File: path, Limits: map[string]limit.Class{}, Webhooks: map[string]*webhook{}, given: map[string]string{}, stray: strayVariables(env)}
	c.setDefaults()
	for _, g := range all {
		if err := c.apply(g); err != nil {
			faults = append(faults, fmt.Errorf("%s: %s: %w", g.where, g.key, err))
		}
	}
	if len(faults) == 0 {
		faults = append(faults, c.complete())
	}
	if err := errors.Join(faults...); err != nil {
		return nil, usageError("the config is wrong:\n" + err.Error())
	}
	return c, nil
}

func findConfig(path string) (string, []byte, error) {
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", nil, fmt.Errorf("cannot read the config: %w", err)
		}
		return path, text, nil
	}
	for _, path := range standardFiles {
		text, err := os.ReadFile(path)
		if err == nil {
			return path, text, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, fmt.Errorf("cannot read the config: %w", err)
		}
	}
	return "", nil, nil
}

// variable is the environment form of a key.
func variable(key string) string {
	return "SMARTHOST_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// strayVariables tells of variables in the environment that look like the form of a key and are none. They are no faults: clusters and
// composers put variables of their own there.
func strayVariables(env *environment) (stray []string) {
	if env.Environ == nil {
		return nil
	}
	known := map[string]bool{}
	tables := map[string]bool{"LIMITS": true, "WEBHOOKS": true}
	for _, key := range slices.Concat(limitKeys("default"), slices.Collect(maps.Keys(absent))) {
		known[variable(key)] = true
	}
	for _, s := range settings {
		known[variable(s.key)] = true
		if s.secret {
			known[variable(s.key)+"_FILE"] = true
		}
		if table, _, nested := strings.Cut(s.key, "."); nested {
			tables[strings.ToUpper(table)] = true
		}
	}
	for _, line := range env.Environ() {
		name, _, _ := strings.Cut(line, "=")
		short, ours := strings.CutPrefix(name, "SMARTHOST_")
		if !ours || known[name] {
			continue
		}
		near, best := "", 4
		for _, other := range slices.Sorted(maps.Keys(known)) {
			if d := distance(name, other); d < best {
				near, best = other, d
			}
		}
		table, _, _ := strings.Cut(short, "_")
		switch {
		case near != "":
			stray = append(stray, fmt.Sprintf("%s is the form of no key of the config; did you mean %s?", name, near))
		case tables[table]:
			stray = append(stray, name+" is the form of no key of the config (smarthost config prints all; classes of limits and webhooks are only in the file)")
		}
	}
	slices.Sort(stray)
	return stray
}

func readEnvironment(getenv func(string) string, faults *[]error) []given {
	var all []given
	keys := limitKeys("default")
	for _, s := range settings {
		keys = append(keys, s.key)
		if !s.secret {
			continue
		}
		if file := getenv(variable(s.key) + "_FILE"); file != "" {
			where := variable(s.key) + "_FILE"
			text, err := os.ReadFile(file)
			if err != nil {
				*faults = append(*faults, fmt.Errorf("%s: %s: %w", where, s.key, err))
				continue
			}
			all = append(all, given{s.key, where, strings.TrimSpace(string(text))})
		}
	}
	for key := range absent {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if v := getenv(variable(key)); v != "" {
			all = append(all, given{key, variable(key), v})
		}
	}
	return all
}

func (c *Config) apply(g given) error {
	if empty, ok := g.value.(map[string]any); ok && len(empty) == 0 {
		return c.applyTable(g.key)
	}
	c.given[g.key] = g.where
	if class, name, ok := splitLimit(g.key); ok {
		return c.setLimit(class, name, g.value)
	}
	if name, key, ok := splitWebhook(g.key); ok {
		return c.setWebhook(name, key, g.value)
	}
	if why, ok := absent[g.key]; ok {
		return errors.New(why)
	}
	for _, s := range settings {
		if s.key == g.key {
			return s.set(c, g.value)
		}
	}
	return unknownKey(g.key)
}

// applyTable takes a table without keys, which may be one that there is: all in it is as if it was not there.
func (c *Config) applyTable(name string) error {
	parent, class, within := strings.Cut(name, ".")
	switch {
	case parent == "limits" && (!within || className.MatchString(class)), name == "webhooks":
		return nil
	case parent == "webhooks":
		return errors.New("url is missing, and so is all else")
	}
	for _, s := range settings {
		if strings.HasPrefix(s.key, name+".") {
			return nil
		}
	}
	return errors.New("there is no such table (smarthost config prints all)")
}

func unknownKey(key string) error {
	near, best := "", 4
	for _, s := range settings {
		if d := distance(key, s.key); d < best {
			near, best = s.key, d
		}
		if _, last, _ := strings.Cut(s.key, "."); last != "" && last == key {
			near, best = s.key, 0
		}
	}
	if near != "" {
		return fmt.Errorf("there is no such key; did you mean %s?", near)
	}
	return errors.New("there is no such key (smarthost config prints all)")
}

// distance counts the letters to change, add or remove to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func (c *Config) setDefaults() {
	for _, s := range settings {
		var doc struct{ V any }
		if err := toml.Unmarshal([]byte("V = "+s.standard), &doc); err != nil {
			panic("default of " + s.key + ": " + err.Error())
		}
		if err := s.set(c, doc.V); err != nil {
			panic("default of " + s.key + ": " + err.Error())
		}
	}
	for _, d := range limitDefaults {
		if err := c.setLimit("default", d.name, d.value); err != nil {
			panic("default of limits.default." + d.name + ": " + err.Error())
		}
	}
}

// complete fills what depends on the machine and checks what depends on more than one key.
func (c *Config) complete() error {
	if c.Hostname == "" {
		name, err := os.Hostname()
		if err != nil || checkHostname(name) != nil {
			name = "localhost"
		}
		c.Hostname = name
	}
	c.Hostname = strings.ToLower(c.Hostname)
	if c.Data == "" {
		c.Data = standardData(os.Geteuid(), os.Getenv)
	}
	folder := filepath.Dir(c.File)
	for _, path := range []*string{&c.Data, &c.TLS.Certificate, &c.TLS.Key, &c.TLS.ACMECA, &c.Forward.CA, &c.Forward.RelayPasswordFile} {
		*path = inFolder(folder, *path)
	}
	c.completeLimits()
	return errors.Join(
		c.require(len(c.Listen.Submission)+len(c.Listen.Submissions) > 0, "listen: submission and submissions are both empty, so nothing could ever connect; give one an address such as [\":587\"]", "listen.submission", "listen.submissions"),
		c.checkDoors(),
		c.require((c.TLS.Certificate == "") == (c.TLS.Key == ""), "tls: certificate and key go together: give both or none", "tls.certificate", "tls.key"),
		c.checkACME(),
		c.completeRelay(),
		c.completeWebhooks(),
	)
}

// require is a fault of several keys together unless something holds. It says where the first of them stands that somebody set.
func (c *Config) require(holds bool, fault string, keys ...string) error {
	if holds {
		return nil
	}
	return c.at(errors.New(fault), keys...)
}

// at says of a fault in which line the first of its keys stands that somebody set, or in which variable.
func (c *Config) at(fault error, keys ...string) error {
	for _, key := range keys {
		if where := c.given[key]; where != "" && fault != nil {
			return fmt.Errorf("%s: %w", where, fault)
		}
	}
	return fault
}

// checkDoors refuses an address that stands in the config twice.
func (c *Config) checkDoors() error {
	var faults []error
	var taken []string
	for _, door := range []struct {
		key   string
		addrs []string
	}{{"listen.submission", c.Listen.Submission}, {"listen.submissions", c.Listen.Submissions}, {"listen.admin", []string{c.Listen.Admin}}} {
		for _, addr := range door.addrs {
			faults = append(faults, c.at(apart(door.key, addr, taken), door.key))
			taken = append(taken, addr)
		}
	}
	return errors.Join(faults...)
}

// standardData is where the data go when nobody says: the system's place for root and for whoever may write there, else the user's own.
func standardData(uid int, getenv func(string) string) string {
	const system = "/var/lib/smarthost"
	if uid == 0 || writable(system) {
		return system
	}
	state := getenv("XDG_STATE_HOME")
	if state == "" {
		state = filepath.Join(cmp.Or(getenv("HOME"), "."), ".local", "state")
	}
	return filepath.Join(state, "smarthost")
}

// Classes of limits.

var limitDefaults = []struct{ name, value, comment string }{
	{"messages", "200/1h", "messages; \"N/duration\", at once at most N"},
	{"recipients", "1000/1h", "recipients, counted over all messages"},
	{"bytes", "500MiB/1h", "octets of content"},
}

var className = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func limitKeys(class string) []string {
	var keys []string
	for _, d := range limitDefaults {
		keys = append(keys, "limits."+class+"."+d.name)
	}
	return keys
}

func splitLimit(key string) (class, name string, ok bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 3 || parts[0] != "limits" {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// parseRelay reads forward.relay; password stands in where the URL has a user without one.
func parseRelay(text, password string) (*route.Relay, error) {
	if u, err := url.Parse(text); err == nil && u.User != nil && password != "" {
		if _, ok := u.User.Password(); !ok {
			u.User = url.UserPassword(u.User.Username(), password)
			text = u.String()
		}
	}
	relay, err := route.ParseRelay(text)
	return &relay, err
}

func checkRelay(s string) error {
	_, err := parseRelay(s, "from relay_password_file")
	return err
}

// completeRelay checks what relay and relay_password_file say together.
func (c *Config) completeRelay() error {
	if c.Forward.Relay == "" {
		return c.require(c.Forward.RelayPasswordFile == "", "forward.relay_password_file: there is no forward.relay", "forward.relay_password_file")
	}
	u, err := url.Parse(c.Forward.Relay)
	if err != nil || u.User == nil {
		return c.require(c.Forward.RelayPasswordFile == "", `forward.relay_password_file: forward.relay names no user; write "smtp://user@host:587"`, "forward.relay_password_file")
	}
	_, inURL := u.User.Password()
	return errors.Join(
		c.require(inURL || c.Forward.RelayPasswordFile != "", "forward.relay: there is a user but no password; write smtp://user:password@host or set forward.relay_password_file", "forward.relay"),
		c.require(!inURL || c.Forward.RelayPasswordFile == "", "forward.relay_password_file: forward.relay has a password already; give it in one place", "forward.relay_password_file"),
	)
}
