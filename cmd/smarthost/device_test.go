package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/crypto/bcrypt"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// A device has a secret of its own, and makes the account if it says what that may send as.
func TestAddDevice(t *testing.T) {
	h := newHousehold(t)
	env := testEnvironment(t, nil)
	c, err := loadConfig(env, h.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		account auth.Account
		fault   string // "": it is made
	}{
		{auth.Account{Name: "alice", Device: "laptop"}, "smarthost user add alice --sender ADDRESS makes it"},
		{auth.Account{Name: "alice", Device: "laptop", Senders: []string{"alice@example.org"}}, ""},
		{auth.Account{Name: "alice", Device: "phone"}, ""},
		{auth.Account{Name: "alice", Device: "phone"}, "smarthost device passwd alice phone gives it a new password"},
		{auth.Account{Name: "bob@example.org", Device: "pc"}, ""},
		{auth.Account{Name: "alice", Device: "pc", Class: "none"}, `no class of limits "none"`},
		{auth.Account{Name: "alice"}, "a device needs a name"},
		{auth.Account{Name: "alice", Device: "my laptop"}, `"my laptop" is not the name of a device`},
	} {
		secret, err := addDevice(c, auth.Login{Account: test.account})
		if test.fault != "" {
			if err == nil || !strings.Contains(err.Error(), test.fault) || secret != "" {
				t.Errorf("%+v: got %v, want %q", test.account, err, test.fault)
			}
			continue
		}
		if err != nil || bcrypt.CompareHashAndPassword(h.hash(test.account.Name, test.account.Device), []byte(secret)) != nil {
			t.Errorf("%+v: the file does not know the secret: %v", test.account, err)
		}
		if diff := cmp.Diff(auth.Tag(secret), h.login(test.account.Name, test.account.Device).Tag); diff != "" {
			t.Errorf("%+v: tag (-want +got):\n%s", test.account, diff)
		}
	}
	var usage usageError
	if _, err := addDevice(c, auth.Login{Account: auth.Account{Name: "alice"}}); !errors.As(err, &usage) {
		t.Errorf("without a device: %v is no wrong call", err)
	}
}

// device runs `smarthost device …`, which must go well.
func (h *household) device(stdin string, args ...string) string {
	h.Helper()
	stdout, stderr, code := h.run(stdin, "device", args...)
	if code != 0 || stderr != "" {
		h.Fatalf("device %v: exit code %d, %s", args, code, stderr)
	}
	return stdout
}

// A device is made with what it may do, gets another password, and is taken away alone.
func TestDeviceCommands(t *testing.T) {
	h := newHousehold(t)
	h.must("", "add", "alice", "--sender", "alice@example.org")
	out := h.device("", "add", "Alice", "laptop")
	shown := printedPassword.FindStringSubmatch(out)
	if shown == nil || bcrypt.CompareHashAndPassword(h.hash("alice", "laptop"), []byte(shown[1])) != nil || !strings.Contains(out, "added alice, device laptop; it may send as alice@example.org\n") {
		t.Fatalf("add printed %q", out)
	}
	out = h.device("correct horse\n", "add", "alice", "scanner", "--password-stdin", "--network", "192.0.2.7/24", "--network", "2001:db8::1", "--sender", "scan@example.org", "--class", "bulk", "--expires", "2097-01-31")
	if want := "added alice, device scanner; it may send as scan@example.org, until 2097-01-31, from 192.0.2.0/24, 2001:db8::1\n"; out != want {
		t.Errorf("add printed %q, want %q", out, want)
	}
	want := auth.Login{
		Account: auth.Account{Name: "alice", Device: "scanner", Class: "bulk", Senders: []string{"scan@example.org"}, OwnLimits: true}, Hash: h.hash("alice", "scanner"),
		Expires: time.Date(2097, 2, 1, 0, 0, 0, 0, time.UTC), Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")},
	}
	if diff := cmp.Diff(want, h.login("alice", "scanner"), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("the scanner (-want +got):\n%s", diff)
	}
	scanner := h.hash("alice", "scanner")
	shown = printedPassword.FindStringSubmatch(h.device("", "passwd", "alice", "laptop"))
	if shown == nil || bcrypt.CompareHashAndPassword(h.hash("alice", "laptop"), []byte(shown[1])) != nil || h.login("alice", "laptop").Tag != auth.Tag(shown[1]) {
		t.Errorf("passwd printed %q, which the file does not know", shown)
	}
	h.device("correct horse\n", "passwd", "alice", "laptop", "--password-stdin")
	if l := h.login("alice", "laptop"); l.Tag != "" || bcrypt.CompareHashAndPassword(l.Hash, []byte("correct horse")) != nil {
		t.Errorf("a chosen password has the tag %q, or is not what the file knows", l.Tag)
	}
	h.device("", "revoke", "alice", "laptop")
	if h.hash("alice", "laptop") != nil || h.hash("alice", "") == nil || string(h.hash("alice", "scanner")) != string(scanner) {
		t.Error("revoke left the laptop, or touched another login")
	}
}

func TestDeviceList(t *testing.T) {
	h := newHousehold(t)
	if out := h.device("", "list"); !strings.Contains(out, "there are no accounts in "+h.users) {
		t.Errorf("an empty list is %q", out)
	}
	if out := h.device("", "list", "--json"); out != "[]\n" {
		t.Errorf("an empty list is %q in JSON", out)
	}
	h.must("", "add", "alice", "--sender", "alice@example.org", "--class", "default")
	h.device("", "add", "alice", "laptop")
	h.device("", "add", "alice", "scanner", "--network", "192.0.2.0/24", "--class", "bulk", "--expires", "2097-01-31")
	h.device("", "add", "bob@example.org", "pc")
	text, err := os.ReadFile(h.users)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.users, []byte(strings.Replace(string(text), "device=pc", "device=pc expires=2020-12-31", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	// What a server remembers of the laptop, and of a scanner with another password.
	at, addr := time.Date(2026, 11, 24, 10, 30, 15, 0, time.UTC), netip.MustParseAddr("2001:db8::5")
	seen := []map[string]any{
		{"name": "alice", "device": "laptop", "secret": secretOf(h.hash("alice", "laptop")), "at": at.Unix(), "address": addr, "hello": "lap\u001b[2Jtop"},
		{"name": "alice", "device": "scanner", "secret": "000000000000", "at": at.Unix(), "address": addr, "hello": "x"},
	}
	state, err := json.Marshal(map[string]any{"devices": map[string]any{"version": 1, "devices": seen}})
	if err != nil {
		t.Fatal(err)
	}
	stateFile := filepath.Join(filepath.Dir(h.users), "state.json")
	if err := os.WriteFile(stateFile, state, 0o600); err != nil {
		t.Fatal(err)
	}
	const table = `NAME             DEVICE   LIMITS          MAY SEND AS        EXPIRES             FROM          LAST SEEN
alice            -        default         alice@example.org  never               anywhere      never
alice            laptop   default         alice@example.org  never               anywhere      2026-11-24 10:30 UTC from 2001:db8::5, lap?[2Jtop
alice            scanner  bulk (its own)  alice@example.org  2097-01-31          192.0.2.0/24  never
bob@example.org  pc       default         bob@example.org    EXPIRED 2020-12-31  anywhere      never
`
	if diff := cmp.Diff(table, h.device("", "list")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	var got []listedDevice
	if err := json.Unmarshal([]byte(h.device("", "list", "alice", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	end := time.Date(2097, 2, 1, 0, 0, 0, 0, time.UTC)
	want := []listedDevice{
		{"alice", admin.Device{Class: "default", Senders: []string{"alice@example.org"}, Networks: []netip.Prefix{}}},
		{"alice", admin.Device{Device: "laptop", Class: "default", Senders: []string{"alice@example.org"}, Networks: []netip.Prefix{},
			LastSeen: &admin.Sighting{At: at, Address: addr, Hello: "lap?[2Jtop"}}},
		{"alice", admin.Device{Device: "scanner", Class: "bulk", OwnLimits: true, Senders: []string{"alice@example.org"}, Expires: &end,
			Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
		t.Errorf("list alice --json (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(stateFile, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := h.run("", "device", "list"); code != 0 || !strings.Contains(stderr, "last seen is not known") || !strings.Contains(stdout, "scanner") {
		t.Errorf("with a damaged state: exit code %d, %q, %q", code, stdout, stderr)
	}
}

// secretOf is how the state names a secret.
func secretOf(hash []byte) string {
	sum := sha256.Sum256(hash)
	return hex.EncodeToString(sum[:6])
}

func TestDeviceFaults(t *testing.T) {
	h := newHousehold(t)
	h.must("", "add", "alice", "--sender", "alice@example.org")
	h.device("", "add", "alice", "laptop")
	before, err := os.ReadFile(h.users)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"", 2, "device: which?"},
		{"nonsense", 2, `no such subcommand: "nonsense"`},
		{"add", 2, "device add takes a user and a device"},
		{"add alice", 2, "device add takes a user and a device"},
		{"revoke alice", 2, "device revoke takes a user and a device"},
		{"list alice laptop", 2, "device list takes no more than a user"},
		{"revoke alice laptop --class bulk --json", 2, "device revoke does not take --class, --json"},
		{"add alice my/laptop", 2, `"my/laptop" is not the name of a device`},
		{"add alice pc --sender nonsense", 2, `"nonsense" is not a sender`},
		{"add alice pc --class none", 2, `no class of limits "none"; it has bulk, default`},
		{"add alice pc --expires tomorrow", 2, `"tomorrow" is not a date of expiry`},
		{"add alice pc --expires tomorrow", 2, "or a duration such as 90d"},
		{"add alice pc --expires 2020-01-31", 2, "2020-01-31 has passed already"},
		{"add alice pc --expires -1h", 2, "-1h has passed already"},
		{"add alice pc --network home", 2, `"home" is not a network`},
		{"add alice laptop", 1, "smarthost device passwd alice laptop gives it a new password"},
		{"add alcie laptop", 1, "did you mean alice?; smarthost user add alcie --sender ADDRESS makes it"},
		{"add bob pc", 1, "there is no account bob in " + h.users},
		{"passwd alice pc", 1, `alice has no device pc; it has laptop`},
		{"revoke alice pc", 1, `alice has no device pc; it has laptop`},
		{"revoke bob pc", 1, "there is no account bob"},
		{"list bob", 1, "there is no account bob"},
	} {
		stdout, stderr, code := h.run("", "device", strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(stderr, test.stderr) || strings.Contains(stdout, "password:") {
			t.Errorf("device %s: exit code %d, %q, %q; want %d, %q", test.args, code, stdout, stderr, test.code, test.stderr)
		}
	}
	after, err := os.ReadFile(h.users)
	if diff := cmp.Diff(string(before), string(after)); diff != "" || err != nil {
		t.Errorf("the file was changed (-before +after), %v:\n%s", err, diff)
	}
	if out := h.device("", "--help"); out != deviceHelp {
		t.Errorf("help is %q", out)
	}
}

func TestParseExpires(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 30, 15, 5, time.UTC)
	for text, want := range map[string]time.Time{
		"2027-01-31":           time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC),
		"2026-11-24":           time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), // what is left of today
		"2026-11-24T12:00:00Z": time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		"1d":                   time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC),
		"90d":                  time.Date(2027, 2, 23, 0, 0, 0, 0, time.UTC),
		"36h":                  time.Date(2026, 11, 25, 22, 30, 15, 0, time.UTC),
		"2026-11-23":           {}, "0s": {}, "": {}, "soon": {},
	} {
		got, err := parseExpires(text, now)
		if (err == nil) != !want.IsZero() || err == nil && !got.Equal(want) {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
}

// Who mistypes a device is told those that there are, unless they would fill the screen.
func TestDeviceThatIsNotThere(t *testing.T) {
	h := newHousehold(t)
	h.must("", "add", "alice", "--sender", "alice@example.org")
	line, err := os.ReadFile(h.users)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{2: "it has d1, d2\n", 21: "it has 21, which smarthost device list alice shows\n"} {
		text := string(line)
		for i := range n {
			text += fmt.Sprintf("alice:%s:device=d%d\n", h.hash("alice", ""), i+1)
		}
		if err := os.WriteFile(h.users, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, words, code := h.run("", "device", "revoke", "alice", "none"); code != 1 || !strings.HasSuffix(words, "alice has no device none; "+want) {
			t.Errorf("exit code %d, %q, want %q", code, words, want)
		}
	}
}

// A password that nobody could read is no success: it is shown once.
func TestPasswordThatCannotBePrinted(t *testing.T) {
	h := newHousehold(t)
	for _, test := range []struct {
		args []string
		then string
	}{
		{[]string{"user", "add", "alice", "--sender", "alice@example.org"}, "smarthost user passwd alice makes another one"},
		{[]string{"device", "add", "alice", "laptop"}, "smarthost device passwd alice laptop makes another one"},
		{[]string{"device", "passwd", "alice", "laptop"}, "smarthost device passwd alice laptop makes another one"},
	} {
		env := testEnvironment(t, nil)
		env.Stdout = fullDisk{}
		code := run(env, append(test.args, "--config", h.config))
		if words := env.Stderr.(*bytes.Buffer).String(); code != 1 || !strings.Contains(words, syscall.ENOSPC.Error()) || !strings.Contains(words, test.then) {
			t.Errorf("%v: exit code %d, %q", test.args, code, words)
		}
	}
}

// fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
