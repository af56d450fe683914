//go:build !linux

package sqlitespool

import "os"

// fdatasync is Sync where the system has nothing cheaper.
func fdatasync(f *os.File) error { return f.Sync() }
