package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/server/admin"
)

func TestTokens(t *testing.T) {
	h := newHousehold(t)
	file := &tokenFile{filepath.Join(filepath.Dir(h.users), "admin-tokens")}
	if _, err := file.Caller("any"); !errors.Is(err, admin.ErrToken) {
		t.Errorf("without a file: %v", err)
	}
	out, _, code := h.run("", "token", "add", "robot", "--scope", "queue", "--scope", "users,read")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	secret := lines[len(lines)-1]
	if code != 0 || !strings.HasPrefix(secret, tokenPrefix) || !strings.Contains(out, "good for queue, users, read") {
		t.Fatalf("%d %s", code, out)
	}
	caller, err := file.Caller(secret)
	if err != nil || caller.Name != "token robot" || !caller.May(admin.Users) || caller.May(admin.All) {
		t.Errorf("%+v %v", caller, err)
	}
	for _, wrong := range []string{"", secret[:len(secret)-1], secret + "a", strings.ToUpper(secret), hashToken(secret), "robot"} {
		if caller, err := file.Caller(wrong); !errors.Is(err, admin.ErrToken) {
			t.Errorf("%q is %v's: %v", wrong, caller, err)
		}
	}
	text, err := os.ReadFile(file.Path)
	if st, errStat := os.Stat(file.Path); err != nil || errStat != nil || st.Mode().Perm() != 0o600 || strings.Contains(string(text), secret[len(tokenPrefix):]) {
		t.Errorf("%v %v\n%s", err, st.Mode(), text)
	}
	out, _, _ = h.run("", "token", "add", "second", "--scope", "all", "--json")
	var made struct{ Name, Token string }
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Name != "second" {
		t.Errorf("%s: %v", out, err)
	}
	out, _, _ = h.run("", "token", "list", "--json")
	if !strings.Contains(out, `"name":"robot","scopes":["queue","users","read"]`) || strings.Contains(out, hashToken(secret)) {
		t.Error(out)
	}
	if _, _, code := h.run("", "token", "revoke", "robot"); code != 0 {
		t.Error("not revoked")
	}
	if _, err := file.Caller(secret); !errors.Is(err, admin.ErrToken) {
		t.Errorf("the revoked token is good: %v", err)
	}
	if _, err := file.Caller(made.Token); err != nil {
		t.Errorf("the other one: %v", err)
	}
	if _, stderr, code := h.run("", "token", "revoke", "robot"); code != 1 || !strings.Contains(stderr, "there is no token robot") {
		t.Errorf("%d %s", code, stderr)
	}
}

// Of a file that cannot be read nobody's token is good, and nobody's goes unnoticed.
func TestDamagedTokens(t *testing.T) {
	file := &tokenFile{filepath.Join(t.TempDir(), "admin-tokens")}
	secret, err := file.Add("one", []admin.Scope{admin.Read}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []string{string(whole) + "two root " + strings.Repeat("0", 64) + " 2026-01-01T00:00:00Z\n", string(whole) + "two\n", string(whole[:len(whole)-5]), strings.Repeat("#", maxTokens+1)} {
		if err := os.WriteFile(file.Path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Caller(secret); err == nil || errors.Is(err, admin.ErrToken) {
			t.Errorf("%.300q: %v", damaged, err)
		}
		if _, err := file.Add("three", []admin.Scope{admin.Read}, time.Now()); err == nil {
			t.Errorf("%.300q was written over", damaged)
		}
	}
}

func TestTokensAtOnce(t *testing.T) {
	file := &tokenFile{filepath.Join(t.TempDir(), "new", "admin-tokens")}
	var adding sync.WaitGroup
	for i := range 20 {
		adding.Go(func() {
			if _, err := file.Add("t"+string(rune('a'+i)), []admin.Scope{admin.Read}, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	adding.Wait()
	if all, err := file.read(); err != nil || len(all) != 20 {
		t.Errorf("%d tokens, %v", len(all), err)
	}
}

func TestCommandsThatAskAreCalledRightly(t *testing.T) {
	h := newHousehold(t)
	for _, call := range []string{"token", "token make x", "token add", "token add x", "token add x --scope root", "token add a/b --scope read", "token list x", "token revoke",
		"token revoke x --json", "health now", "health --live --ready", "health --live --exclude route", "health --exclude", "status now"} {
		words := strings.Fields(call)
		if out, stderr, code := h.run("", words[0], words[1:]...); code != 2 || out != "" || !strings.HasPrefix(stderr, "smarthost: "+words[0]) {
			t.Errorf("%s: %d %q %q", call, code, out, stderr)
		}
	}
	for _, command := range []string{"token", "health", "status"} {
		if out, _, code := h.run("", command, "--help"); code != 0 || !strings.Contains(out, "Example") {
			t.Errorf("%s --help: %d %s", command, code, out)
		}
	}
}

// What root writes belongs to whoever has the folder, and a link that stands there is replaced, not followed.
func TestTokenFileOwner(t *testing.T) {
	folder, owner := t.TempDir(), os.Geteuid()
	other := filepath.Join(t.TempDir(), "other")
	if err := errors.Join(os.WriteFile(other, nil, 0o644), os.Symlink(other, filepath.Join(folder, "admin-tokens"))); err != nil {
		t.Fatal(err)
	}
	if owner == 0 {
		owner = 12345
		if err := os.Chown(folder, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	tokens := (&Config{Data: folder}).tokens()
	if _, err := tokens.Add("one", []admin.Scope{admin.Read}, time.Now()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{tokens.Path: owner, other: os.Geteuid()} {
		st, err := os.Lstat(path)
		if err != nil || !st.Mode().IsRegular() || int(st.Sys().(*syscall.Stat_t).Uid) != want {
			t.Errorf("%s: %+v, %v; want user %d", path, st, err, want)
		}
	}
}
