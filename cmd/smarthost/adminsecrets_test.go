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
	c := wired(t, "hostname = \"mx.example.org\"\ndata = \""+data+"\"\n[listen]\nadmin = \"127.0.0.1:0\"\n[forward]\nrelay = \"smtp://carol:"+relayPassword+"@relay.example\"\n")
	if _, err := makeData(c); err != nil {
		t.Fatal(err)
	}
	log := new(lockedBuffer)
	s, err := newService(t.Context(), c, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Spool.Close()
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
