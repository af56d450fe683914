package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// A file whose writer pauses in the middle, however long, is not read before it is whole, and that it waits is an alarm.
func TestFilesThatWritersKeepOpen(t *testing.T) {
	env := testEnvironment(t, nil)
	for name, begin := range map[string]func(path string) (*os.File, error){
		"in place": func(path string) (*os.File, error) { return os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0) },
		"anew": func(path string) (*os.File, error) {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			return os.Create(path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, folder := watching(t, env)
			var log bytes.Buffer
			s.Log = zerolog.New(&log)
			path := filepath.Join(folder, "..data", "smarthost.toml")
			looks(t, s, env, false, false)
			f, err := begin(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, part := range []string{"", "[forward]\n", "give_up = \"2d\"\n"} {
				if _, err := f.WriteString(part); err != nil {
					t.Fatal(err)
				}
				looks(t, s, env, false, false, false)
				if state, why := s.checkConfig(t.Context()); state != admin.Degraded || !strings.Contains(why, "begun to write") {
					t.Errorf("health says %s, %s", state, why)
				}
			}
			if n := strings.Count(log.String(), "keeps them open"); n != 1 {
				t.Errorf("%d alarms:\n%s", n, &log)
			}
			if err := s.reload(env); err == nil || !strings.Contains(err.Error(), "smarthost.toml at this moment") {
				t.Errorf("a reload says %v", err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			looks(t, s, env, true)
			if state, why := s.checkConfig(t.Context()); state != admin.OK {
				t.Errorf("health says %s, %s", state, why)
			}
		})
	}
}

// What takes a name whole is nobody's half work, nor is what happens to other files.
func TestWholeFilesAreNotWaitedFor(t *testing.T) {
	folder := t.TempDir()
	path, other := filepath.Join(folder, "file"), filepath.Join(folder, "other")
	put(t, path, "first")
	put(t, other, "second")
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if _, err := f.WriteString("more"); err != nil {
			t.Fatal(err)
		}
		return f
	}
	w := new(writers)
	is := func(when string, want bool) {
		t.Helper()
		if got := w.writing(path); got != want {
			t.Errorf("%s: it is being written: %v", when, got)
		}
		w.watch([]string{path})
		if got := w.writing(path); got != want {
			t.Errorf("%s, and watched anew: it is being written: %v", when, got)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	is("before it is watched", false)
	open(other)
	is("when another is written", false)
	f := open(path)
	is("when it is written", true)
	must(os.Rename(path, path+"~"))
	is("when there is none", false)
	must(os.Rename(other, path))
	is("when another takes its name", false)
	must(f.Close())
	must(os.Remove(path))
	must(os.Link(path+"~", path))
	is("when it is a link", false)
	must(os.Remove(path))
	must(os.Symlink(path+"~", path))
	is("when it is a symbolic link", false)
	must(os.Remove(path))
	put(t, other, "whole")
	must(os.Link(other, path))
	must(os.Remove(other))
	is("when it is a link to a file that has lost its other name since", false)
	must(os.Remove(path))
	must(os.Symlink(path+"~", path))
	f = open(path)
	is("when what it leads to is written", true)
	must(f.Close())
	is("when that has ended", false)
	must(os.Remove(path))
	must(os.Mkdir(path, 0o700))
	is("when it is a folder", false)
	must(os.RemoveAll(folder))
	is("when its folder is gone", false)
	must(os.Mkdir(folder, 0o700))
	w.watch([]string{path})
	open(path)
	is("when it is there again, and written", true)
}
