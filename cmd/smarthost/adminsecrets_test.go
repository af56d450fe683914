package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// Whatever can be read, and whatever can be asked for wrongly, no answer and no line of the log holds a secret.
func TestNoAnswerHoldsASecret(t *testing.T) {
	data := t.TempDir()
	const relayPassword = "hunter2-of-the-relay"
	c := wired(t, "hostname = \"mx.example.org\"\ndata = \""+data+"\"\n[listen]\nadmin = \"127.0.0.1:0\"\n[forward]\nrelay = \"smtp://carol:"+relayPassword+"@relay.example\"\n"+
		"[webhooks.crm]\nurl = \"https://hook.example/in/hidden-path?key=hidden-query\"\nsecret = \""+hookSecret+"\"\n")
	log := new(lockedBuffer)
	s := serviceOf(t, c, zerolog.New(log))
	password, err := addLogin(c, auth.Login{Account: auth.Account{Name: "alice", Senders: []string{"*"}}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.tokens().Add("one", []admin.Scope{admin.All}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	logins, _ := s.Users.Logins(t.Context(), "alice")
	key, err := os.ReadFile(filepath.Join(data, "tls", "key.pem"))
	if err != nil || len(logins) != 1 {
		t.Fatal(err, logins)
	}
	secrets := []string{relayPassword, "carol", password, token, hashToken(token), string(logins[0].Hash), strings.Split(string(key), "\n")[1],
		hookSecret, strings.TrimPrefix(hookSecret, "whsec_"), "smarthost-test-secret-of-32-octets", "hidden-path", "hidden-query",
		base64.StdEncoding.EncodeToString([]byte(relayPassword)), hex.EncodeToString([]byte(relayPassword))}

	if s.AdminDoors, err = openAdmin(c, nil, s.Log); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.runAdmin(ctx) })
	client := newAdminClient(c)
	ask := func(method, path string, body any) string {
		t.Helper()
		response, err := client.Send(t.Context(), method, path, "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var made admin.MadeDevice // a device's password is shown here, and then never again
	if err := json.Unmarshal([]byte(ask("POST", "/api/v1/users/alice/devices", admin.NewDevice{Device: "laptop"})), &made); err != nil || len(made.Password) < 20 {
		t.Fatal(err, made)
	}
	secrets = append(secrets, made.Password)
	var document struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal([]byte(ask("GET", "/api/v1/openapi.json", nil)), &document); err != nil || len(document.Paths) < 10 {
		t.Fatal(err, document)
	}
	var all strings.Builder
	for path := range document.Paths {
		path = strings.NewReplacer("{id}", "1", "{user}", "alice", "{device}", "laptop").Replace(path)
		all.WriteString(ask("GET", path+map[string]string{"/api/v1/trace": "?of=a"}[path], nil))
	}
	for _, page := range []string{"/now", "/refusals", "/queue", "/trace?of=a", "/users", "/config", "/doctor"} {
		text := ask("GET", page, nil)
		if !strings.Contains(text, "</html>") || strings.Contains(text, "did not work") {
			t.Errorf("%s is no page: %s", page, text)
		}
		all.WriteString(text)
	}
	for _, body := range []any{
		admin.Order{Do: "reroute", All: true, Relay: "smtp://carol:" + relayPassword + "@%zz"},
		admin.Order{Do: "reroute", All: true, Relay: "smtp://carol:" + relayPassword + "@relay.example"},
		admin.Order{Do: "hold", All: true, Relay: relayPassword},
		map[string]any{"do": "hold", "relay": map[string]string{"password": relayPassword}},
	} {
		all.WriteString(ask("POST", "/api/v1/queue", body))
	}
	if !strings.Contains(all.String(), `"relay":"relay.example:587"`) || !strings.Contains(all.String(), `"name":"alice"`) {
		t.Errorf("the answers lack what they should tell:\n%s", &all)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/vars"} {
		if text := ask("GET", path, nil); !strings.Contains(text, "there is nothing at "+path) {
			t.Errorf("%s: %s", path, text)
		}
	}
	for _, command := range [][]string{{"status"}, {"status", "--json"}, {"health"}, {"device", "list"}, {"user", "list"}, {"token", "list"}, {"config", "check"}, {"queue"}} {
		all.WriteString(said(t, c.File, command))
	}
	stop()
	running.Wait()
	if _, err := os.Stat(c.adminSocket()); err == nil {
		t.Error("the socket is left behind")
	}
	for _, secret := range secrets {
		if strings.Contains(all.String(), secret) {
			t.Errorf("the answers hold %s:\n%s", secret, &all)
		}
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %s:\n%s", secret, log)
		}
	}
}

// What is wrong with a value that holds a secret is said without the value.
func TestNoConfigFaultHoldsASecret(t *testing.T) {
	const secret = "hunter2-of-the-fault"
	for _, text := range []string{
		"[forward]\nrelay = \"smtp://carol:" + secret + "@%zz\"\n",
		"[forward]\nrelay = \"ftp://carol:" + secret + "@relay.example\"\n",
		"[forward]\nrelay = \"smtp://carol:" + secret + "@relay.example:port\"\n",
		"[forward]\nrelay = \"smtp://carol:" + secret + "@relay.example?tls=perhaps\"\n",
		"[forward]\nrelay = [\"smtp://carol:" + secret + "@relay.example\"]\n",
		"[webhooks.a]\nurl = \"https://example.org\"\nsecret = \"whsec_" + secret + "\"\n",
		"[webhooks.a]\nurl = \"https://example.org\"\nsecret = [\"whsec_" + secret + "\"]\n",
		"[webhooks.a]\nurl = \"ftp://example.org/" + secret + "\"\n",
		"[webhooks.a]\nurl = \"https://u:" + secret + "@example.org/\"\n",
		"[webhooks.a]\nurl = \"https://%zz/" + secret + "\"\n",
	} {
		file := writeConfig(t, text)
		_, err := loadConfig(testEnvironment(t, nil), file)
		if err == nil {
			t.Errorf("%q is taken", text)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", text, err)
		}
		if text := said(t, file, []string{"config", "check"}); strings.Contains(text, secret) {
			t.Errorf("config check: %s", text)
		}
	}
}

// lockedBuffer is a log that several write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// said is all that a command says.
func said(t *testing.T, config string, command []string) string {
	var out lockedBuffer
	env := testEnvironment(t, nil)
	env.Stdout, env.Stderr = &out, &out
	run(env, append(slices.Clone(command), "--config", config))
	return out.String()
}
