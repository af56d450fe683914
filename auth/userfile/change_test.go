package userfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/auth"
)

func login(name, device string, senders ...string) auth.Login {
	return auth.Login{Account: auth.Account{Name: name, Device: device, Senders: senders}, Hash: []byte(hashB)}
}

// Where there is no folder there is nobody.
func TestChangeWithoutFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere", "users")
	if err := SetHash(path, "alice", "", []byte(hashB), ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("another password: %v", err)
	}
	if err := Remove(path, "alice", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("removal: %v", err)
	}
	if err := Add(path, login("alice", "")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a new account: %v", err)
	}
}

// Whatever is changed, comments, order, damaged lines and attributes stay.
func TestChange(t *testing.T) {
	const before = "# people\n\nBob:" + hashA + ":class=bulk sender=b@example.org \r\nbroken\nalice:" + hashA + "\nalice:" + hashA + ":device=laptop\nerin:" + hashA + ":tag=abc234 class=bulk\ncarol:$apr1$x\ndave:$apr1$x:device=phone\n"
	for _, test := range []struct {
		name   string
		change func(path string) error
		old    string // part of before
		new    string // what stands there afterwards
		fault  error
	}{
		{"add", func(p string) error { return Add(p, login("eve", "pc", "e@example.org", "*@e.example")) },
			"device=phone\n", "device=phone\neve:" + hashB + ":device=pc sender=e@example.org sender=*@e.example\n", nil},
		{"add a device", func(p string) error { return Add(p, login("alice", "phone")) }, "device=phone\n", "device=phone\nalice:" + hashB + ":device=phone\n", nil},
		{"add what is there", func(p string) error { return Add(p, login("bob", "")) }, "", "", ErrExists},
		{"add what is there, damaged", func(p string) error { return Add(p, login("dave", "phone")) }, "", "", ErrExists},
		{"set", func(p string) error { return SetHash(p, "bob", "", []byte(hashB), "") }, "Bob:" + hashA, "Bob:" + hashB, nil},
		{"set of a device", func(p string) error { return SetHash(p, "alice", "laptop", []byte(hashB), "") }, hashA + ":device=laptop", hashB + ":device=laptop", nil},
		{"set of a damaged hash", func(p string) error { return SetHash(p, "carol", "", []byte(hashB), "") }, "carol:$apr1$x", "carol:" + hashB, nil},
		{"set of a device's damaged hash", func(p string) error { return SetHash(p, "dave", "phone", []byte(hashB), "") }, "dave:$apr1$x", "dave:" + hashB, nil},
		{"set of a secret with a tag", func(p string) error { return SetHash(p, "alice", "laptop", []byte(hashB), "xyz789") }, hashA + ":device=laptop", hashB + ":device=laptop tag=xyz789", nil},
		{"set of one without", func(p string) error { return SetHash(p, "erin", "", []byte(hashB), "") }, hashA + ":tag=abc234 class=bulk", hashB + ":class=bulk", nil},
		{"set of a secret with another tag", func(p string) error { return SetHash(p, "erin", "", []byte(hashB), "xyz789") }, hashA + ":tag=abc234 class=bulk", hashB + ":class=bulk tag=xyz789", nil},
		{"set of nobody", func(p string) error { return SetHash(p, "eve", "", []byte(hashB), "") }, "", "", ErrNotFound},
		{"set of no device", func(p string) error { return SetHash(p, "bob", "phone", []byte(hashB), "") }, "", "", ErrNotFound},
		{"remove a device", func(p string) error { return Remove(p, "alice", "laptop") }, "alice:" + hashA + ":device=laptop\n", "", nil},
		{"remove all", func(p string) error { return Remove(p, "alice", "") }, "alice:" + hashA + "\nalice:" + hashA + ":device=laptop\n", "", nil},
		{"remove nobody", func(p string) error { return Remove(p, "eve", "") }, "", "", ErrNotFound},
		{"remove no device", func(p string) error { return Remove(p, "bob", "phone") }, "", "", ErrNotFound},
	} {
		path := filepath.Join(t.TempDir(), "users")
		write(t, path, before)
		if err := test.change(path); !errors.Is(err, test.fault) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.fault)
		}
		want := before
		if test.fault == nil {
			want = strings.Replace(before, test.old, test.new, 1)
		}
		if diff := cmp.Diff(want, content(t, path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
			t.Errorf("%s: left %v", test.name, files)
		}
	}
}

// A new hash for a line that stays damaged would look like a success.
func TestSetHashOfDamagedAttributes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, "# x\nalice:"+hashA+":quota=5\n")
	if err := SetHash(path, "alice", "", []byte(hashB), ""); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v, want a fault in line 2", err)
	}
}

// What could not be read back is not written.
func TestAddRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	class := login("alice", "")
	class.Class = "no such\nroot:x"
	for _, l := range []auth.Login{
		login("#alice", ""), login("a:b", ""), login("al ice", ""), login("Alice", ""), login("alice\nbob", ""),
		login("alice", "my laptop"), login("alice", "pc sender=*"), login("alice", "pc tag=abc234"), login("alice", "", "a@b sender=*"), login("alice", "", "no sender"), login("alice", "", "a@b\nroot:x"), class, {Account: auth.Account{Name: "alice"}, Hash: []byte("x")},
	} {
		if err := Add(path, l); err == nil {
			t.Errorf("%+v was added: %q", l, content(t, path))
		}
	}
}

// Changes made at once all count.
func TestConcurrentChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	const n = 8
	for i := range n {
		if err := errors.Join(Add(path, login(fmt.Sprint("old", i), "")), Add(path, login(fmt.Sprint("changed", i), ""))); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range n {
		for _, change := range []func() error{
			func() error { return Add(path, login(fmt.Sprint("new", i), "")) },
			func() error { return Remove(path, fmt.Sprint("old", i), "") },
			func() error { return SetHash(path, fmt.Sprint("changed", i), "", []byte(hashA), "") },
		} {
			wg.Go(func() {
				if err := change(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	got, faults, err := Read(path)
	if len(got) != 2*n || len(faults) > 0 || err != nil {
		t.Errorf("%d accounts, %v, %v; want %d", len(got), faults, err, 2*n)
	}
	for i := range n {
		if got[fmt.Sprint("new", i)] == nil || string(got[fmt.Sprint("changed", i)][0].Hash) != hashA {
			t.Errorf("a change of %d is lost", i)
		}
	}
}

// Mode and owner stay, also when the file is reached by a link; a new file is for its owner only.
func TestModeAndOwner(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "users"), filepath.Join(dir, "link")
	if err := Add(path, login("alice", "")); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Fatalf("a new file has %v, %v", st.Mode(), err)
	}
	owner := os.Getegid()
	if os.Geteuid() == 0 {
		owner = 12345 // only root can give files away
	}
	if err := errors.Join(os.Chown(path, -1, owner), os.Chmod(path, 0o640), os.Symlink("users", link)); err != nil {
		t.Fatal(err)
	}
	if err := SetHash(link, "alice", "", []byte(hashA), ""); err != nil {
		t.Fatal(err)
	}
	st, err := os.Lstat(path)
	if err != nil || st.Mode() != 0o640 || int(st.Sys().(*syscall.Stat_t).Gid) != owner {
		t.Errorf("after a change: %v, group %d, %v; want 0640, group %d", st.Mode(), st.Sys().(*syscall.Stat_t).Gid, err, owner)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 || content(t, link) != "alice:"+hashA+"\n" {
		t.Errorf("the link is %v, %v, and leads to %q", st, err, content(t, link))
	}
}

// What root makes in the server's folder can be read by the server.
func TestNewFileBelongsToFolder(t *testing.T) {
	dir := t.TempDir()
	owner := os.Geteuid()
	if owner == 0 {
		owner = 12345
	}
	if err := os.Chown(dir, owner, -1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "users")
	if err := Add(path, login("alice", "")); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || int(st.Sys().(*syscall.Stat_t).Uid) != owner || st.Mode() != 0o600 {
		t.Errorf("the new file: %+v, %v", st.Sys(), err)
	}
}
