//go:build !linux

package doctor

import (
	"errors"

	"golang.org/x/sys/unix"
)

func readKernelClock() kernelClock { return kernelClock{err: errors.ErrUnsupported} }

func readDisk(folder string) (disk, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return disk{}, err
	}
	return disk{free: uint64(st.Bavail) * uint64(st.Bsize), inodes: uint64(st.Files), freeInodes: uint64(st.Ffree)}, nil
}

func fdatasync(fd uintptr) error { return unix.Fsync(int(fd)) }
