//go:build e2e

package powercut

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A disk is a folder as the kernel shows it, together with what is known of it on the disk below.
type disk struct {
	path string
	root *folder
}

// A folder has files, folders, and nil for what is neither, such as a socket.
type folder struct {
	now     map[string]any
	synced  map[string]any // what the disk has for sure
	pending []naming       // what was done since
}

// A naming gives a name, or takes one away, or both at once.
type naming struct {
	name, gone string // "": none
	what       any
	by         *call
}

func (n *naming) do(names map[string]any) {
	if n.gone != "" {
		delete(names, n.gone)
	}
	if n.name != "" {
		names[n.name] = n.what
	}
}

// A file is its content.
type file struct {
	now     []byte
	synced  []byte // what the disk has for sure; never nil
	pending []edit // what was done since
	at      int    // where write(2) goes on
}

// An edit writes content at a place, or, without content, makes the file that long.
type edit struct {
	at      int
	content []byte
	by      *call
}

func (e *edit) do(content []byte) []byte {
	if e.content == nil {
		return resized(content, e.at)
	}
	content = resized(content, max(len(content), e.at+len(e.content)))
	copy(content[e.at:], e.content)
	return content
}

func resized(content []byte, length int) []byte {
	if length <= len(content) {
		return content[:length:length] // what was there before must not show when it grows again
	}
	return append(content, make([]byte, length-len(content))...)
}

// newDisk reads a folder and takes all of it as synced.
func newDisk(path string) (*disk, error) {
	root, err := newFolder(path)
	return &disk{path, root}, err
}

func newFolder(path string) (*folder, error) {
	f := &folder{now: map[string]any{}}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		var what any
		switch at := filepath.Join(path, e.Name()); {
		case e.IsDir():
			what, err = newFolder(at)
		case e.Type().IsRegular():
			var content []byte
			content, err = os.ReadFile(at)
			what = &file{now: content, synced: slices.Clone(content)}
		}
		if err != nil {
			return nil, err
		}
		f.now[e.Name()] = what
	}
	f.synced = maps.Clone(f.now)
	return f, nil
}

// has tells whether a path is the folder or in it.
func (d *disk) has(path string) bool { return path == d.path || strings.HasPrefix(path, d.path+"/") }

// find is what has a path now; nil if nothing has.
func (d *disk) find(path string) any {
	if path == d.path {
		return d.root
	}
	if parent, ok := d.find(filepath.Dir(path)).(*folder); ok && d.has(path) {
		return parent.now[filepath.Base(path)]
	}
	return nil
}

// change does what a call does, when it begins, as far as it concerns the folder.
func (d *disk) change(c *call) error {
	if !slices.ContainsFunc(append(c.args, c.result), func(a string) bool { return strings.Contains(a, d.path) }) {
		return nil
	}
	if c.end == never {
		return fmt.Errorf("%s %.200q did not return: what it did is not known", c.name, c.args)
	}
	if !c.ok() {
		return nil
	}
	var err error
	switch c.name {
	case "open":
		err = d.open(c, c.args[1])
	case "openat":
		err = d.open(c, c.args[2])
	case "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2":
		err = d.rename(c)
	case "write", "pwrite64", "ftruncate", "fallocate":
		err = d.edit(c)
	case "fsync", "fdatasync", "sync_file_range", "bind":
	case "mmap":
		shared := strings.Contains(c.args[3], "MAP_SHARED") && strings.Contains(c.args[2], "PROT_WRITE")
		if shared && !strings.HasSuffix(c.file(4), sharedMemory) {
			err = errUnknown
		}
	case "sendfile":
		if d.has(c.file(0)) {
			err = errUnknown
		}
	case "splice":
		if d.has(c.file(2)) {
			err = errUnknown
		}
	default:
		err = errUnknown
	}
	if err != nil {
		return fmt.Errorf("%s %.300q = %s: %w", c.name, c.args, c.result, err)
	}
	return nil
}

var errUnknown = errors.New("the model of the disk does not know this")

// open makes or empties a file.
func (d *disk) open(c *call, flags string) error {
	path := inAngles(c.result)
	if !d.has(path) {
		return nil
	}
	if strings.Contains(flags, "SYNC") || strings.Contains(flags, "O_TMPFILE") || strings.Contains(flags, "O_APPEND") {
		return errUnknown
	}
	f, there := d.find(path).(*file)
	if !there && strings.Contains(flags, "O_CREAT") {
		f = &file{synced: []byte{}}
		if err := d.note(path, naming{name: filepath.Base(path), what: f, by: c}); err != nil {
			return err
		}
	}
	if f != nil && strings.Contains(flags, "O_TRUNC") {
		f.edit(edit{by: c})
	}
	if f != nil && !strings.Contains(flags, "O_RDONLY") {
		f.at = 0
	}
	return nil
}

// note does something to the names in the folder of a path.
func (d *disk) note(path string, n naming) error {
	f, ok := d.find(filepath.Dir(path)).(*folder)
	if !ok {
		return fmt.Errorf("the folder of %s is not known", path)
	}
	n.do(f.now)
	f.pending = append(f.pending, n)
	return nil
}

// rename makes folders, removes, and renames.
func (d *disk) rename(c *call) error {
	var paths []string
	for i, a := range c.args {
		if !strings.HasPrefix(a, `"`) {
			continue
		}
		name, err := octets(a)
		if err != nil {
			return err
		}
		path := filepath.Clean(string(name))
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.file(i-1), path)
		}
		if !d.has(path) {
			return errUnknown
		}
		paths = append(paths, path)
	}
	from := filepath.Base(paths[0])
	switch {
	case strings.HasPrefix(c.name, "mkdir"):
		return d.note(paths[0], naming{name: from, what: &folder{now: map[string]any{}, synced: map[string]any{}}, by: c})
	case len(paths) == 1:
		return d.note(paths[0], naming{gone: from, by: c})
	case filepath.Dir(paths[0]) == filepath.Dir(paths[1]):
		return d.note(paths[0], naming{gone: from, name: filepath.Base(paths[1]), what: d.find(paths[0]), by: c})
	}
	what := d.find(paths[0])
	if err := d.note(paths[0], naming{gone: from, by: c}); err != nil {
		return err
	}
	return d.note(paths[1], naming{name: filepath.Base(paths[1]), what: what, by: c})
}

// edit changes a file.
func (d *disk) edit(c *call) error {
	if !d.has(c.file(0)) {
		return nil
	}
	f, ok := d.find(c.file(0)).(*file)
	if !ok {
		return fmt.Errorf("the file is not known")
	}
	e := edit{by: c}
	var err error
	switch c.name {
	case "ftruncate":
		e.at, err = strconv.Atoi(c.args[1])
	case "fallocate":
		from, err1 := strconv.Atoi(c.args[2])
		length, err2 := strconv.Atoi(c.args[3])
		if e.at, err = max(len(f.now), from+length), errors.Join(err1, err2); c.args[1] != "0" {
			err = errUnknown
		}
	case "pwrite64":
		if e.at, err = strconv.Atoi(c.args[3]); err == nil {
			e.content, err = c.written()
		}
	case "write":
		e.at = f.at
		e.content, err = c.written()
		f.at += len(e.content)
	}
	if err == nil {
		f.edit(e)
	}
	return err
}

func (f *file) edit(e edit) {
	f.now = e.do(f.now)
	f.pending = append(f.pending, e)
}

// sync makes what returned before the call began part of what the disk has for sure. It is called when the call returns.
func (d *disk) sync(c *call, what any) {
	switch f := what.(type) {
	case *file:
		f.synced = append([]byte{}, f.synced...) // images have it
		f.pending = slices.DeleteFunc(f.pending, func(e edit) bool {
			if e.by.end < c.begin {
				f.synced = e.do(f.synced)
				return true
			}
			return false
		})
	case *folder:
		f.pending = slices.DeleteFunc(f.pending, func(n naming) bool {
			if n.by.end < c.begin {
				n.do(f.synced)
				return true
			}
			return false
		})
	}
}

// compare tells how what was really in a folder differs from what the record of calls has made of it; "" if it does not.
func compare(path string, real, model any) string {
	switch r := real.(type) {
	case *folder:
		m, ok := model.(*folder)
		if !ok {
			return path + " is a folder"
		}
		for _, name := range slices.Sorted(maps.Keys(m.now)) {
			if _, there := r.now[name]; !there {
				return path + "/" + name + " is not there"
			}
		}
		for _, name := range slices.Sorted(maps.Keys(r.now)) {
			if difference := compare(path+"/"+name, r.now[name], m.now[name]); difference != "" {
				return difference
			}
		}
	case *file:
		m, ok := model.(*file)
		if !ok {
			return path + " is a file"
		}
		if !bytes.Equal(r.now, m.now) && !strings.HasSuffix(path, sharedMemory) {
			return fmt.Sprintf("%s has other content (%d octets, and %d in the record)", path, len(r.now), len(m.now))
		}
	}
	return ""
}
