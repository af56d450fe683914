package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// coreFilter tells Linux which memory goes into a core, as bits; core(5).
const coreFilter = "/proc/self/coredump_filter"

// withoutCore keeps the memory of this process, where passwords, keys and mail are, out of files that a crash would leave behind. The limit
// is for all systems; Linux does not ask for it before it pipes a core to a program (core_pattern), and others may raise it, so that there no
// memory is to be in a core either. Both stay over exec. PR_SET_DUMPABLE is left alone: it would also take /proc/self from this very process.
//
// What the Go runtime prints of a crash is the words on the stacks in hexadecimal, addresses mostly, and never what strings hold.
func withoutCore() error {
	var faults []error
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		faults = append(faults, fmt.Errorf("set the limit of core files to 0: %w", err))
	}
	if err := os.WriteFile(coreFilter, []byte("0"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) { // not Linux, or a kernel without cores
		faults = append(faults, fmt.Errorf("leave memory out of cores: %w", err))
	}
	return errors.Join(faults...)
}
