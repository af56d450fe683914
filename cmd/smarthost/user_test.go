package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
)

// household is a config in a folder of its own, for `smarthost user`.
type household struct {
	*testing.T
	config, users string
}

func newHousehold(t *testing.T) *household {
	dir := t.TempDir()
	config := filepath.Join(dir, "smarthost.toml")
	text := "hostname = \"mx.example.org\"\ndata = \"" + filepath.Join(dir, "data") + "\"\n[limits.bulk]\nmessages = \"9/1h\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &household{t, config, filepath.Join(dir, "data", "users")}
}

// user runs `smarthost user …` and returns what it printed and its exit code.
func (h *household) user(stdin string, args ...string) (stdout, stderr string, code int) {
	return h.run(stdin, "user", args...)
}

func (h *household) run(stdin, command string, args ...string) (stdout, stderr string, code int) {
	env := testEnvironment(h.T, nil)
	env.Stdin = strings.NewReader(stdin)
	code = run(env, append([]string{"--config", h.config, command}, args...))
	return env.Stdout.(*bytes.Buffer).String(), env.Stderr.(*bytes.Buffer).String(), code
}

func (h *household) must(stdin string, args ...string) string {
	h.Helper()
	stdout, stderr, code := h.user(stdin, args...)
	if code != 0 || stderr != "" {
		h.Fatalf("user %v: exit code %d, %s", args, code, stderr)
	}
	return stdout
}

// hash returns the hash that the file holds for an account's device.
func (h *household) hash(name, device string) []byte { return h.login(name, device).Hash }

// login returns what the file holds for an account's device.
func (h *household) login(name, device string) auth.Login {
	h.Helper()
	logins, faults, err := userfile.Read(h.users)
	if err != nil || len(faults) > 0 {
		h.Fatal(faults, err)
	}
	for _, l := range logins[name] {
		if l.Device == device {
			return l
		}
	}
	return auth.Login{}
}

var printedPassword = regexp.MustCompile(`(?m)^password: (\S+)$`)

// A generated password is shown once, and is the one that the file knows.
func TestUserGeneratedPassword(t *testing.T) {
	h := newHousehold(t)
	for _, args := range [][]string{{"add", "Alice", "--sender", "alice@example.org"}, {"passwd", "alice"}} {
		out := h.must("", args...)
		shown := printedPassword.FindStringSubmatch(out)
		if shown == nil || bcrypt.CompareHashAndPassword(h.hash("alice", ""), []byte(shown[1])) != nil {
			t.Errorf("user %v printed %q, which the file does not know", args, out)
		}
	}
	if cost, _ := bcrypt.Cost(h.hash("alice", "")); cost != bcrypt.MinCost {
		t.Errorf("a generated password has cost %d", cost)
	}
	if out := h.must("", "list") + h.must("", "show", "alice"); strings.Contains(out, "$2") || strings.Contains(out, "password") {
		t.Errorf("list and show tell of passwords: %s", out)
	}
}

// A password from standard input is never printed.
func TestUserPasswordFromStdin(t *testing.T) {
	h := newHousehold(t)
	for _, test := range []struct{ stdin, password string }{{"correct horse\n", "correct horse"}, {"tro ub4dor\r\n", "tro ub4dor"}, {" no line end", " no line end"}} {
		word := "passwd"
		if !exists(h.users) {
			word = "add"
		}
		if out := h.must(test.stdin, word, "alice", "--password-stdin"); strings.Contains(out, test.password) || strings.Contains(out, "password:") {
			t.Errorf("%q was printed: %q", test.password, out)
		}
		if bcrypt.CompareHashAndPassword(h.hash("alice", ""), []byte(test.password)) != nil {
			t.Errorf("%q is not what the file knows", test.password)
		}
	}
	before := h.hash("alice", "")
	for stdin, want := range map[string]string{"": "is empty", "\n": "is empty", strings.Repeat("x", 73) + "\n": "longer than 72 octets", "a\x00b\n": "holds a NUL"} {
		if _, stderr, code := h.user(stdin, "passwd", "alice", "--password-stdin"); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit code %d, %q; want 2, %q", stdin, code, stderr, want)
		}
	}
	if !bytes.Equal(before, h.hash("alice", "")) {
		t.Error("a refused password changed the file")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestUserDevices(t *testing.T) {
	h := newHousehold(t)
	h.must("", "add", "alice", "--device", "laptop", "--sender", "alice@example.org", "--sender", "*@a.example")
	h.must("", "add", "alice", "--device", "phone", "--class", "bulk")
	h.must("", "add", "bob@example.org")
	laptop, phone := h.hash("alice", "laptop"), h.hash("alice", "phone")
	h.must("", "passwd", "alice", "--device", "phone")
	if !bytes.Equal(laptop, h.hash("alice", "laptop")) || bytes.Equal(phone, h.hash("alice", "phone")) {
		t.Error("passwd of the phone changed the laptop, or not the phone")
	}
	want := []listed{
		{"alice", "laptop", "default", []string{"alice@example.org", "*@a.example"}},
		{"alice", "phone", "bulk", []string{}},
		{"bob@example.org", "", "default", []string{}},
	}
	var got []listed
	if err := json.Unmarshal([]byte(h.must("", "list", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("list --json (-want +got):\n%s", diff)
	}
	const table = `NAME             DEVICE  LIMITS   MAY SEND AS
alice            laptop  default  alice@example.org, *@a.example
alice            phone   bulk     nobody yet (--sender gives it an address)
bob@example.org          default  bob@example.org
`
	if diff := cmp.Diff(table, h.must("", "list")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	h.must("", "remove", "alice", "--device", "phone")
	if h.hash("alice", "phone") != nil || h.hash("alice", "laptop") == nil {
		t.Error("remove of the phone left it, or took the laptop")
	}
	h.must("", "remove", "alice")
	if h.hash("alice", "laptop") != nil || h.hash("bob@example.org", "") == nil {
		t.Error("remove of alice left her laptop, or took bob")
	}
}

// Whatever goes wrong is said in words that help, with exit code 2 for a wrong call, and changes nothing.
func TestUserFaults(t *testing.T) {
	h := newHousehold(t)
	h.must("", "add", "alice")
	h.must("", "add", "carol", "--device", "pc")
	before, err := os.ReadFile(h.users)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"", 2, "user: which?"},
		{"nonsense", 2, `no such subcommand: "nonsense"`},
		{"add", 2, "user add takes one name"},
		{"add a b", 2, "user add takes one name"},
		{"list alice", 2, "user list takes no name"},
		{"show alice --class x --device y", 2, "user show does not take --class, --device"},
		{"add bob --sender nonsense", 2, `"nonsense" is not a sender`},
		{"add bob --class none", 2, `no class of limits "none"; it has bulk, default`},
		{"add bob --device my/laptop", 1, `"my/laptop" is not the name of a device`},
		{"add b:ob", 1, "a user name must not begin with # nor contain a colon"},
		{"add #bob", 1, "a user name must not begin with # nor contain a colon"},
		{"add alice", 1, "alice is in " + h.users + " already"},
		{"passwd bob", 1, "there is no account bob in " + h.users},
		{"passwd alcie", 1, "did you mean alice?"},
		{"passwd carol", 1, `carol has no password that is not a device's; it has pc`},
		{"show bob", 1, "there is no account bob"},
		{"remove bob", 1, "there is no account bob"},
		{"remove carol --device phone", 1, `carol has no device phone; it has pc`},
	} {
		stdout, stderr, code := h.user("", strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(stderr, test.stderr) || strings.Contains(stdout, "password:") {
			t.Errorf("user %s: exit code %d, %q, %q; want %d, %q", test.args, code, stdout, stderr, test.code, test.stderr)
		}
	}
	if _, stderr, code := h.user("", "add", "al ice"); code != 2 || !strings.Contains(stderr, "without blanks") {
		t.Errorf("a name with a blank: exit code %d, %q", code, stderr)
	}
	after, err := os.ReadFile(h.users)
	if diff := cmp.Diff(string(before), string(after)); diff != "" || err != nil {
		t.Errorf("the file was changed (-before +after), %v:\n%s", err, diff)
	}
}

// A damaged line is told of, and passwd mends it.
func TestUserDamagedLine(t *testing.T) {
	h := newHousehold(t)
	if out := h.must("", "list"); !strings.Contains(out, "there are no accounts in "+h.users) {
		t.Errorf("an empty list is %q", out)
	}
	if out := h.must("", "list", "--json"); out != "[]\n" {
		t.Errorf("an empty list is %q in JSON", out)
	}
	h.must("", "add", "alice")
	if err := os.WriteFile(h.users, []byte("alice:$apr1$secret:sender=*\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := h.user("", "list"); code != 0 || !strings.Contains(stderr, h.users+":1:") || strings.Contains(stderr, "secret") {
		t.Errorf("list: exit code %d, %q", code, stderr)
	}
	h.must("", "passwd", "alice")
	if out := h.must("", "show", "alice"); !strings.Contains(out, "any address") {
		t.Errorf("after passwd: %q", out)
	}
}

func TestUserHelp(t *testing.T) {
	h := newHousehold(t)
	if out := h.must("", "--help"); out != userHelp {
		t.Errorf("help is %q", out)
	}
}
