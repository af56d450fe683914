package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/server/admin"
)

func TestRelayOfReroute(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("p@ss:w/rd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ relay, file, want, fault string }{
		{"smtps://alice@relay.example", file, "smtps://alice:p%40ss%3Aw%2Frd@relay.example", ""},
		{"smtp://alice:secret@relay.example:587", "", "smtp://alice:secret@relay.example:587", ""},
		{"smtp://relay.example?tls=none", "", "smtp://relay.example?tls=none", ""},
		{"back", "", "", ""},
		{"back", file, "", "leave --password-file out"},
		{"smtp://relay.example", file, "", "needs a relay with a user"},
		{"smtp://alice:secret@relay.example", file, "", "in one place"},
		{"smtp://alice@relay.example", "", "", "needs both user and password"},
		{"smtp://alice:secret/@relay.example", "", "", "percent-encoded"},
		{"relay.example", "", "", "must begin with smtp://"},
		{"smtp://alice@relay.example", file + ".none", "", "the relay's password"},
	} {
		f := queueFlags{passwordFile: tt.file}
		got, err := f.relay(tt.relay)
		switch {
		case tt.fault == "" && (err != nil || string(got) != tt.want):
			t.Errorf("%s: %q, %v; want %q", tt.relay, string(got), err, tt.want)
		case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
			t.Errorf("%s: %v, want %q", tt.relay, err, tt.fault)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("the password shows: %v", err)
		}
	}
}

// answering is a client whose server says these lines.
func answering(t *testing.T, status int, lines string) (*adminClient, *environment) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(lines))
	}))
	t.Cleanup(server.Close)
	client := newAdminClient(&Config{Data: t.TempDir()})
	client.http.Transport = &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyURL(mustParse(t, server.URL))}
	return client, &environment{Context: context.Background(), Stdin: new(bytes.Buffer), Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer)}
}

func TestOrderThatBreaksOff(t *testing.T) {
	const piece = `{"seen":200,"changed":150,"leased":0,"skipped":0,"ids":["a"],"done":false}` + "\n"
	for name, tt := range map[string]struct {
		status int
		lines  string
		want   string
	}{
		"the server goes away": {200, piece, "broken off after 150 of 200 deliveries"},
		"the server fails":     {200, piece + `{"error":"it broke","do":"see the log"}` + "\n", "after 150 deliveries: it broke (see the log)"},
		"it is refused":        {403, `{"error":"not you","do":"ask"}`, "not you (ask)"},
	} {
		client, env := answering(t, tt.status, tt.lines)
		if _, err := sendOrder(env, client, admin.Order{Do: "hold", All: true}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	client, env := answering(t, 200, piece+`{"seen":300,"changed":250,"leased":1,"skipped":2,"ids":["a","b","c","d"],"done":true}`+"\n")
	outcome, err := sendOrder(env, client, admin.Order{Do: "hold", All: true})
	var text strings.Builder
	if err == nil {
		err = tellOutcome(&text, admin.Order{Do: "hold"}, outcome)
	}
	if want := "250 deliveries held: a, b, c and others; 1 delivery being tried at this moment: it holds for what the attempt leaves; 2 deliveries left alone\n"; err != nil || text.String() != want {
		t.Errorf("%q, %v", text.String(), err)
	}
}

// Without a terminal to ask at, nothing is dropped.
func TestDropAsks(t *testing.T) {
	client, env := answering(t, 200, `{"seen":1,"changed":1,"ids":["a"],"done":true}`)
	if agreed, err := agree(env, client, admin.Order{Do: "drop", All: true}); agreed || err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("%v, %v", agreed, err)
	}
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
