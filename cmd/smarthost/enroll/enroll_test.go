package enroll

import (
	"encoding/json"
	"flag"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

const ca = "-----BEGIN CERTIFICATE-----\nMIIBlDCCATqgAwIBAgIP\n-----END CERTIFICATE-----\n"

func values() Values {
	return Values{User: "alice", Device: "laptop", Secret: "abcdef-ghjk-mnpq", From: "alice@example.org", MayBe: "alice@example.org",
		Host: "mx.example.org", Port: 587, CA: ca, Revoke: "smarthost device revoke alice laptop"}
}

func clients(t testing.TB) []Client {
	t.Helper()
	all, err := Clients()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func plan(t testing.TB, name string, v Values) *Plan {
	t.Helper()
	for _, c := range clients(t) {
		if c.Name == name {
			p, err := c.Plan(v)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	t.Fatalf("there is no client %s", name)
	return nil
}

// Every client's configuration is the one in testdata: STARTTLS with a CA of the server's own, and TLS with the system's.
func TestConfigurations(t *testing.T) {
	system := values()
	system.TLS, system.Port, system.CA = true, 465, ""
	for _, c := range clients(t) {
		for kind, v := range map[string]Values{"starttls": values(), "tls": system} {
			got := plan(t, c.Name, v).String()
			file := filepath.Join("testdata", c.Name+"."+kind)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		}
	}
}

// What every configuration has to have, whichever client it is for.
func TestEveryConfiguration(t *testing.T) {
	for _, c := range clients(t) {
		got := plan(t, c.Name, values()).String()
		for _, part := range []string{"smarthost enroll", "device laptop", "smarthost device revoke alice laptop", "mx.example.org", "587", "abcdef-ghjk-mnpq"} {
			if !strings.Contains(got, part) {
				t.Errorf("%s: there is no %q in it", c.Name, part)
			}
		}
		if looksAtCA := c.Name != "dma" && c.Name != "ssmtp"; looksAtCA != strings.Contains(got, "MIIBlDCCATqgAwIBAgIP") {
			t.Errorf("%s: the CA is in it: %v", c.Name, !looksAtCA)
		}
		if len(c.Summary) > 90 || strings.HasSuffix(c.Summary, ".") {
			t.Errorf("%s: not a summary: %q", c.Name, c.Summary)
		}
	}
}

// nasty is a user name as the accounts allow it, of signs that mean something somewhere.
const nasty = "o'b\"$(id)\\\\#^;%=`&{}x\u00e9\U0001f600"

// Shells take the scripts, Go the Go programs, and JSON what stands in YAML, also with nasty values.
func TestSyntax(t *testing.T) {
	odd := values()
	odd.User, odd.From, odd.MayBe = nasty, "o'brien+$x@example.org", "*@\"example\".org"
	for _, c := range clients(t) {
		for _, v := range []Values{values(), odd} {
			p, err := c.Plan(v)
			if err != nil && v.User == nasty {
				continue // TestUnfit
			}
			if err != nil {
				t.Fatal(err)
			}
			text := p.String()
			switch {
			case c.Kind != Text:
				sh := exec.Command("/bin/sh", "-n")
				sh.Stdin = strings.NewReader(text)
				if out, err := sh.CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", c.Name, err, out)
				}
			case strings.HasPrefix(c.Name, "go"):
				formatted, err := format.Source([]byte(text))
				if err != nil {
					t.Errorf("%s: %v", c.Name, err)
				} else if diff := cmp.Diff(string(formatted), text); diff != "" {
					t.Errorf("%s is not as gofmt has it (-want +got):\n%s", c.Name, diff)
				}
			case c.Name == "kubernetes":
				got := yamlStrings(t, text)
				want := map[string]string{"SMTP_USER": v.User, "SMTP_FROM": v.From, "SMTP_PASSWORD": v.Secret, "SMTP_HOST": v.Host, "SMTP_PORT": "587"}
				for key, value := range want {
					if got[key] != value {
						t.Errorf("%s is %q, want %q", key, got[key], value)
					}
				}
			}
		}
	}
}

func yamlStrings(t *testing.T, text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), `: "`)
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		var s string
		if err := json.Unmarshal([]byte(`"`+value), &s); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		all[key] = s
	}
	return all
}

// A value that a client's syntax cannot hold is an error that says which, and never a configuration.
func TestUnfit(t *testing.T) {
	for _, test := range []struct{ client, user, words string }{
		{"exim4", "a:b", "a table of passwords cannot hold"},
		{"postfix", "a:b", "a table of passwords cannot hold"},
		{"opensmtpd", "a#b", "OpenSMTPD's table"},
		{"nullmailer", "o'b", "nullmailer's remotes"},
		{"dma", "a|b", "dma's auth.conf"},
		{"ssmtp", "a=b", "ssmtp's configuration"},
		{"curl", "a:b", "cannot hold"},
		{"swaks", " a", "swaks's configuration"},
		{"smtplib", "ren\u00e9", "beyond ASCII"},
		{"env", "o'b", "a .env file cannot hold"},
		{"msmtp", "a\nb", "the user name"},
		{"mail", "a\u202eb", "the user name"},
		{"mail", "", "the user name"},
	} {
		for _, c := range clients(t) {
			if c.Name != test.client {
				continue
			}
			v := values()
			v.User = test.user
			p, err := c.Plan(v)
			if err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("%s for %q: got %v and %v, want an error with %q", test.client, test.user, p, err, test.words)
			}
		}
	}
	for _, spoil := range []func(*Values){
		func(v *Values) { v.Host = "mx.example.org; reboot" },
		func(v *Values) { v.Port = 0 },
		func(v *Values) { v.From = "a@example.org\nreboot" },
		func(v *Values) { v.Revoke = "" },
	} {
		v := values()
		spoil(&v)
		if _, err := clients(t)[0].Plan(v); err == nil {
			t.Errorf("%+v was taken", v)
		}
	}
}
