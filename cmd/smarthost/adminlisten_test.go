package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// A socket in a folder with a long name can be opened and asked, by nobody else, and takes the place of one that was left.
func TestAdminSocket(t *testing.T) {
	for _, data := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long-", 30), strings.Repeat("x", 100))} {
		if err := os.MkdirAll(data, 0o777); err != nil {
			t.Fatal(err)
		}
		c := &Config{Data: data}
		for range 2 { // the first one is left behind
			doors, err := openAdmin(c, nil, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			if len(doors) != 1 || !doors[0].Trusted {
				t.Fatalf("%d doors", len(doors))
			}
			if st, err := os.Stat(c.adminSocket()); err != nil || st.Mode() != os.ModeSocket|0o600 {
				t.Errorf("%v %v", st, err)
			}
			if entries, _ := os.ReadDir(data); len(entries) != 1 {
				t.Errorf("%d files, want the socket alone", len(entries))
			}
			hello := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"state":"ok"}`)) })}
			served := make(chan struct{})
			go func() {
				defer close(served)
				hello.Serve(doors[0].Listener)
			}()
			var report admin.Report
			if err := newAdminClient(c).Ask(t.Context(), "GET", "/livez", nil, &report); err != nil || report.State != admin.OK {
				t.Errorf("%v %v", report, err)
			}
			hello.Close()
			<-served
			err = newAdminClient(c).Ask(t.Context(), "GET", "/livez", nil, &report)
			if err == nil || !strings.Contains(err.Error(), "no server runs with the data folder "+data) {
				t.Errorf("%v", err)
			}
		}
	}
}

// Another program at the standard address is no reason to take no mail; at one that was asked for it is a fault.
func TestAdminAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	open := func(given bool, address string, passed ...net.Listener) ([]admin.Door, string, error) {
		c := &Config{Data: t.TempDir()}
		if given {
			c.given = map[string]string{"listen.admin": "smarthost.toml:2"}
		}
		c.Listen.Admin = address
		var log strings.Builder
		doors, err := openAdmin(c, passed, zerolog.New(&log))
		t.Cleanup(func() { closeAdmin(doors) })
		return doors, log.String(), err
	}
	if doors, log, err := open(false, taken.Addr().String()); err != nil || len(doors) != 1 || !strings.Contains(log, "set listen.admin to an address that is free") {
		t.Errorf("%v %v\n%s", doors, err, log)
	}
	if _, _, err := open(true, taken.Addr().String()); err == nil || !strings.Contains(err.Error(), "listen.admin: cannot listen on") {
		t.Errorf("%v", err)
	}
	if doors, log, err := open(true, "127.0.0.1:0"); err != nil || len(doors) != 2 || doors[1].Trusted || log != "" {
		t.Errorf("%v %v\n%s", doors, err, log)
	}
	if _, log, err := open(true, "0.0.0.0:0"); err != nil || !strings.Contains(log, "open to the network") {
		t.Errorf("%v\n%s", err, log)
	}
	path := filepath.Join(t.TempDir(), "s")
	if doors, _, err := open(true, "unix:"+path); err != nil || len(doors) != 2 || doors[1].Trusted {
		t.Errorf("%v %v", doors, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	passed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	doors, _, err := open(true, taken.Addr().String(), passed)
	if err != nil || len(doors) != 2 || doors[0].Listener != passed || doors[0].Trusted {
		t.Errorf("%v %v", doors, err)
	}
	if keep := (&service{AdminDoors: doors, AdminPassed: []net.Listener{passed}}).adminToKeep(); len(keep) != 1 || keep[0] != passed {
		t.Errorf("the next program gets %v", keep)
	}
	if doors, _, _ = open(true, "unix:"+path); len((&service{AdminDoors: doors}).adminToKeep()) != 0 {
		t.Error("the next program gets a socket that it makes itself")
	}
	for address, right := range map[string]bool{"": true, ":8587": true, "[::1]:8587": true, "unix:/run/s": true, "unix:s": false, "8587": false, "unix:": false} {
		if err := checkAdmin(address); (err == nil) != right {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// What a command says when there is no use in asking.
func TestAdminClientErrors(t *testing.T) {
	c := &Config{Data: t.TempDir()}
	l, err := listenSocket(c.adminSocket())
	if err != nil {
		t.Fatal(err)
	}
	answers := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fault":
			w.WriteHeader(404)
			w.Write([]byte(`{"error":"there is none","do":"look elsewhere"}`))
		case "/odd":
			w.WriteHeader(502)
			w.Write([]byte("<html>"))
		default:
			w.Write([]byte("no JSON"))
		}
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		answers.Serve(l)
	}()
	defer func() {
		answers.Close()
		<-served
	}()
	for path, want := range map[string]string{"/fault": "there is none (look elsewhere)", "/odd": "the server answered 502 Bad Gateway", "/": "the server's answer to / cannot be read"} {
		var into map[string]any
		if err := newAdminClient(c).Ask(t.Context(), "GET", path, nil, &into); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newAdminClient(c).Ask(ctx, "GET", "/", nil, nil); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("%v", err)
	}
}

// A socket takes the place of nothing that somebody may need.
func TestAdminSocketIsNotForOthers(t *testing.T) {
	folder := t.TempDir()
	live, err := listenSocket(filepath.Join(folder, "live"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("live", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"live": "another program listens at ", "file": "is no socket", "link": "is no socket"} {
		if l, err := listenSocket(filepath.Join(folder, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				l.Close()
			}
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("%q %v", text, err)
	}
}
