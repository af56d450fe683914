//go:build !notestserver

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/auth/userfile"
	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

const testHelp = `smarthost test is a server for the tests of programs that send mail. It is as
strict as the real one, with the same words, and keeps what it is sent in
memory, bounded, until it ends. It relays nothing.

    smarthost test [FLAGS]                         runs until SIGTERM or SIGINT, and prints what to type
    smarthost test exec [FLAGS] -- COMMAND ARG...  runs COMMAND with a server of its own, and ends with its exit code
    smarthost test ready [--http ADDRESS] [--wait 10s]

    --user NAME:PASSWORD[:SENDER,SENDER...]  who may log in, as often as needed; SENDER is an address, *@example.com or *. Without SENDER a NAME that
                          is an address may send as itself, another one as anybody. Without --user: app:secret
    --listen ADDRESS      for STARTTLS; 127.0.0.1:0 if not given. Port 0 is any that is free
    --tls-listen ADDRESS  for TLS from the first byte; the same
    --http ADDRESS        for pages, API and /ca.pem; the same
    --host NAME,NAME...   names by which clients call it, for its certificate and its pages, besides localhost and its addresses
    --export DIR          writes into DIR: ca.pem; ca-bundle.pem and truststore.p12 (password changeit), which hold the system's authorities too;
                          env, for a shell; and ready.json, last, when clients can come. It is removed at the end.
    --config FILE         hostname, [submission], [limits], listen.per_address and listen.max_connections as in this config of a real server
    --script FILE         rules, as a JSON list, or the list itself: [{"on":"rcpt","to":"bob@*","times":2,"do":{"reply":[451,"4.7.1","greylisted"]}}]
    --seed N              of rules with a probability
    --magic               recipients ask for faults by their names: reject-550@, defer-451-2@ (twice), slow-5s@, drop-data@
    --max-messages N      that are kept, 500 if not given; the oldest give way, at 256 MiB too

Each flag may stand in the environment: SMARTHOST_TEST_USER,
SMARTHOST_TEST_TLS_LISTEN, and so on, several values with a blank between them.

exec gives COMMAND the variables of the file env: SMTP_HOST, SMTP_PORT,
SMTP_TLS_PORT, SMTP_USER (and SMTP_USERNAME), SMTP_PASSWORD of the first user,
SMARTHOST_TEST_URL of pages and API, SMARTHOST_TEST_CA, and what makes programs
in Go, Python, Ruby, PHP, Node, Java and curl trust the certificate. It passes
signals on. If COMMAND fails, or a rule of --script was not met (then with exit
code 1), what was said on each connection is on standard error.

ready asks a running one whether it can do its work; for containers.

Examples:
    smarthost test
    smarthost test exec -- npm test
    smarthost test exec --user shop:secret:*@shop.example --script greylisting.json -- go test ./...
    smarthost test --listen :1025 --tls-listen :1465 --http :8025 --host mail --export /shared
`

// testFlags are what the test server is told.
type testFlags struct {
	config, script, listen, tlsListen, http, export string
	users                                           []smarthosttest.User
	hosts                                           []string
	seed                                            uint64
	magic                                           bool
	maxMessages                                     int
	wait                                            time.Duration
}

const (
	testMessages = 500       // that are kept if nobody says otherwise
	testOctets   = 256 << 20 // of them
	testSessions = 1000
)

func (f *testFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&f.config, "config", "", "the config of a real server")
	fs.StringVar(&f.script, "script", "", "rules")
	fs.StringVar(&f.listen, "listen", "127.0.0.1:0", "where STARTTLS is")
	fs.StringVar(&f.tlsListen, "tls-listen", "127.0.0.1:0", "where TLS is")
	fs.StringVar(&f.http, "http", "127.0.0.1:0", "where pages and API are")
	fs.StringVar(&f.export, "export", "", "where files are written")
	fs.Func("user", "who may log in", func(words string) error {
		for word := range strings.FieldsSeq(words) {
			u, err := parseTestUser(word)
			if err != nil {
				return err
			}
			f.users = append(f.users, u)
		}
		return nil
	})
	fs.Func("host", "names", func(words string) error {
		f.hosts = append(f.hosts, strings.FieldsFunc(words, func(c rune) bool { return c == ',' || c == ' ' })...)
		return nil
	})
	fs.Uint64Var(&f.seed, "seed", 0, "of probabilities")
	fs.BoolVar(&f.magic, "magic", false, "magic recipients")
	fs.IntVar(&f.maxMessages, "max-messages", testMessages, "messages that are kept")
	fs.DurationVar(&f.wait, "wait", 0, "how long to wait")
}

// parseTestUser reads NAME:PASSWORD[:SENDER,SENDER...].
func parseTestUser(s string) (smarthosttest.User, error) {
	parts := strings.SplitN(s, ":", 3)
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return smarthosttest.User{}, errors.New("write NAME:PASSWORD or NAME:PASSWORD:SENDER,SENDER")
	}
	u := smarthosttest.User{Name: parts[0], Password: parts[1]}
	switch {
	case len(parts) == 3:
		u.Senders = strings.Split(parts[2], ",")
		for _, s := range u.Senders {
			if err := userfile.CheckSender(s); err != nil {
				return u, fmt.Errorf("user %s: %w", u.Name, err)
			}
		}
	case !strings.Contains(u.Name, "@"):
		u.Senders = []string{"*"}
	}
	return u, u.Validate()
}

// testSubcommands are the words behind smarthost test, and the flags of each.
var testSubcommands = map[string]string{
	"":      "user listen tls-listen http host export script seed magic max-messages",
	"exec":  "user listen tls-listen http host export script seed magic max-messages",
	"ready": "http wait",
}

func testCommand(env *environment, args []string) error {
	var child []string
	separated := slices.Index(args, "--")
	if separated >= 0 {
		args, child = args[:separated], args[separated+1:]
	}
	fs := newFlags(env, "test", testHelp)
	var f testFlags
	f.define(fs)
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	word := ""
	if len(args) > 0 {
		word, args = args[0], args[1:]
	}
	flags, known := testSubcommands[word]
	switch {
	case !known:
		return usageError(fmt.Sprintf("test: no such subcommand: %q (see smarthost test --help)", word))
	case word == "exec" && len(args) > 0 || word == "exec" && separated < 0:
		return usageError("test exec: write -- before the command: smarthost test exec -- npm test")
	case word == "exec" && len(child) == 0:
		return usageError("test exec: which command? smarthost test exec -- npm test")
	case len(args) > 0 || word != "exec" && separated >= 0:
		return usageError(strings.TrimSpace("test "+word) + " takes no arguments (see smarthost test --help)")
	}
	if foreign := foreignFlags(fs, flags); foreign != "" {
		return usageError(fmt.Sprintf("%s does not take %s (see smarthost test --help)", strings.TrimSpace("test "+word), foreign))
	}
	if err := flagsFrom(env, fs, flags+" config"); err != nil {
		return err
	}
	switch word {
	case "ready":
		return testReady(env, f)
	case "exec":
		return testExec(env, f, child)
	}
	return testServe(env, f)
}

// flagsFrom sets the flags that were not given from SMARTHOST_TEST_NAME.
func flagsFrom(env *environment, fs *flag.FlagSet, known string) error {
	given := map[string]bool{}
	fs.Visit(func(set *flag.Flag) { given[set.Name] = true })
	for name := range strings.FieldsSeq(known) {
		variable := "SMARTHOST_TEST_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		value := env.Getenv(variable)
		if given[name] || value == "" {
			continue
		}
		if err := setFlag(fs, name, value); err != nil {
			return usageError(fmt.Sprintf("test: %s: %v (see smarthost test --help)", variable, err))
		}
	}
	return nil
}

// settings makes the server's config.
func (f *testFlags) settings(env *environment) (smarthosttest.Config, error) {
	c := smarthosttest.Config{
		Users: f.users, Hosts: f.hosts, Listen: f.listen, Implicit: f.tlsListen, Seed: f.seed, Magic: f.magic,
		MaxMessages: f.maxMessages, MaxOctets: testOctets, MaxSessions: testSessions,
	}
	for _, address := range []string{f.listen, f.tlsListen, f.http} {
		if err := checkAddress(address); err != nil {
			return c, usageError("test: " + err.Error())
		}
	}
	for _, name := range f.hosts {
		if _, err := netip.ParseAddr(name); err == nil {
			continue
		}
		if err := checkHostname(name); err != nil {
			return c, usageError("test: --host: " + err.Error())
		}
	}
	if f.maxMessages < 1 {
		return c, usageError("test: --max-messages must be at least 1")
	}
	if f.config != "" {
		real, err := loadConfig(env, f.config)
		if err != nil {
			return c, err
		}
		c.Hostname, c.Settings, c.Limits = real.Hostname, serverSettings(real), real.Limits
		c.MaxMessageSize, c.PerAddress, c.MaxConnections, c.RequireTLS = real.Submission.MaxMessageSize, real.Listen.PerAddress, real.Listen.MaxConnections, honoursRequireTLS(real)
	}
	if err := c.Validate(); err != nil {
		return c, usageError("test: " + err.Error())
	}
	return c, nil
}

// rules reads the rules of --script.
func (f *testFlags) rules() ([]smarthosttest.Rule, error) {
	text, name := f.script, "--script"
	if text == "" {
		return nil, nil
	}
	if !strings.HasPrefix(strings.TrimSpace(text), "[") {
		name = text
		content, err := os.ReadFile(text)
		if err != nil {
			return nil, usageError("test: cannot read the rules: " + err.Error())
		}
		text = string(content)
	}
	var rules []smarthosttest.Rule
	d := json.NewDecoder(strings.NewReader(text))
	err := d.Decode(&rules)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is something behind the list")
		}
	}
	if err != nil {
		return nil, usageError(fmt.Sprintf("test: %s: %v (a JSON list of rules is wanted: see smarthost test --help)", name, err))
	}
	return rules, nil
}
