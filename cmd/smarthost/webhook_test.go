package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/notify"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
	"github.com/seed-1397b510/smarthost/server/admin"
)

const (
	hookSecret = "whsec_c21hcnRob3N0LXRlc3Qtc2VjcmV0LW9mLTMyLW9jdGV0cw=="
	hookOn     = "url = \"https://example.org/hook\"\nsecret = \"" + hookSecret + "\"\n"
)

func TestWebhookSettings(t *testing.T) {
	for text, want := range map[string]string{
		"[webhooks.a]\nsecret = \"" + hookSecret + "\"\n":                                        "webhooks.a: url is missing",
		"[webhooks.a]\nurl = \"https://example.org\"\n":                                          "secret or secret_file",
		"[webhooks.a]\n" + hookOn + "secret_file = \"x\"\n":                                      "secret or secret_file",
		"[webhooks.a]\nurl = \"http://example.org\"\nsecret = \"" + hookSecret + "\"\n":          "must begin with https://",
		"[webhooks.a]\nurl = \"https://u:pass7@example.org\"\nsecret = \"" + hookSecret + "\"\n": "must not hold a login",
		"[webhooks.a]\nurl = \"ftp://example.org\"\n":                                            "must be a URL",
		"[webhooks.a]\nurl = \"https://example.org\"\nsecret = \"whsec_c2hvcnQ=\"\n":             "24 to 64 random octets",
		"[webhooks.a]\n" + hookOn + "events = [\"opened\"]\n":                                    `is "opened"; must be "queued"`,
		"[webhooks.a]\n" + hookOn + "retries = 3\n":                                              "no such key of a webhook",
		"[webhooks.A]\n" + hookOn:                                                                "not the name of a webhook",
		"[webhooks.a]\n" + hookOn + "domains = [\"a b\"]\n":                                      "not a host name",
		"[webhooks]\nurl = \"https://example.org\"\n":                                            "no such key",
		"[webhooks.a]\n" + hookOn + "private = \"perhaps\"\n":                                    "true or false",
		"[webhooks.a]\nurl = \"https://example.org\"\nsecret = \"whsec_Y29tbW9uIHNlY3JldA\"\n":   "whsec_$(openssl rand -base64 32)",
	} {
		_, err := loadConfig(testEnvironment(t, nil), writeConfig(t, text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		} else if strings.Contains(err.Error(), "Y29tbW9u") || strings.Contains(err.Error(), "pass7") {
			t.Errorf("%q: the fault shows a secret: %v", text, err)
		}
	}
	c := wired(t, "[webhooks.b]\n"+hookOn+"events = [\"failed\"]\naccounts = [\"alice\"]\ndomains = [\"EXAMPLE.com\"]\n[webhooks.a]\n"+hookOn)
	hooks, err := newHooks(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		e    spool.Event
		want string
	}{
		{spool.Event{Type: spool.EventFailed, Account: "alice", Recipient: "x@Example.COM"}, "a b"},
		{spool.Event{Type: spool.EventQueued, Account: "alice", Recipient: "x@example.com"}, "a"},
		{spool.Event{Type: spool.EventFailed, Account: "bob", Recipient: "x@example.com"}, "a"},
		{spool.Event{Type: spool.EventFailed, Account: "alice", Recipient: "x@sub.example.com"}, "a"},
	} {
		if got := strings.Join(hooks.Want(&row.e), " "); got != row.want {
			t.Errorf("%+v goes to %q, want %q", row.e, got, row.want)
		}
	}
	none, few, other := wired(t, ""), c.values(false), wired(t, "[webhooks.b]\n"+hookOn+"[webhooks.a]\nurl = \"https://example.org/hook2\"\nsecret = \""+hookSecret+"\"\n")
	for name, list := range map[string][]change{"new": changes(none.values(false), few), "changed": changes(few, other.values(false)), "gone": changes(few, none.values(false))} {
		if len(list) != 2 || list[0].Reloads || list[1].Reloads || list[0].Key != "webhooks.a" {
			t.Errorf("%s webhooks need a restart, and the list is %+v", name, list)
		}
	}
	if text := c.Webhooks["a"].String(); strings.Contains(text, "hook2") || strings.Contains(text, "whsec") || strings.Contains(text, "/hook") {
		t.Errorf("shown is %q", text)
	}
	other.keepFixed(c)
	if diff := changes(few, other.values(false)); len(diff) != 0 {
		t.Errorf("a reload changed %+v", diff)
	}
}

func TestWebhookSecretFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	c := wired(t, "[webhooks.a]\nurl = \"https://example.org\"\nsecret_file = \""+file+"\"\n")
	if _, err := newHooks(c); err == nil || !strings.Contains(err.Error(), "webhooks.a.secret_file") {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(file, []byte(hookSecret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	hooks, err := newHooks(c)
	if err != nil || string(hooks[0].Secret) != "smarthost-test-secret-of-32-octets" {
		t.Errorf("%v, %v", hooks, err)
	}
	if open := exposed(testEnvironment(t, nil), c); len(open) != 1 || open[0] != file {
		t.Errorf("files that others can read: %q, want the secret's", open)
	}
}

// From the config to the POST: mail that is queued in the server is told to whoever the config names.
func TestWebhookIsTold(t *testing.T) {
	bodies := make(chan []byte, 1)
	hook := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- body
	}))
	defer hook.Close()
	folder := t.TempDir()
	ca := filepath.Join(folder, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	c := wired(t, "data = \""+filepath.Join(folder, "data")+"\"\n[webhooks.a]\nurl = \""+hook.URL+"\"\nsecret = \""+hookSecret+"\"\nprivate = true\nca = \""+ca+"\"\nevents = [\"queued\"]\n")
	s := serviceOf(t, c, zerolog.Nop())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Notifier.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	if err := s.queueDigest(t.Context(), "ops@example.org", "key", digestMail{Now: time.Now(), Hostname: "mx.example.org"}); err != nil {
		t.Fatal(err)
	}
	var e spool.Event
	if err := json.Unmarshal(<-bodies, &e); err != nil || e.Type != spool.EventQueued || e.Recipient != "ops@example.org" {
		t.Errorf("%v, %+v", err, e)
	}
}

// A webhook is a matter for somebody when it has taken nothing for an hour, and for a day after an event was given up.
func TestWebhooksInHealth(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC)
	before := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, c := range []struct {
		trouble notify.Trouble
		backlog sqlitespool.Backlog
		state   admin.State
		want    string
	}{
		{notify.Trouble{Name: "crm", Since: before(59 * time.Minute)}, sqlitespool.Backlog{Waiting: 1}, admin.OK, "none"},
		{notify.Trouble{Name: "crm", Since: before(61 * time.Minute)}, sqlitespool.Backlog{Waiting: 1}, admin.Degraded, "crm has taken nothing for 1h1m0s; the log says why"},
		{notify.Trouble{Name: "crm", GivenUp: before(23 * time.Hour)}, sqlitespool.Backlog{Waiting: 1}, admin.Degraded, "crm was not told of events, the last of them at 2030-01-01 04:04 UTC"},
		{notify.Trouble{Name: "crm", GivenUp: before(24 * time.Hour)}, sqlitespool.Backlog{Waiting: 1}, admin.OK, "none"},
		{notify.Trouble{Name: "crm"}, sqlitespool.Backlog{Dropped: 3, LastDropped: before(23 * time.Hour)}, admin.Degraded, "too many events waited, and 3 for crm were dropped, the last of them at 2030-01-01 04:04 UTC; the log"},
		{notify.Trouble{Name: "crm"}, sqlitespool.Backlog{Dropped: 3, LastDropped: before(24 * time.Hour)}, admin.OK, "none"},
	} {
		if state, why := judgeWebhooks([]notify.Trouble{c.trouble}, map[string]sqlitespool.Backlog{"crm": c.backlog}, now); state != c.state || !strings.HasPrefix(why, c.want) {
			t.Errorf("%+v: %s, %s", c.trouble, state, why)
		}
	}
	for text, want := range map[string]int{"": 0, "[webhooks.a]\n" + hookOn: 1} {
		c := wired(t, "data = \""+t.TempDir()+"\"\n"+text)
		s := serviceOf(t, c, zerolog.Nop())
		n := 0
		for _, check := range s.healthChecks() {
			if check.Name == "webhooks" {
				n++
			}
		}
		if n != want {
			t.Errorf("%q: %d checks of webhooks, want %d", text, n, want)
		}
	}
}

// The status tells of each webhook, of those that are well too.
func TestWebhooksInStatus(t *testing.T) {
	since := time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC)
	got := webhookStates([]string{"crm", "erp"}, []notify.Trouble{{Name: "erp", Since: since}}, map[string]sqlitespool.Backlog{"crm": {Waiting: 1}, "erp": {Waiting: 5, Dropped: 2, LastDropped: since}})
	want := []admin.WebhookState{{Name: "crm", Waiting: 1}, {Name: "erp", Waiting: 5, Dropped: 2, Failing: &since}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var text strings.Builder
	if err := printStatus(&text, admin.Status{Webhooks: got}, since.Add(time.Hour)); err != nil || !strings.Contains(text.String(), "webhook      crm: 1 events wait\n"+
		"webhook      erp: 5 events wait; 2 were dropped; it has taken nothing since 2030-01-02 03:04 UTC\n") {
		t.Errorf("%v, %s", err, &text)
	}
}
