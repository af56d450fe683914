package userfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-1397b510/smarthost/auth"
)

// Errors of the functions that change a file.
var (
	ErrExists   = errors.New("there is such a login already")
	ErrNotFound = errors.New("there is no such login")
)

// Add appends a login; ErrExists if the account has one for that device. The file is made if it is not there.
func Add(path string, l auth.Login) error {
	return change(path, func(lines []string) ([]string, error) {
		if slices.ContainsFunc(lines, func(line string) bool { return isLogin(line, l.Name, l.Device) }) {
			return nil, ErrExists
		}
		return append(lines, format(l)), nil
	})
}

// SetHash gives a login another password; ErrNotFound if there is no such login.
func SetHash(path, name, device string, hash []byte) error {
	return change(path, func(lines []string) ([]string, error) {
		for i, line := range lines {
			if isLogin(line, name, device) {
				fields := strings.SplitN(line, ":", 3)
				fields[1] = string(hash)
				lines[i] = strings.Join(fields, ":")
				return lines, nil
			}
		}
		return nil, ErrNotFound
	})
}

// Remove takes out the logins of an account, or with a device only that one; ErrNotFound if there is none.
func Remove(path, name, device string) error {
	return change(path, func(lines []string) ([]string, error) {
		rest := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			return isLogin(line, name, device) || device == "" && nameOf(line) == name
		})
		if len(rest) == len(lines) {
			return nil, ErrNotFound
		}
		return rest, nil
	})
}

// nameOf is the account of a line, also of one that is damaged behind the name.
func nameOf(line string) string {
	name, _, ok := strings.Cut(line, ":")
	if !ok || strings.HasPrefix(line, "#") {
		return ""
	}
	folded, err := auth.FoldName(name)
	if err != nil {
		return ""
	}
	return folded
}

func isLogin(line, name, device string) bool {
	if nameOf(line) != name {
		return false
	}
	l, err := parseLine(strings.TrimRight(line, "\r \t"))
	if err != nil {
		return device == ""
	}
	return l.Device == device
}

// change rewrites the file while it holds a lock, so that two changes at once both count. Comments, order and lines
// that it does not understand stay. Readers see the old file or the new one.
func change(path string, edit func(lines []string) ([]string, error)) (err error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	target := path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		target = real // the file that a link leads to is changed, not the link
	}
	text, err := readBounded(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mode := fs.FileMode(0o600)
	st, statErr := os.Stat(target)
	if statErr == nil {
		mode = st.Mode().Perm()
	}
	var lines []string
	if text = bytes.TrimSuffix(text, []byte("\n")); len(text) > 0 {
		lines = strings.Split(string(text), "\n")
	}
	if lines, err = edit(lines); err != nil {
		return err
	}
	content := strings.Join(lines, "\n")
	if content != "" {
		content += "\n"
	}
	return replace(target, content, mode, st)
}

// replace writes, syncs, renames, and syncs the folder.
func replace(path, content string, mode fs.FileMode, old fs.FileInfo) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if old != nil {
		if sys, ok := old.Sys().(*syscall.Stat_t); ok && (int(sys.Uid) != os.Geteuid() || int(sys.Gid) != os.Getegid()) {
			if err := f.Chown(int(sys.Uid), int(sys.Gid)); err != nil {
				return errors.Join(fmt.Errorf("keep the owner of %s: %w", path, err), f.Close())
			}
		}
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
