//go:build e2e

package powercut

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sharedMemory ends the name of the file that SQLite's connections share. It is memory: what is in it after a power cut is anything.
const sharedMemory = "-shm"

// setAside is the name of a file that only takes up space. It is left out, because it is as large as all others together.
const setAside = "reserve"

// A cut is the end of the power, and the luck of what was on its way to the disk.
type cut struct {
	*rand.Rand
	share  float64 // of what was not synced that is on the disk nevertheless; 0: none, 1: all
	sector int     // octets that the disk writes at once
	stale  bool    // what a file has grown by, and was not written, is what others left there; otherwise zeros
}

func (c *cut) String() string {
	what := fmt.Sprintf("%.0f %% of what was not synced, by sectors of %d octets", 100*c.share, c.sector)
	if c.stale {
		what += ", with others' left-overs between"
	}
	return what
}

func (c *cut) kept() bool { return c.Float64() < c.share }

// An image is a folder as it is found after a power cut: the content of files by their paths, and nil for folders.
type image map[string][]byte

// take is what the disk has.
func (c *cut) take(d *disk) image {
	found := image{}
	c.folder(found, ".", d.root)
	return found
}

func (c *cut) folder(found image, path string, f *folder) {
	names := maps.Clone(f.synced)
	for i := range f.pending {
		if c.kept() {
			f.pending[i].do(names)
		}
	}
	found[path] = nil
	for _, name := range slices.Sorted(maps.Keys(names)) { // in an order that is the same each time, as the luck is
		at := filepath.Join(path, name)
		switch what := names[name].(type) {
		case *folder:
			c.folder(found, at, what)
		case *file:
			if name == setAside {
				continue
			}
			found[at] = c.content(what)
			if strings.HasSuffix(at, sharedMemory) {
				found[at] = make([]byte, len(found[at]))
				c.fill(found[at])
			}
		}
	}
}

func (c *cut) fill(b []byte) {
	for i := range b {
		b[i] = byte(c.Uint32())
	}
}

// content is what a file has. Each sector is as it was at some moment since it was synced, and so is the length.
func (c *cut) content(f *file) []byte {
	if len(f.pending) == 0 || c.share == 0 {
		return f.synced
	}
	edits, shortened := c.happened(f)
	moments := map[int]int{} // by sector, how many of the edits it has
	content := append([]byte{}, f.synced...)
	for i := range edits {
		e := &edits[i]
		if e.content == nil {
			if i < shortened { // which it is on the disk too
				content = e.do(content)
			}
			continue
		}
		content = resized(content, max(len(content), e.at+len(e.content)))
		for from, end := e.at, e.at+len(e.content); from < end; {
			to := min((from/c.sector+1)*c.sector, end)
			if i < c.moment(moments, from/c.sector, len(edits)) {
				copy(content[from:to], e.content[from-e.at:])
			}
			from = to
		}
	}
	length := f.length(edits[:c.known(shortened, len(edits))])
	content = resized(content, length)
	if !c.stale {
		return content
	}
	for from := len(f.synced); from < length; {
		to := min((from/c.sector+1)*c.sector, length)
		if moments[from/c.sector] == 0 {
			c.fill(content[from:to])
		}
		from = to
	}
	return content
}

// happened are the edits that may have reached the disk, and how many of them have for sure: a file that was made shorter is so with
// what was done before, or else nothing that was done afterwards is there.
func (c *cut) happened(f *file) (edits []edit, shortened int) {
	for i := range f.pending {
		if e := &f.pending[i]; e.content != nil || e.at >= f.length(f.pending[:i]) {
			continue
		}
		if !c.kept() {
			return f.pending[:i], shortened
		}
		shortened = i + 1
	}
	return f.pending, shortened
}

// known is how many edits of all the file's length shows, at least some.
func (c *cut) known(some, all int) int {
	if c.share == 1 {
		return all
	}
	return some + c.IntN(all-some+1)
}

// length is how long a file is with the first edits after the last sync.
func (f *file) length(edits []edit) int {
	n := len(f.synced)
	for i := range edits {
		if e := &edits[i]; e.content == nil {
			n = e.at
		} else {
			n = max(n, e.at+len(e.content))
		}
	}
	return n
}

// moment is how many of the edits a sector has.
func (c *cut) moment(moments map[int]int, sector, edits int) int {
	n, decided := moments[sector]
	if !decided {
		switch {
		case c.kept():
			n = edits
		case c.IntN(4) == 0:
			n = c.IntN(edits)
		}
		moments[sector] = n
	}
	return n
}

// write makes files of an image.
func (i image) write(folder string) error {
	for _, path := range slices.Sorted(maps.Keys(i)) {
		at := filepath.Join(folder, path)
		if content := i[path]; content == nil {
			if err := os.MkdirAll(at, 0o700); err != nil {
				return err
			}
		} else if err := os.WriteFile(at, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
