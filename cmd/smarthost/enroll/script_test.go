package enroll

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machine is the home folder of a client's user, with programs that do nothing.
type machine struct {
	*testing.T
	home, bin string
}

func newMachine(t *testing.T) *machine {
	m := &machine{t, filepath.Join(t.TempDir(), "home of $(x) `y`"), t.TempDir()}
	for _, c := range clients(t) {
		for _, n := range c.needs {
			m.write(filepath.Join(m.bin, n.command), "#!/bin/sh\ncat >/dev/null\n", 0o755)
		}
	}
	if err := os.Mkdir(m.home, 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) write(path, text string, mode fs.FileMode) {
	m.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		m.Fatal(err)
	}
}

// run hands the script to a shell, as ssh would.
func (m *machine) run(script string) (string, error) {
	sh := exec.Command("/bin/sh")
	sh.Stdin = strings.NewReader(script)
	sh.Dir = m.home
	sh.Env = []string{"HOME=" + m.home, "PATH=" + m.bin + ":/usr/bin:/bin"}
	out, err := sh.CombinedOutput()
	return string(out), err
}

// files are what stands in the home folder: mode and content.
func (m *machine) files() map[string]string {
	m.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(m.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, m.home+"/")] = info.Mode().String() + " " + string(text)
		return err
	})
	if err != nil {
		m.Fatal(err)
	}
	return all
}

// expected are the files of a plan as files returns them.
func (m *machine) expected(p *Plan) map[string]string {
	all := map[string]string{}
	for _, s := range p.files() {
		name := strings.TrimPrefix(s.File, home+"/")
		all[name] = s.Mode.String() + " " + strings.ReplaceAll(s.Content, home, m.home)
	}
	return all
}

// The users' scripts leave exactly their files, whoever's names stand in them; a second one with another password replaces
// the first; what was there before is kept; a script that is cut off anywhere changes nothing.
func TestScripts(t *testing.T) {
	for _, c := range clients(t) {
		if c.Kind != User {
			continue
		}
		m := newMachine(t)
		v := values()
		v.User, v.From = `b"$(id)\\;%=`+"`é", "o'brien+$x@example.org"
		first := plan(t, c.Name, v)
		script := first.String()
		lines := strings.SplitAfter(strings.TrimSuffix(script, "\n"), "\n")
		for n := range lines {
			m.run(strings.Join(lines[:n], "")) // with an error or without
			if left := m.files(); len(left) > 0 {
				t.Fatalf("%s: %d lines of the script have made %v", c.Name, n, left)
			}
		}
		theirs := ""
		if c.Name == "msmtp" {
			theirs = ".msmtprc"
			m.write(filepath.Join(m.home, theirs), "theirs\n", 0o600)
		}
		v.Secret = "another-secret"
		second := plan(t, c.Name, v)
		for _, p := range []*Plan{first, second} {
			if out, err := m.run(p.String()); err != nil {
				t.Fatalf("%s: %v: %s", c.Name, err, out)
			}
			want := m.expected(p)
			if theirs != "" {
				want[theirs+".before"] = "-rw------- theirs\n"
			}
			if diff := cmp.Diff(want, m.files()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.Name, diff)
			}
			for file := range want {
				if folder, err := os.Stat(filepath.Dir(filepath.Join(m.home, file))); err != nil || filepath.Dir(file) != "." && folder.Mode().Perm() != 0o700 {
					t.Errorf("%s: the folder of %s: %v, %v", c.Name, file, folder, err)
				}
			}
		}
	}
}

// Without the client's program nothing is written, and it is said what to install.
func TestScriptWithoutProgram(t *testing.T) {
	m := newMachine(t)
	if err := os.Remove(filepath.Join(m.bin, "nullmailer-send")); err != nil {
		t.Fatal(err)
	}
	out, err := m.run(plan(t, "nullmailer", values()).String())
	if err == nil || !strings.Contains(out, "install the package nullmailer first") {
		t.Errorf("got %v, %q", err, out)
	}
}

// Whatever stands in a file, the script's delimiter is none of its lines.
func TestDelimiter(t *testing.T) {
	m := newMachine(t)
	const content = "END\nENDX\n$HOME `id` \\\nEND"
	p := &Plan{Client: Client{Kind: User}, Steps: []Step{{File: "a file", Mode: 0o640, Content: content}, {File: home + "/b", Mode: 0o600, Content: content + home}}}
	if out, err := m.run(p.String()); err != nil || out != "" {
		t.Fatal(out, err)
	}
	want := map[string]string{"a file": "-rw-r----- " + content + "\n", "b": "-rw------- " + content + m.home + "\n"}
	if diff := cmp.Diff(want, m.files()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Written files are those of the script; files of others are left alone unless --force says so, and then kept beside.
func TestWrite(t *testing.T) {
	m := newMachine(t)
	target := Target{Dir: filepath.Dir(m.home), Home: "/" + filepath.Base(m.home)}
	p := plan(t, "msmtp", values())
	theirs := filepath.Join(m.home, ".msmtprc")
	m.write(theirs, "theirs\n", 0o600)
	if _, _, err := target.Write(p); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("it wrote over a file of others, or did not say how it could: %v", err)
	}
	if diff := cmp.Diff(map[string]string{".msmtprc": "-rw------- theirs\n"}, m.files()); diff != "" {
		t.Errorf("refused, but (-want +got):\n%s", diff)
	}
	v := values()
	v.Secret = "another-secret"
	for _, p := range []*Plan{p, plan(t, "msmtp", v)} {
		target.Force = p.Values.Secret != "another-secret" // its own file needs no force
		written, commands, err := target.Write(p)
		if err != nil {
			t.Fatal(err)
		}
		if folder, err := os.Stat(filepath.Join(m.home, ".config/smarthost")); err != nil || folder.Mode().Perm() != 0o700 {
			t.Errorf("the folder of a user's files: %v, %v", folder, err)
		}
		if diff := cmp.Diff([]string{theirs, filepath.Join(m.home, ".config/smarthost/ca.pem")}, written); diff != "" || commands != "" {
			t.Errorf("commands %q, files (-want +got):\n%s", commands, diff)
		}
		want := map[string]string{".msmtprc.before": "-rw------- theirs\n"}
		for _, s := range p.files() {
			want[strings.TrimPrefix(s.File, home+"/")] = s.Mode.String() + " " + strings.ReplaceAll(s.Content, home, target.Home)
		}
		if diff := cmp.Diff(want, m.files()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// If one file cannot be written, none is: half a configuration holds a password that is good for nothing.
func TestWriteAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	passwords := filepath.Join(dir, "etc/postfix/smarthost_passwd")
	if err := os.MkdirAll(filepath.Dir(passwords), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(passwords, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "etc/smarthost")); err != nil { // where a folder has to be
		t.Fatal(err)
	}
	written, _, err := Target{Dir: dir, Home: "/root", Force: true}.Write(plan(t, "postfix", values()))
	if err == nil || len(written) > 0 {
		t.Errorf("written was %q, %v", written, err)
	}
	text, err := os.ReadFile(passwords)
	if err != nil || string(text) != "old\n" {
		t.Errorf("the passwords became %q, %v", text, err)
	}
	if left, err := os.ReadDir(filepath.Dir(passwords)); err != nil || len(left) != 1 {
		t.Errorf("there are left %v, %v", left, err)
	}
}

// What is left to run is a script, without the passwords that are in the files already.
func TestWriteCommands(t *testing.T) {
	p := plan(t, "postfix", values())
	dir := t.TempDir()
	_, commands, err := Target{Dir: dir, Home: "/root"}.Write(p)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(commands, p.Values.Secret) || !strings.Contains(commands, "postmap /etc/postfix/smarthost_passwd") || !strings.HasPrefix(commands, "#!/bin/sh\n") {
		t.Errorf("commands:\n%s", commands)
	}
	sh := exec.Command("/bin/sh", "-n")
	sh.Stdin = strings.NewReader(commands)
	if out, err := sh.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	st, err := os.Stat(filepath.Join(dir, "etc/postfix/smarthost_passwd"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the passwords: %v, %v", st, err)
	}
	if _, _, err := (Target{Dir: filepath.Join(dir, "none")}).Write(p); err == nil {
		t.Error("it wrote into a folder that is not there")
	}
}
