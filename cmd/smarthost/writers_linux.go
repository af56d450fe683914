package main

import (
	"bytes"
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// writers knows which files are being written: changed, and not closed since by whoever changed them. It is told by the kernel
// (inotify(7)), which knows of programs on this machine alone; of a file on a network file system it may know nothing. Its zero value
// is ready, and its methods may be called at the same time.
type writers struct {
	mu     sync.Mutex
	events *os.File       // inotify; nil: not asked for yet, or there is none
	places map[int]string // by watch: a file, or the folder that one is in
	open   map[writing]bool
}

// A writing is a file by its own watch, or by that of its folder.
type writing struct {
	watch int
	name  string // in the folder; "" for a file's own watch
}

const (
	watchedChanges = unix.IN_MODIFY | unix.IN_CLOSE_WRITE
	watchedNames   = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO
)

// watch begins to watch these files, which need not be there, and ends with all others.
func (w *writers) watch(files []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drain()
	if w.events == nil {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil { // all that is lost is that it waits for writers
			return
		}
		w.events, w.open = os.NewFile(uintptr(fd), "inotify"), map[writing]bool{}
	}
	places := map[int]string{}
	for _, file := range files {
		file = realPath(file)
		w.add(places, file, watchedChanges)
		w.add(places, filepath.Dir(file), watchedChanges|watchedNames)
	}
	for watch := range w.places {
		if _, still := places[watch]; !still {
			w.on(func(fd int) { unix.InotifyRmWatch(fd, uint32(watch)) }) // which is gone already if the file is
			w.forget(watch)
		}
	}
	w.places = places
}

// writing tells that a file that is watched is being written.
func (w *writers) writing(file string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drain()
	file = realPath(file)
	for at := range w.open {
		if w.path(at) == file {
			return true
		}
	}
	return false
}

// realPath is where links lead to, or the name as it is.
func realPath(file string) string {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	if abs, err := filepath.Abs(file); err == nil {
		return abs
	}
	return file
}

func (w *writers) add(places map[int]string, path string, events uint32) {
	w.on(func(fd int) {
		if watch, err := unix.InotifyAddWatch(fd, path, events); err == nil {
			places[watch] = path
		}
	})
}

// on hands out the file descriptor.
func (w *writers) on(use func(fd int)) {
	if c, err := w.events.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { use(int(fd)) })
	}
}

func (w *writers) forget(watch int) {
	maps.DeleteFunc(w.open, func(at writing, _ bool) bool { return at.watch == watch })
}

func (w *writers) path(at writing) string { return filepath.Join(w.places[at.watch], at.name) }

// drain takes note of what has happened.
func (w *writers) drain() {
	if w.events == nil {
		return
	}
	w.on(func(fd int) {
		list := make([]byte, 64<<10)
		for {
			n, err := unix.Read(fd, list)
			if err != nil || n <= 0 { // EAGAIN: that was all
				return
			}
			w.note(list[:n])
		}
	})
}

// note reads events: watch, mask, cookie and length of the name, each of 32 bits, and the name with zeros at its end.
func (w *writers) note(list []byte) {
	for len(list) >= unix.SizeofInotifyEvent {
		watch, mask := int(int32(binary.NativeEndian.Uint32(list))), binary.NativeEndian.Uint32(list[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(list[12:]))
		name, _, _ := bytes.Cut(list[unix.SizeofInotifyEvent:end], []byte{0})
		at := writing{watch, string(name)}
		switch list = list[end:]; {
		case mask&unix.IN_Q_OVERFLOW != 0:
			clear(w.open)
		case mask&unix.IN_IGNORED != 0:
			w.forget(watch)
		case mask&unix.IN_CLOSE_WRITE != 0:
			delete(w.open, at)
		case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO) != 0: // another file has the name now, or none
			path := w.path(at)
			maps.DeleteFunc(w.open, func(other writing, _ bool) bool { return w.path(other) == path })
		case mask&unix.IN_CREATE != 0 && !begun(w.path(at)): // a link, a folder, or what came with its content
		default:
			w.open[at] = true
		}
	}
}

// begun tells that a new name is that of a new file, and not one more of another, which may have lost its first since (linkat(2) after
// O_TMPFILE). A new one that has content was written under this name, and that was an event of its own.
func begun(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == 1 && st.Size == 0
}
