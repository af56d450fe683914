//go:build !linux

package sqlitespool

import "os"

// fdatasync is Sync where the system has nothing cheaper.
func fdatasync(f *os.File) error { return f.Sync() }

// allocate makes f take up n octets of the disk.
func allocate(f *os.File, n int64) error { return fill(f, n) }
