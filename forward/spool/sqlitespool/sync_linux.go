package sqlitespool

import (
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync waits until the content of f, and of its metadata what it takes to read it back, is on disk.
func fdatasync(f *os.File) error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}
