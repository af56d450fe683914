package userfile

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth"
)

// A device without senders or class has those of the line without a device; whose class is its own has limits of its own.
func TestInherit(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []auth.Account
	}{
		{"from the account", "a:" + hashA + ":device=x\na:" + hashA + ":class=bulk sender=a@b\na:" + hashA + ":device=y class=slow\na:" + hashA + ":device=z sender=z@b\n", []auth.Account{
			{Name: "a", Device: "x", Class: "bulk", Senders: []string{"a@b"}},
			{Name: "a", Class: "bulk", Senders: []string{"a@b"}},
			{Name: "a", Device: "y", Class: "slow", Senders: []string{"a@b"}, OwnLimits: true},
			{Name: "a", Device: "z", Class: "bulk", Senders: []string{"z@b"}},
		}},
		{"from nobody", "a:" + hashA + ":device=x class=bulk sender=a@b\na:" + hashA + ":device=y\n", []auth.Account{
			{Name: "a", Device: "x", Class: "bulk", Senders: []string{"a@b"}, OwnLimits: true},
			{Name: "a", Device: "y"},
		}},
	} {
		path := filepath.Join(t.TempDir(), "users")
		write(t, path, test.text)
		all, faults, err := Read(path)
		if err != nil || len(faults) > 0 {
			t.Fatal(faults, err)
		}
		var got []auth.Account
		for _, l := range all["a"] {
			got = append(got, l.Account)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// What a damaged line says of an account is not known, so that its devices wait; who needs nothing of it does not.
func TestInheritFromDamagedLine(t *testing.T) {
	for _, test := range []struct {
		text  string
		wants string // of the error; "" is none
	}{
		{"a:" + hashA + ":class=SLOW sender=s@b\na:" + hashA + ":device=x\n", "users:1: \"SLOW\" is not the name of a class"},
		{"a:" + hashA + ":device=x sender=s@b\na:" + hashA + ":clas=slow\n", "users:2: there is no attribute \"clas\""},
		{"a:!:class=slow sender=s@b\na:" + hashA + ":device=x class=slow\n", "users:1: its password hash is not bcrypt"},
		{"a:!\na:" + hashA + ":device=x sender=s@b class=slow\n", ""},
		{"a:" + hashA + ":class=slow\na:" + hashA + ":clas=slow\na:" + hashA + ":device=x\n", ""},
		{"a:" + hashA + ":device=x\na:" + hashA + ":device=y clas=slow\n", ""},
		{"b:" + hashA + ":clas=slow\na:" + hashA + ":device=x\n", ""},
		{"a:" + hashA + ":clas=slow\n", ""},
	} {
		path := filepath.Join(t.TempDir(), "users")
		write(t, path, test.text)
		f := &File{Path: path, Log: zerolog.Nop()}
		_, err := f.Logins(t.Context(), "a")
		_, _, errOfOne := f.Login(t.Context(), "a", "x")
		for _, err := range []error{err, errOfOne} {
			if (err == nil) != (test.wants == "") || err != nil && !strings.Contains(err.Error(), test.wants) {
				t.Errorf("%s: %v, want %q", strings.ReplaceAll(test.text, hashA, "$"), err, test.wants)
			}
		}
		if _, ok, err := f.Login(t.Context(), "a", "gone"); ok || err != nil {
			t.Errorf("%s: a device that was revoked: %v, %v", strings.ReplaceAll(test.text, hashA, "$"), ok, err)
		}
	}
}

// Each of many devices is found by its name, wherever it stands, and nothing else is.
func TestLoginOfDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	var text strings.Builder
	const n = 10_000
	for i := range n {
		fmt.Fprintf(&text, "fleet:%s:device=laptop%d\n", hashA, n-i)
	}
	write(t, path, text.String()+"bob:"+hashA+"\nfleet:"+hashA+":device=laptop1\n")
	f := &File{Path: path, Log: zerolog.Nop()}
	for device, want := range map[string]bool{"laptop1": true, "laptop777": true, "laptop10000": true, "laptop0": false, "": false} {
		l, ok, err := f.Login(t.Context(), "fleet", device)
		if ok != want || ok && (l.Device != device || l.Name != "fleet") || err != nil {
			t.Errorf("device %q: got %q, %v, %v", device, l.Device, ok, err)
		}
	}
	if l, ok, err := f.Login(t.Context(), "bob", ""); !ok || l.Name != "bob" || err != nil {
		t.Errorf("bob: got %v, %v, %v", l, ok, err)
	}
	if all, err := f.Logins(t.Context(), "fleet"); len(all) != n || err != nil {
		t.Errorf("%d devices, %v; want %d: a device that is there twice counts once", len(all), err, n)
	}
	if _, _, err := (&File{Path: path + "-missing", Log: zerolog.Nop()}).Login(t.Context(), "bob", ""); err == nil {
		t.Error("a file that cannot be read has no error")
	}
}

func TestSample(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, "a:"+hashA+"\nb:"+hashA+"\nb:"+hashA+":device=x\nc:"+hashA+"\n")
	f := &File{Path: path, Log: zerolog.Nop()}
	if got := f.Sample(t.Context(), 2); len(got) != 0 {
		t.Errorf("before the file was read: %v", got)
	}
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int{2: 2, 3: 3, 9: 3} {
		if got := f.Sample(t.Context(), n); len(got) != want {
			t.Errorf("of %d: got %d, want %d", n, len(got), want)
		}
	}
}
