package userfile

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth"
)

const (
	hashA = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" // as htpasswd -B writes it
	hashB = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, "# people\r\n\r\nAlice:"+hashA+"\r\nalice:"+hashB+":device=laptop class=bulk sender=alice@example.org sender=*@a.example\n   \nprinter:"+hashB+":  \nlast:"+hashA)
	got, faults, err := Read(path)
	if err != nil || len(faults) > 0 {
		t.Fatal(faults, err)
	}
	login := func(name, hash string) auth.Login {
		return auth.Login{Account: auth.Account{Name: name}, Hash: []byte(hash)}
	}
	laptop := login("alice", hashB)
	laptop.Account = auth.Account{Name: "alice", Device: "laptop", Class: "bulk", Senders: []string{"alice@example.org", "*@a.example"}, OwnLimits: true}
	want := map[string][]auth.Login{
		"alice":   {login("alice", hashA), laptop},
		"printer": {login("printer", hashB)},
		"last":    {login("last", hashA)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, faults, err := Read(path + "-missing"); len(got) != 0 || faults != nil || err != nil {
		t.Errorf("a file that is not there: %v, %v, %v", got, faults, err)
	}
}

// Each damaged line is named, the others work, and no fault shows a hash.
func TestDamagedLines(t *testing.T) {
	secret := hashA[7:]
	for _, test := range []struct{ line, fault string }{
		{"alice", "has no colon"},
		{secret, "has no colon"},
		{"al ice:" + hashA, "a user name consists of"},
		{":" + hashA, "a user name has 1 to 255 octets"},
		{"\ufeffalice:" + hashA, "a user name consists of"},
		{"alice:", "is not bcrypt"},
		{"alice:secret", "is not bcrypt"},
		{"alice:$apr1$" + secret, "is not bcrypt"},
		{"alice:" + hashA[:59], "is not bcrypt"},
		{"alice:" + hashA + "x", "is not bcrypt"},
		{"alice:$2y$18$" + hashA[7:], "cost 18"},
		{"alice:$2y$31$" + hashA[7:], "cost 31"},
		{"alice:" + hashA + " sender=a@b", "is not bcrypt"},
		{"alice:" + hashA[:59] + "!", "is damaged"},
		{"alice:$2y$99$" + secret, "is damaged"},
		{"alice:" + hashA + ":" + hashA, "second password hash"},
		{"alice:" + hashA + ":sender=" + hashA, "second password hash"},
		{"alice:" + hashA + ":bulk", `"bulk" is no attribute`},
		{"alice:" + hashA + ":quota=5", `no attribute "quota"`},
		{"alice:" + hashA + ":sender=alice", `"alice" is not a sender`},
		{"alice:" + hashA + ":class=Bulk", `"Bulk" is not the name of a class`},
		{"alice:" + hashA + ":device=", `"" is not the name of a device`},
		{"alice:" + hashA + ":expires=tomorrow", `"tomorrow" is not a date of expiry`},
		{"alice:" + hashA + ":network=home", `"home" is not a network`},
		{"alice:" + hashA + ":tag=abc10l", `"abc10l" is not the tag of a secret`},
		{"ok:" + hashB, "has this device already"},
	} {
		path := filepath.Join(t.TempDir(), "users")
		write(t, path, "ok:"+hashA+"\n"+test.line+"\n")
		got, faults, err := Read(path)
		if err != nil || len(got) != 1 || len(got["ok"]) != 1 || len(faults) != 1 {
			t.Errorf("%q: got %v, %v, %v; want ok and one fault", test.line, got, faults, err)
			continue
		}
		if text := faults[0].Error(); !strings.HasPrefix(text, path+":2: ") || !strings.Contains(text, test.fault) || strings.Contains(text, secret[:20]) {
			t.Errorf("%q: fault is %q, want line 2 and %q, and no hash", test.line, text, test.fault)
		}
	}
}

func TestCheckSender(t *testing.T) {
	for pattern, ok := range map[string]bool{
		"*": true, "a@b": true, "*@example.org": true, "a+*@example.org": true, `a"b@c`: false,
		"": false, "a": false, "@b": false, "a@": false, "a@*": false, "*@*.org": false, "**@b": false, "a b@c": false, "<a@b>": false,
	} {
		if err := CheckSender(pattern); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

// house is a File whose clock is the bubble's, while the files are real.
type house struct {
	*testing.T
	dir, path string
	log       bytes.Buffer
	file      *File
}

func newHouse(t *testing.T, dir string) *house {
	h := &house{T: t, dir: dir, path: filepath.Join(dir, "users")}
	h.file = &File{Path: h.path, Log: zerolog.New(&h.log)}
	return h
}

// names returns which of the accounts are known, after the file was looked at again.
func (h *house) names() string {
	h.Helper()
	time.Sleep(lookEvery) // nothing sleeps: the bubble's clock moves on
	var known []string
	for _, name := range []string{"alice", "bob", "carol"} {
		logins, err := h.file.Logins(h.Context(), name)
		if err != nil {
			return "error: " + err.Error()
		}
		if len(logins) > 0 {
			known = append(known, name)
		}
	}
	return strings.Join(known, " ")
}

func (h *house) want(when, want string) {
	h.Helper()
	if got := h.names(); got != want {
		h.Errorf("%s: got %q, want %q", when, got, want)
	}
}

func TestHotReload(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dir)
		write(t, h.path, "alice:"+hashA+"\n")
		h.want("at first", "alice")
		write(t, h.path, "alice:"+hashA+"\nbob:"+hashA+"\n")
		h.want("grown in place", "alice bob")

		st, err := os.Stat(h.path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, h.path, "alice:"+hashA+"\n#ob:"+hashA+"\n")
		if err := os.Chtimes(h.path, time.Time{}, st.ModTime().Add(time.Nanosecond)); err != nil {
			t.Fatal(err)
		}
		h.want("same size, one nanosecond later", "alice")

		st, _ = os.Stat(h.path)
		write(t, h.path+"-new", "carol:"+hashA+"\n#ob:"+hashA+"\n")
		if err := os.Chtimes(h.path+"-new", time.Time{}, st.ModTime()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(h.path+"-new", h.path); err != nil {
			t.Fatal(err)
		}
		h.want("another file of the same time and size", "carol")
		if n := strings.Count(h.log.String(), "accounts read"); n != 4 {
			t.Errorf("read %d times, want 4", n)
		}
	})
}

// A secret that is mounted into a container is a link into a folder that is swapped.
func TestSwappedLink(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dir)
		for _, version := range []string{"alice", "bob"} {
			if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, version, "users"), version+":"+hashA+"\n")
		}
		for from, to := range map[string]string{"users": "data/users", "data": "alice"} {
			if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
				t.Fatal(err)
			}
		}
		h.want("at first", "alice")
		if err := os.Symlink("bob", filepath.Join(dir, "data2")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "data2"), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
		h.want("after the swap", "bob")
	})
}

// A file that was never readable is an error, not an empty house; one that is not any more leaves the accounts in force.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dir)
		if got := h.names(); !strings.HasPrefix(got, "error: ") {
			t.Errorf("before there is a file: got %q, want an error", got)
		}
		write(t, h.path, "alice:"+hashA+"\n")
		h.want("when it is there", "alice")

		h.log.Reset()
		if err := os.Remove(h.path); err != nil {
			t.Fatal(err)
		}
		h.want("when it is gone", "alice")
		h.want("when it is still gone", "alice")
		if n := strings.Count(h.log.String(), "cannot be read"); n != 1 || !strings.Contains(h.log.String(), `"old_in_force":true`) {
			t.Errorf("said %d times that it cannot be read, want once: %s", n, &h.log)
		}
		if err := h.file.Reload(); err == nil {
			t.Error("Reload returned no error")
		}
		if err := os.Mkdir(h.path, 0o700); err != nil {
			t.Fatal(err)
		}
		h.want("when it is a folder", "alice")
		if err := os.Remove(h.path); err != nil {
			t.Fatal(err)
		}
		write(t, h.path, "bob:"+hashA+"\nbroken\n")
		h.want("when it is back", "bob")
		if log := h.log.String(); !strings.Contains(log, h.path+":2: has no colon") || strings.Contains(log, hashA) {
			t.Errorf("the damaged line is not named, or a hash is: %s", log)
		}
	})
}

// A file of which nothing is an account is not taken for a house without accounts; an empty one is.
func TestOtherFileInItsPlace(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dir)
		write(t, h.path, "alice:"+hashA+"\n")
		h.want("at first", "alice")
		write(t, h.path, "this is\nno file of accounts\n")
		h.want("garbage", "alice")
		h.want("still garbage", "alice")
		if n := strings.Count(h.log.String(), "cannot be read"); n != 1 || h.file.Fault() == nil || h.file.Reload() == nil {
			t.Errorf("said %d times that it cannot be read, want once; fault %v", n, h.file.Fault())
		}
		write(t, h.path, "bob:"+hashA+"\ngarbage\n")
		h.want("a line of it is one", "bob")
		if err := h.file.Fault(); err == nil || !strings.Contains(err.Error(), "1 damaged lines") {
			t.Errorf("the damaged line is no fault: %v", err)
		}
		write(t, h.path, "")
		h.want("empty", "")
		if err := h.file.Fault(); err != nil {
			t.Error(err)
		}
	})
}

// A file that does not change is not read again, whatever the number of logins; Reload reads it at once.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dir)
		write(t, h.path, "alice:"+hashA+"\n")
		for range 3 {
			h.want("unchanged", "alice")
		}
		if log := h.log.String(); strings.Count(log, "accounts read") != 1 {
			t.Errorf("read more than once, or not at all: %s", log)
		}
		write(t, h.path, "bob:"+hashA+"\nalice:"+hashA+"\n")
		if err := h.file.Reload(); err != nil {
			t.Fatal(err)
		}
		if logins, err := h.file.Logins(t.Context(), "bob"); len(logins) != 1 || err != nil {
			t.Errorf("after Reload: %v, %v", logins, err)
		}
	})
}

// FuzzParseLine: what is read is what would be written, and no error shows the hash.
func FuzzParseLine(f *testing.F) {
	for _, s := range []string{"alice:" + hashA, "A@b:" + hashB + ":device=x class=y sender=*@b sender=a@b",
		"a:" + hashB + ":device=x expires=2027-01-31 network=192.0.2.1/24 network=2001:db8::1 tag=abc234", "a:" + hashB + ":expires=2027-01-31T12:00:00.25+01:00",
		"a:b", "", "#", "a:" + hashA + ":x=" + hashA} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		l, err := parseLine(line)
		if err != nil {
			if strings.Contains(line, hashA) && strings.Contains(err.Error(), hashA[7:]) {
				t.Errorf("%q: the fault shows the hash: %v", line, err)
			}
			return
		}
		back, err := parseLine(format(l))
		if err != nil {
			t.Fatalf("%q is written as %q: %v", line, format(l), err)
		}
		if diff := cmp.Diff(l, back, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("%q (-read +written and read):\n%s", line, diff)
		}
	})
}

// A file that an editor truncates and writes anew in place is not taken for the accounts while that goes on.
func TestInPlaceChangeIsTakenWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	line := "alice:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n"
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &File{Path: path, Log: zerolog.Nop()}
	known := func() bool {
		f.looked = time.Time{} // look at once
		logins, err := f.Logins(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		return len(logins) == 1
	}
	if !known() {
		t.Fatal("the account is not known")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // the same file, cut
		t.Fatal(err)
	}
	if !known() {
		t.Error("half a file was taken for the accounts")
	}
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if known() {
		t.Error("a file that stays as it is was not taken over")
	}
}

// Who adds a login and uses it at once is known, and who is removed is not; a session is asked about within a second.
func TestChangesAreKnownAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	f := &File{Path: path, Log: zerolog.Nop()}
	for i, name := range []string{"alice", "bob"} {
		if err := Add(path, login(name, "")); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Logins(t.Context(), name); len(got) != 1 || err != nil {
			t.Errorf("%s, added as number %d: %v, %v", name, i+1, got, err)
		}
	}
	if err := Remove(path, "bob", ""); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Logins(t.Context(), "bob"); len(got) != 0 || err != nil {
		t.Errorf("bob, removed: %v, %v", got, err)
	}
}

// What was looked at within the second is told without a look, and never while somebody waits for the disk.
func TestRecall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "users")
		write(t, path, "a:"+hashA+":device=x\n")
		f := &File{Path: path}
		recall := func(when, device string, wantOK, wantKnown bool) {
			t.Helper()
			if l, ok, known := f.Recall("a", device); ok != wantOK || known != wantKnown || ok && l.Device != device {
				t.Errorf("%s: %+v, %t, %t", when, l.Account, ok, known)
			}
		}
		recall("before the first look", "x", false, false)
		if _, ok, err := f.Login(t.Context(), "a", "x"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		recall("after it", "x", true, true)
		recall("no such device", "y", false, true)
		f.mu.Lock()
		recall("while it is looked at", "x", false, false)
		f.mu.Unlock()
		time.Sleep(lookEvery)
		recall("a second later", "x", false, false)
	})
}

// A file that is touched again and again is read all the same: somebody may have been taken out of it.
func TestFileThatIsNeverAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "users")
		write(t, path, "alice:"+hashA+"\n")
		f := &File{Path: path, Log: zerolog.Nop()}
		knows := func(when string, want int) {
			t.Helper()
			if got, err := f.Logins(t.Context(), "alice"); err != nil || len(got) != want {
				t.Errorf("%s: alice has %d logins, %v", when, len(got), err)
			}
		}
		touch := func() {
			t.Helper()
			if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		knows("at first", 1)
		for range 2 {
			time.Sleep(lookEvery)
			write(t, path, "bob:"+hashA+"\n")
			for range restless / lookEvery {
				touch()
				knows("while it is touched", 1)
				time.Sleep(lookEvery)
			}
			touch()
			knows("when that takes long", 0)
			write(t, path, "alice:"+hashA+"\n")
			time.Sleep(2 * lookEvery)
			knows("when she is there again", 1)
		}
	})
}

// While somebody writes the file, for as long as that takes, those who are in force stay, whatever is in it by then.
func TestWriterThatPauses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	writing := false
	f := &File{Path: path, Log: zerolog.Nop(), Writing: func(p string) bool { return p == path && writing }}
	line := func(name string) string { return name + ":" + hashA + "\n" }
	synctest.Test(t, func(t *testing.T) {
		knows := func(when string, want ...string) {
			t.Helper()
			time.Sleep(2 * lookEvery)
			for _, name := range []string{"alice", "bob", "carol"} {
				if got, err := f.Logins(t.Context(), name); err != nil || (len(got) == 1) != slices.Contains(want, name) {
					t.Errorf("%s: %s has %d logins, %v", when, name, len(got), err)
				}
			}
		}
		writing = true
		write(t, path, line("alice")+line("bob"))
		knows("at first, when nobody is in force yet", "alice", "bob")
		write(t, path, line("carol"))
		knows("when half of it is written", "alice", "bob")
		write(t, path, "garbage\n")
		knows("when garbage is", "alice", "bob")
		write(t, path, line("carol")+line("alice"))
		writing = false
		knows("when it is whole", "alice", "carol")
	})
}
