package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testEnvironment(t *testing.T, variables map[string]string) *environment {
	return &environment{
		Context: t.Context(),
		Stdin:   strings.NewReader(""),
		Stdout:  new(bytes.Buffer),
		Stderr:  new(bytes.Buffer),
		Getenv:  func(name string) string { return variables[name] },
	}
}

func writeConfig(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "smarthost.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A wrong config says file, line, key and what would be right, all faults at once.
func TestAllFaultsAtOnce(t *testing.T) {
	path := writeConfig(t, `hostname = "mx example"
data = 5
[listen]
submission = ["587"]
per_adress = 3
proxies = ["10.0.0.0/33"]
admin = "unix:relative"

[submission]
unauthenticated = "never"
max_recipients = 5
max_message_size = "50MB!"
duplicate_window = "1 h"
help = "ftp://x"
[limits.default]
messages = "many"
speed = "1/1h"
[forward]
relay = "http://x"
retry = ["0s"]
[nonsense]
key = 1
[empty]
[listen.empty]
[accounts.more]
[[log]]
[limits."Not a class"]
[webhooks.bare]
`)
	_, err := loadConfig(testEnvironment(t, map[string]string{"SMARTHOST_LISTEN_PER_ADDRESS": "x"}), path)
	if err == nil {
		t.Fatal("the config was taken")
	}
	for _, want := range []string{
		`:1: hostname: "mx example" is not a host name`,
		`:2: data: must be a string in quotes`,
		`:4: listen.submission: "587" is not an address to listen on`,
		`:5: listen.per_adress: there is no such key; did you mean listen.per_address?`,
		`:6: listen.proxies: "10.0.0.0/33"`,
		`:7: listen.admin: "unix:relative" is not an address to listen on`,
		`:10: submission.unauthenticated: is "never"; must be "grace" or "reject" or "defer"`,
		`:11: submission.max_recipients: must be a whole number from 100 to`,
		`:12: submission.max_message_size: must be a size such as "50MiB"`,
		`:13: submission.duplicate_window: must be a duration in quotes`,
		`:14: submission.help: must be a URL`,
		`:16: limits.default.messages:`,
		`:17: limits.default.speed: there is no such limit`,
		`:19: forward.relay:`,
		`:20: forward.retry: the wait "0s" must be from 1s to 7d`,
		`:22: nonsense.key: there is no such key`,
		`:23: empty: there is no such table`,
		`:24: listen.empty: there is no such table`,
		`:25: accounts.more: there is no such table`,
		`:26: log: there is no such key`,
		`:27: limits.Not a class: there is no such table`,
		`:28: webhooks.bare: url is missing`,
		`SMARTHOST_LISTEN_PER_ADDRESS: listen.per_address: must be a whole number`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the faults lack %q", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestSyntaxFaultHasLine(t *testing.T) {
	path := writeConfig(t, "hostname = \"a\"\n[listen\n")
	_, err := loadConfig(testEnvironment(t, nil), path)
	if err == nil || !strings.Contains(err.Error(), path+":2: column") {
		t.Errorf("got %v, want the fault in line 2", err)
	}
}

// What `smarthost config` prints is a config, and means the defaults, with and without its comment signs.
func TestPrintedConfigMeansTheDefaults(t *testing.T) {
	var printed strings.Builder
	printConfig(&printed)
	active := new(strings.Builder)
	for line := range strings.Lines(printed.String()) {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			line = line[1:]
		}
		active.WriteString(line)
	}
	want, err := loadConfig(testEnvironment(t, nil), writeConfig(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"as printed": printed.String(), "uncommented": active.String()} {
		got, err := loadConfig(testEnvironment(t, nil), writeConfig(t, text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got.File, got.given, want.File, want.given = "", nil, "", nil
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Config{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEnvironmentWinsOverFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "relay")
	if err := os.WriteFile(secret, []byte("smtp://u:p@relay.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(testEnvironment(t, map[string]string{
		"SMARTHOST_LISTEN_SUBMISSION":       "127.0.0.1:1587, [::1]:1587",
		"SMARTHOST_FORWARD_RELAY_FILE":      secret,
		"SMARTHOST_LIMITS_DEFAULT_MESSAGES": "7/1m",
		"SMARTHOST_SUBMISSION_HELP":         "https://example.org/",
		"SMARTHOST_FORWARD_GIVE_UP":         "2d",
	}), writeConfig(t, "[listen]\nsubmission = [\":25\"]\n[limits.bulk]\nbytes = \"1GiB/1h\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"127.0.0.1:1587", "[::1]:1587"}, c.Listen.Submission); diff != "" {
		t.Error(diff)
	}
	if c.Forward.Relay != "smtp://u:p@relay.example" || c.Submission.Help != "https://example.org/" || c.Forward.GiveUp != 48*time.Hour {
		t.Errorf("got %+v", c)
	}
	if c.Limits["bulk"].Messages != c.Limits["default"].Messages || c.Limits["bulk"].Bytes == c.Limits["default"].Bytes {
		t.Errorf("the class bulk is %v, default is %v", c.Limits["bulk"], c.Limits["default"])
	}
}

// What is wrong with several keys together says where one of them stands, too.
func TestFaultsOfSeveralKeys(t *testing.T) {
	for _, test := range []struct{ config, want string }{
		{"[tls]\n\nkey = \"key.pem\"", "FILE:3: tls: certificate and key go together: give both or none"},
		{"[tls]\nacme_email = \"me@example.org\"", "FILE:2: tls.acme_email: has no use while tls.acme is not true"},
		{"hostname = \"mx\"\n[tls]\nacme = true", `FILE:1: hostname: "mx" is not a name in public DNS`},
		{"[listen]\nsubmission = []\nsubmissions = []", "FILE:2: listen: submission and submissions are both empty"},
		{"[listen]\nsubmissions = [\"127.0.0.1:587\"]", `FILE:2: listen.submissions: "127.0.0.1:587" is listened on for something else already (":587")`},
		{"[listen]\nsubmission = [\"192.0.2.1:587\", \"192.0.2.2:587\", \"192.0.2.1:587\"]", `FILE:2: listen.submission: "192.0.2.1:587" is listened on for something else already`},
		{"[listen]\nadmin = \"127.0.0.1:465\"", `FILE:2: listen.admin: "127.0.0.1:465" is listened on`},
		{"[forward]\nrelay = \"smtp://u@relay.example\"", "FILE:2: forward.relay: there is a user but no password"},
		{"[forward]\nrelay_password_file = \"x\"", "FILE:2: forward.relay_password_file: there is no forward.relay"},
		{"[webhooks.crm]\nsecret_file = \"x\"", "FILE:2: webhooks.crm: url is missing"},
		{"[webhooks.crm]\nurl = \"https://example.org/\"", "FILE:2: webhooks.crm: give secret or secret_file"},
		{"[forward]\ngive_up = \"90d\"", "FILE:2: forward.give_up: must be from 1m to 60d"},
	} {
		path := writeConfig(t, test.config)
		_, err := loadConfig(testEnvironment(t, nil), path)
		if want := strings.Replace(test.want, "FILE", path, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q\ngot  %v\nwant %s", test.config, err, want)
		}
	}
	if _, err := loadConfig(testEnvironment(t, map[string]string{"SMARTHOST_TLS_KEY": "key.pem"}), ""); err == nil || !strings.Contains(err.Error(), "SMARTHOST_TLS_KEY: tls: certificate and key") {
		t.Errorf("from the environment: %v", err)
	}
}

// A variable with a slip of the pen is told of; what clusters and this program's own other uses put there is not.
func TestStrayVariables(t *testing.T) {
	env := testEnvironment(t, nil)
	env.Environ = func() []string {
		return []string{
			"SMARTHOST_FORWARD_RELEY=smtp://relay.example", "SMARTHOST_LIMITS_BULK_MESSAGES=1/1h", "SMARTHOST_LISTEN=x",
			"SMARTHOST_FORWARD_RELAY_FILE=/x", "SMARTHOST_LIMITS_DEFAULT_BYTES=1MiB/1h", "SMARTHOST_HOSTNAME=mx.example.org", "PATH=/bin",
			"SMARTHOST_TEST_USER=app:secret", "SMARTHOST_SERVICE_HOST=10.0.0.1", "SMARTHOST_PORT=tcp://10.0.0.1:587", "SMARTHOST_PORT_587_TCP_ADDR=10.0.0.1",
		}
	}
	c, err := loadConfig(env, writeConfig(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"SMARTHOST_FORWARD_RELEY is the form of no key of the config; did you mean SMARTHOST_FORWARD_RELAY?",
		"SMARTHOST_LIMITS_BULK_MESSAGES is the form of no key of the config (smarthost config prints all; classes of limits and webhooks are only in the file)",
		"SMARTHOST_LISTEN is the form of no key of the config (smarthost config prints all; classes of limits and webhooks are only in the file)",
	}, c.stray); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{nil, 0, "Usage: smarthost COMMAND", ""},
		{[]string{"--help"}, 0, "Usage: smarthost COMMAND", ""},
		{[]string{"serve", "--help"}, 0, "smarthost serve takes and forwards", ""},
		{[]string{"nonsense"}, 2, "", `no such command: "nonsense"`},
		{[]string{"--config"}, 2, "", "--config needs a file"},
		{[]string{"--nonsense"}, 2, "", "no such option: --nonsense"},
		{[]string{"serve", "--nonsense"}, 2, "", "serve: there is no flag --nonsense (see smarthost serve --help)"},
		{[]string{"serve", "-confg", "x"}, 2, "", "serve: there is no flag --confg; did you mean --config?"},
		{[]string{"serve", "--config"}, 2, "", "serve: --config needs a value"},
		{[]string{"queue", "--limit", "few"}, 2, "", `queue: --limit: "few" is not a whole number`},
		{[]string{"queue", "--limit="}, 2, "", `queue: --limit: "" is not a whole number`},
		{[]string{"queue", "--older-than", "long"}, 2, "", "queue: --older-than: "},
		{[]string{"queue", "--json=maybe"}, 2, "", `queue: --json: "maybe" is neither true nor false`},
		{[]string{"wait", "x", "--timeout", "soon"}, 2, "", `wait: --timeout: "soon" is not a duration such as 30s`},
		{[]string{"test", "--seed", "-1"}, 2, "", `test: --seed: "-1" is not a whole number from 0 up`},
		{[]string{"user", "add", "alice", "--sender", "alice"}, 2, "", `user: --sender: "alice" is not a sender`},
		{[]string{"help", "queue", "hold"}, 0, "smarthost queue shows what waits", ""},
		{[]string{"queue", "hold", "-h"}, 0, "smarthost queue shows what waits", ""},
		{[]string{"enroll", "nobody"}, 2, "", `enroll: no such client: "nobody"`},
		{[]string{"test", "exec", "--user", "app:secret:anybody", "--", "true"}, 2, "", `test: --user: user app: "anybody" is not a sender`},
		{[]string{"test", "exec", "--export", "config_test.go", "--", "true"}, 2, "", "test: --export: config_test.go is not a folder"},
		{[]string{"test", "ready", "--http", "8025"}, 2, "", `such as 127.0.0.1:8025; "8025" has none`},
		{[]string{"version", "1"}, 2, "", "version takes no arguments"},
		{[]string{"--config", "/nonexistent", "config", "check"}, 2, "", "cannot read the config"},
		{[]string{"config", "check", "--config=/nonexistent"}, 2, "", "cannot read the config"},
		{[]string{"version"}, 0, "smarthost ", ""},
	} {
		env := testEnvironment(t, nil)
		code := run(env, test.args)
		stdout, stderr := env.Stdout.(*bytes.Buffer).String(), env.Stderr.(*bytes.Buffer).String()
		if code != test.code || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q; want %d, %q, %q", test.args, code, stdout, stderr, test.code, test.stdout, test.stderr)
		}
	}
}

func TestExampleConfigIsRight(t *testing.T) {
	if _, err := loadConfig(testEnvironment(t, nil), filepath.Join("..", "..", "deploy", "smarthost.toml")); err != nil {
		t.Error(err)
	}
}
