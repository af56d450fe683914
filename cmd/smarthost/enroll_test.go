package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
)

// enroll runs `smarthost enroll …` in the household; it has an account alice, and a port that is not asked for.
func (h *household) enroll(args ...string) (stdout, stderr string, code int) {
	env := testEnvironment(h.T, map[string]string{"HOME": "/home/op", "SMARTHOST_LISTEN_SUBMISSION": ":2587", "SMARTHOST_LISTEN_SUBMISSIONS": ":2465"})
	code = run(env, append([]string{"enroll", "--config", h.config}, args...))
	return env.Stdout.(*bytes.Buffer).String(), env.Stderr.(*bytes.Buffer).String(), code
}

func newEnrollHousehold(t *testing.T) *household {
	h := newHousehold(t)
	h.must("", "add", "alice", "--sender", "alice@example.org", "--sender", "*@laptop.example")
	return h
}

// makeCA does what the first start does, and returns the CA.
func (h *household) makeCA() string {
	h.Helper()
	folder := filepath.Join(filepath.Dir(h.users), "tls")
	ca := &privateCA{Folder: folder, Hostname: "mx.example.org"}
	if err := ca.renew(filepath.Join(folder, "certificate.pem"), filepath.Join(folder, "key.pem")); err != nil {
		h.Fatal(err)
	}
	text, err := os.ReadFile(ca.certFile())
	if err != nil {
		h.Fatal(err)
	}
	return string(text)
}

func (h *household) devices() []string {
	h.Helper()
	logins, faults, err := userfile.Read(h.users)
	if err != nil || len(faults) > 0 {
		h.Fatal(faults, err)
	}
	var names []string
	for _, l := range logins["alice"] {
		names = append(names, l.Device)
	}
	return names
}

var enrolledPassword = regexp.MustCompile(`(?m)^SMTP_PASSWORD=(\S+)$`)

// The password in the configuration is the new device's, which may do what was said and is named as it was said.
func TestEnroll(t *testing.T) {
	h := newEnrollHousehold(t)
	ca := h.makeCA()
	for _, step := range []struct {
		args   []string
		device string
	}{
		{nil, "env"},
		{nil, "env-2"},
		{[]string{"--device", "laptop", "--expires", "2099-01-31", "--network", "192.0.2.0/24"}, "laptop"},
		{[]string{"--device", "laptop", "--replace"}, "laptop"},
	} {
		old := h.hash("alice", step.device)
		out, words, code := h.enroll(append([]string{"env", "--user", "Alice"}, step.args...)...)
		password := enrolledPassword.FindStringSubmatch(out)
		if code != 0 || password == nil {
			t.Fatalf("%v: exit code %d, %s%s", step.args, code, out, words)
		}
		hash := h.hash("alice", step.device)
		if bcrypt.CompareHashAndPassword(hash, []byte(password[1])) != nil || bytes.Equal(hash, old) {
			t.Errorf("%v: the password is not that of the device %s", step.args, step.device)
		}
		for _, part := range []string{"SMTP_HOST=mx.example.org\n", "SMTP_PORT=2587\n", "SMTP_TLS=starttls\n", "SMTP_FROM=alice@example.org\n", strings.ReplaceAll(ca, "\n", "\n# ")[:200]} {
			if !strings.Contains(out, part) {
				t.Errorf("%v: there is no %q in it:\n%s", step.args, part, out)
			}
		}
		if want := "revoke it with smarthost device revoke alice " + step.device + " --config " + h.config + "\n"; !strings.HasSuffix(words, want) || strings.Contains(words, password[1]) {
			t.Errorf("%v: on standard error stands %q, want %q at the end", step.args, words, want)
		}
	}
	logins, _, err := userfile.Read(h.users)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(logins["alice"], func(l auth.Login) bool { return l.Device == "laptop" })
	if l := logins["alice"][i]; l.Expires.Year() != 2099 || len(l.Networks) != 1 || l.Tag == "" {
		t.Errorf("the device laptop became %+v", l)
	}
}

// What is wrong is said, with what to do, and no device is left behind.
func TestEnrollFaults(t *testing.T) {
	h := newEnrollHousehold(t)
	h.must("", "add", "bob")
	h.must("", "add", "a#b", "--sender", "*")
	if _, words, code := h.enroll("env", "--user", "alice", "--ca", "none"); code != 0 {
		t.Fatal(words)
	}
	theirs := filepath.Join(t.TempDir(), "home", "op", ".msmtprc")
	if err := os.MkdirAll(filepath.Dir(theirs), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(theirs, []byte("theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(theirs)))
	before, err := os.ReadFile(h.users)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args  string
		words string
		code  int
	}{
		{"env --user alice", "the private CA is made when the server first starts", 1},
		{"env", "--user NAME", 2},
		{"env msmtp --user alice", "takes one client", 2},
		{"exim --user alice", "did you mean exim4?", 2},
		{"python --user alice", "did you mean smtplib?", 2},
		{"postfx --user alice", "did you mean postfix?", 2},
		{"qmail-remote --user alice", "smarthost enroll lists them", 2},
		{"env --user alcie --ca none", "did you mean alice?; smarthost user add alcie", 1},
		{"env --user alice --ca none --device env", "choose another name with --device, or give that one a new password with --replace", 1},
		{"env --user alice --ca none --device none --replace", `no device "none"`, 1},
		{"env --user alice --ca none --replace --expires 90d", "--replace changes nothing but the password", 2},
		{"env --user alice --ca none --device a/b", "is not the name of a device", 2},
		{"env --user alice --ca none --from bob@example.org", "may not send as \"bob@example.org\", but as alice@example.org, *@laptop.example", 1},
		{"env --user alice --ca none --from *@laptop.example", "is not an address", 2},
		{"env --user bob --ca none", "nobody yet (--sender gives it an address)", 1},
		{"env --user bob --ca none --sender bob", "is not a sender", 2},
		{"env --user alice --ca none --replace --sender a@example.org", "--replace changes nothing but the password", 2},
		{"env --user alice --ca none --port 0", `--port: "0" is not a port`, 2},
		{"env --user alice --ca none --host a_b!", "is not a host name", 2},
		{"env --user alice --ca none --expires soon", "not a date of expiry", 2},
		{"env --user alice --ca none --network here", "is not a network", 2},
		{"env --user alice --ca " + h.config, "holds no certificate", 1},
		{"env --user alice --ca /none", "read the CA", 1},
		{"dma --user a#b --ca none", "dma's auth.conf cannot hold", 1},
		{"msmtp --user alice --ca none --write " + root, "--force replaces it", 1},
		{"msmtp --user alice --ca none --write /none", "no device made", 1},
		{"msmtp --user alice --ca none --force", "--force goes with --write", 2},
	} {
		out, words, code := h.enroll(strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(words, test.words) || out != "" {
			t.Errorf("%s: exit code %d, want %d, and %q, want %q", test.args, code, test.code, out+words, test.words)
		}
	}
	if after, err := os.ReadFile(h.users); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the accounts became, %v:\n%s", err, after)
	}
}

// A device may have addresses of its own, also of an account that has none.
func TestEnrollSender(t *testing.T) {
	h := newEnrollHousehold(t)
	h.device("", "add", "bob", "laptop", "--sender", "laptop@example.org")
	out, words, code := h.enroll("env", "--user", "bob", "--ca", "none", "--sender", "bob@example.org")
	if code != 0 || !strings.Contains(out, "SMTP_FROM=bob@example.org\n") || !strings.Contains(out, "it may send as bob@example.org.\n") {
		t.Errorf("exit code %d, %s%s", code, words, out)
	}
	if diff := cmp.Diff([]string{"bob@example.org"}, h.login("bob", "env").Senders); diff != "" {
		t.Errorf("the device may send as (-want +got):\n%s", diff)
	}
}

// full is a standard output that nothing can be written to.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// A configuration that could not be handed out leaves no device, and an old one as it was.
func TestEnrollNotHandedOut(t *testing.T) {
	h := newEnrollHousehold(t)
	h.must("", "add", "alice", "--device", "laptop")
	before, err := os.ReadFile(h.users)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--device", "new"}, {"--device", "laptop", "--replace"}} {
		env := testEnvironment(t, nil)
		env.Stdout = full{}
		code := run(env, append([]string{"enroll", "--config", h.config, "env", "--user", "alice", "--ca", "none"}, args...))
		if words := env.Stderr.(*bytes.Buffer).String(); code != 1 || !strings.Contains(words, "no space left") {
			t.Errorf("%v: exit code %d, %s", args, code, words)
		}
		if after, err := os.ReadFile(h.users); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%v: the accounts became, %v:\n%s", args, err, after)
		}
	}
}

// Nor does one that nobody reads: the program must not die by SIGPIPE before it has taken the device back. It is this test's own program.
func TestEnrollUnread(t *testing.T) {
	if config := os.Getenv("TEST_ENROLL_CONFIG"); config != "" {
		env := testEnvironment(t, nil)
		env.Stdout = os.Stdout
		os.Exit(run(env, []string{"enroll", "--config", config, "env", "--user", "alice", "--ca", "none"}))
	}
	h := newEnrollHousehold(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	program := exec.Command(os.Args[0], "-test.run=^TestEnrollUnread$")
	program.Env, program.Stdout = append(os.Environ(), "TEST_ENROLL_CONFIG="+h.config), w
	if err := program.Run(); program.ProcessState == nil || program.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit code 1", err)
	}
	if got := strings.Join(h.devices(), " "); got != "" {
		t.Errorf("there is left the device %s", got)
	}
}

// With --write the files are on disk, and only the commands are printed.
func TestEnrollWrite(t *testing.T) {
	h := newEnrollHousehold(t)
	h.makeCA()
	root := t.TempDir()
	for _, args := range [][]string{{}, {"--device", "postfix", "--replace"}} {
		out, words, code := h.enroll(append([]string{"postfix", "--user", "alice", "--write", root}, args...)...)
		file := filepath.Join(root, "etc/postfix/smarthost_passwd")
		text, err := os.ReadFile(file)
		if code != 0 || err != nil || !strings.Contains(words, "wrote "+file+"\n") {
			t.Fatalf("exit code %d, %v, %s", code, err, words)
		}
		_, password, _ := strings.Cut(string(text), "alice:")
		password = strings.TrimSpace(password)
		if bcrypt.CompareHashAndPassword(h.hash("alice", "postfix"), []byte(password)) != nil {
			t.Error("the written password is not the device's")
		}
		if strings.Contains(out, password) || !strings.Contains(out, "postmap") {
			t.Errorf("printed was\n%s", out)
		}
	}
	if out, _, code := h.enroll("msmtp", "--user", "alice", "--write", root); code != 0 || out != "" {
		t.Errorf("exit code %d; msmtp needs no command, but printed was %q", code, out)
	}
	if _, err := os.Stat(filepath.Join(root, "home/op/.msmtprc")); err != nil {
		t.Error(err)
	}
	if got := strings.Join(h.devices(), " "); got != " msmtp postfix" && got != " postfix msmtp" {
		t.Errorf("there are the devices %s", got)
	}
}

// What clients are told of the server.
func TestEnrollServer(t *testing.T) {
	h := newEnrollHousehold(t)
	h.makeCA()
	for _, test := range []struct {
		args, out, words string
	}{
		{"--port 2465", "SMTP_TLS=tls\n", ""},
		{"--port 465", "SMTP_TLS=tls\n", ""},
		{"--port 587", "SMTP_PORT=587\nSMTP_TLS=starttls\n", ""},
		{"--host localhost", "SMTP_HOST=localhost\n", ""},
		{"--host Relay.example.net", "SMTP_HOST=relay.example.net\n", "valid for mx.example.org, localhost, not relay.example.net"},
		{"--ca none", "SMTP_CA_FILE=/etc/ssl/certs/ca-certificates.crt\n", "--ca FILE gives them a CA"},
		{"--from bob@laptop.example", "SMTP_FROM=bob@laptop.example\n", ""},
	} {
		out, words, code := h.enroll(append([]string{"env", "--user", "alice"}, strings.Fields(test.args)...)...)
		warned, _, _ := strings.Cut(words, "device ")
		if code != 0 || !strings.Contains(out, test.out) || !strings.Contains(warned, test.words) || test.words == "" && warned != "" {
			t.Errorf("%s: exit code %d, %s, and not %q with %q:\n%s", test.args, code, words, test.out, test.words, out)
		}
	}
	bare := writeConfig(t, "hostname = \"box\"\n")
	env := testEnvironment(t, map[string]string{"SMARTHOST_DATA": filepath.Dir(h.users)})
	if code := run(env, []string{"enroll", "env", "--user", "alice", "--config", bare}); code != 2 || !strings.Contains(env.Stderr.(*bytes.Buffer).String(), "--host NAME") {
		t.Errorf("a bare host name: exit code %d, %s", code, env.Stderr)
	}
}

// Clients get certificates and nothing else that may stand in a file, least of all a key.
func TestEnrollCAFile(t *testing.T) {
	h := newEnrollHousehold(t)
	ca := h.makeCA()
	folder := filepath.Dir(h.users)
	file := filepath.Join(folder, "bundle.pem")
	if err := os.WriteFile(file, []byte("text\n"+ca+"more\nEND\n"+ca), 0o600); err != nil {
		t.Fatal(err)
	}
	out, words, code := h.enroll("mail", "--user", "alice", "--ca", file)
	if code != 0 || !strings.HasSuffix(out, "\n\n"+ca+ca) {
		t.Errorf("exit code %d, %s%s", code, words, out)
	}
	if block, _ := pem.Decode([]byte(ca)); block == nil {
		t.Error("the CA is no PEM")
	} else if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Error(err)
	}
	if _, words, code := h.enroll("mail", "--user", "alice", "--ca", filepath.Join(folder, "tls", "key.pem")); code != 1 || !strings.Contains(words, "certificates only") {
		t.Errorf("a key as CA: exit code %d, %s", code, words)
	}
}

// The sender that is found is one that the account may send as.
func TestLikelySender(t *testing.T) {
	for _, test := range []struct {
		name    string
		senders []string
		want    string
	}{
		{"alice", []string{"*@example.org", "alice@example.net"}, "alice@example.net"},
		{"alice", []string{"*@example.org"}, "alice@example.org"},
		{"alice", []string{"box+*@example.org"}, "box+alice@example.org"},
		{"alice", []string{"*"}, "alice@mx.example.org"},
		{"o'b", []string{"*"}, "ob@mx.example.org"},
		{"\u00e9", []string{"*"}, "mail@mx.example.org"},
		{"alice@example.org", nil, "alice@example.org"},
		{"alice@example.org", []string{"*"}, "alice@example.org"},
	} {
		account := auth.Account{Name: test.name, Senders: test.senders}
		if got, err := senderFor(testEnvironment(t, nil), account, "", "mx.example.org"); err != nil || got != test.want {
			t.Errorf("%q with %q: %q, %v, want %q", test.name, test.senders, got, err, test.want)
		}
	}
}

// Without arguments all clients are listed.
func TestEnrollList(t *testing.T) {
	h := newHousehold(t)
	out, words, code := h.enroll()
	for _, name := range []string{"exim4 ", "postfix ", "opensmtpd ", "nullmailer ", "dma ", "msmtp ", "ssmtp ", "swaks ", "curl ", "s-nail ", "git ",
		"smtplib ", "nodemailer ", "go ", "go-mail ", "systemd ", "kubernetes ", "compose ", "env ", "mail "} {
		if !strings.Contains(out, "\n"+name) {
			t.Errorf("%s is not listed", name)
		}
	}
	if code != 0 || words != "" {
		t.Errorf("exit code %d, %s", code, words)
	}
}
