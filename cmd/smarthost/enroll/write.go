package enroll

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// A Target is a folder into which a plan's files are written, as if it were the root of the client's machine.
type Target struct {
	Dir   string
	Home  string // the home folder below Dir
	Force bool   // also over files that others have written
}

// Check tells what would stop Write, without changing anything.
func (t Target) Check(p *Plan) error {
	st, err := os.Stat(t.Dir)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s is not a folder", t.Dir)
	}
	var faults []error
	for _, s := range p.files() {
		path := t.path(s)
		old, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			faults = append(faults, err)
		case !t.Force && !ours(s.File) && !bytes.Contains(old, []byte(mark)):
			faults = append(faults, fmt.Errorf("%s was not written by %s; --force replaces it, and keeps it as %s.before", path, mark, path))
		}
	}
	return errors.Join(faults...)
}

// Write writes the files and returns the paths and the commands that are left to run. What was there before it is kept beside it.
// All files are written under other names first: if one cannot be, those that there are stay as they were.
func (t Target) Write(p *Plan) (written []string, commands string, err error) {
	if err := t.Check(p); err != nil {
		return nil, "", err
	}
	var all []staged
	defer func() {
		for _, f := range all[len(written):] {
			err = errors.Join(err, os.Remove(f.name))
		}
	}()
	for _, s := range p.files() {
		f, err := t.stage(s, p.Client.Kind == System)
		if err != nil {
			return written, "", err
		}
		all = append(all, f)
	}
	for _, f := range all {
		if err := f.place(); err != nil {
			return written, "", err
		}
		written = append(written, f.path)
	}
	return written, p.commands(), nil
}

func (p *Plan) files() []Step {
	var files []Step
	for _, s := range p.Steps {
		if s.File != "" {
			files = append(files, s)
		}
	}
	return files
}

func (t Target) path(s Step) string {
	return filepath.Join(t.Dir, strings.ReplaceAll(s.File, home, t.Home))
}

// staged is a file that is written, but has not its own name yet.
type staged struct {
	name, path string
	keep       bool // what is at path
}

func (t Target) stage(s Step, system bool) (_ staged, err error) {
	path := t.path(s)
	folders := fs.FileMode(0o700) // see Client.umask
	if system {
		folders = 0o755
	}
	if err := os.MkdirAll(filepath.Dir(path), folders); err != nil {
		return staged{}, err
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return staged{}, err
	}
	keep := err == nil && !ours(s.File) && !bytes.Contains(old, []byte(mark))
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return staged{}, err
	}
	_, err = f.WriteString(strings.ReplaceAll(s.Content, home, t.Home))
	if err = errors.Join(err, chown(f, s.Owner), f.Chmod(s.Mode), f.Sync(), f.Close()); err != nil {
		return staged{}, errors.Join(err, os.Remove(f.Name()))
	}
	return staged{f.Name(), path, keep}, nil
}

func (f staged) place() error {
	if f.keep {
		if err := keep(f.path); err != nil {
			return err
		}
	}
	return os.Rename(f.name, f.path)
}

// keep gives the file a second name, unless there is a copy already.
func keep(path string) error {
	err := os.Link(path, path+".before")
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// chown gives the file to whom the client needs it to belong; who is not root keeps what they write. A group that this
// machine does not have is an error: in a folder that is another machine's root, the script does it.
func chown(f *os.File, owner string) error {
	if owner == "" || os.Geteuid() != 0 {
		return nil
	}
	name, groupName, _ := strings.Cut(owner, ":")
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("give %s to %s: %w", f.Name(), owner, err)
	}
	g, err := user.LookupGroup(groupName)
	if err != nil {
		return fmt.Errorf("give %s to %s: %w (install the client's package first)", f.Name(), owner, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return err
	}
	return f.Chown(uid, gid)
}
