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
// It refuses a login that a line could not hold, such as a name with a colon.
func Add(path string, l auth.Login) error {
	if err := check(l); err != nil {
		return err
	}
	return change(path, func(lines []string) ([]string, error) {
		if slices.ContainsFunc(lines, func(line string) bool { return isLogin(line, l.Name, l.Device) }) {
			return nil, ErrExists
		}
		return append(lines, format(l)), nil
	})
}

// check tells whether the line of a login would be read back as what it is.
func check(l auth.Login) error {
	if strings.HasPrefix(l.Name, "#") || strings.Contains(l.Name, ":") {
		return errors.New("a user name must not begin with # nor contain a colon: the accounts file could not hold it")
	}
	if l.Device != "" {
		if err := CheckDevice(l.Device); err != nil {
			return err
		}
	}
	line := format(l)
	back, err := parseLine(line)
	if err != nil {
		return err
	}
	if format(back) != line || back.Name != l.Name || back.Class != l.Class || !slices.Equal(back.Senders, l.Senders) {
		return errors.New("the accounts file cannot hold such a login")
	}
	return nil
}

// SetHash gives a login another password, also one whose hash is damaged; ErrNotFound if there is no such login.
// tag is that of the password, see auth.Tag; the old one goes.
func SetHash(path, name, device string, hash []byte, tag string) error {
	return change(path, func(lines []string) ([]string, error) {
		for i, line := range lines {
			if isLogin(line, name, device) {
				fields := strings.SplitN(line, ":", 3)
				fields[1] = string(hash)
				lines[i] = strings.Join(setTag(fields, tag), ":")
				if _, err := parseLine(strings.TrimRight(lines[i], "\r \t")); err != nil {
					return nil, fmt.Errorf("line %d %w", i+1, err) // another hash alone does not mend it
				}
				return lines, nil
			}
		}
		return nil, ErrNotFound
	})
}

// setTag changes the attributes of a line, its fields, as little as it must.
func setTag(fields []string, tag string) []string {
	var words []string
	if len(fields) == 3 {
		words = strings.Fields(fields[2])
	}
	rest := slices.DeleteFunc(slices.Clone(words), func(word string) bool { return strings.HasPrefix(word, "tag=") })
	if tag == "" && len(rest) == len(words) {
		return fields
	}
	if tag != "" {
		rest = append(rest, "tag="+tag)
	}
	if len(rest) == 0 {
		return fields[:2]
	}
	return append(fields[:2:2], strings.Join(rest, " "))
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

// deviceOf is the device of a line, also of one that is damaged.
func deviceOf(line string) (device string) {
	fields := strings.SplitN(line, ":", 3)
	for _, word := range strings.Fields(fields[len(fields)-1]) {
		if d, ok := strings.CutPrefix(word, "device="); ok && len(fields) == 3 {
			device = d
		}
	}
	return device
}

func isLogin(line, name, device string) bool { return nameOf(line) == name && deviceOf(line) == device }

// change rewrites the file while it holds a lock, so that two changes at once both count. Comments, order and lines
// that it does not understand stay. Readers see the old file or the new one.
func change(path string, edit func(lines []string) ([]string, error)) (err error) {
	target := path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		target = real // the file that a link leads to is changed, not the link
	}
	folder, err := os.Open(filepath.Dir(target)) // the file itself is replaced, so that a lock on it would not last
	if err != nil {
		if _, none := edit(nil); none != nil && errors.Is(err, fs.ErrNotExist) {
			return none // nobody is in a file that is not there
		}
		return err
	}
	defer folder.Close()
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", folder.Name(), err)
	}
	text, err := readBounded(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
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
	return replace(target, content, folder)
}

// replace writes, syncs, renames, and syncs the folder.
func replace(path, content string, folder *os.File) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := likeBefore(f, path, folder); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return folder.Sync()
}

// likeBefore gives f the owner and the mode of the file at path. What root makes anew belongs to whoever has the folder,
// since that is who has to read it.
func likeBefore(f *os.File, path string, folder *os.File) error {
	mode := fs.FileMode(0o600)
	model, err := os.Stat(path)
	switch {
	case err == nil:
		mode = model.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case os.Geteuid() != 0:
		return nil // CreateTemp has made it ours, 0600
	default:
		if model, err = folder.Stat(); err != nil {
			return err
		}
	}
	if sys, ok := model.Sys().(*syscall.Stat_t); ok && (int(sys.Uid) != os.Geteuid() || int(sys.Gid) != os.Getegid()) {
		if err := f.Chown(int(sys.Uid), int(sys.Gid)); err != nil {
			return fmt.Errorf("keep the owner of %s: %w", path, err)
		}
	}
	return f.Chmod(mode)
}
