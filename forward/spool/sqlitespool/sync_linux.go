package sqlitespool

import (
	"errors"
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

// allocate makes f take up n octets of the disk.
func allocate(f *os.File, n int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, n)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fill(f, n)
	}
	return err
}
