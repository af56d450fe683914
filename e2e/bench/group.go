package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// group is a control group of its own for the processes of one server: it counts their processor time to the nanosecond,
// ended processes included, where /proc counts ticks.
type group struct {
	path string
	read func(path string) (time.Duration, error)
}

// newGroup makes a group under the first hierarchy that counts processor time.
func newGroup(name string) (*group, error) {
	name = fmt.Sprintf("bench-%s-%d", name, os.Getpid())
	var faults []error
	for _, h := range []struct {
		root, probe string
		read        func(string) (time.Duration, error)
	}{
		{"/sys/fs/cgroup", "cpu.stat", readV2},
		{"/sys/fs/cgroup/cpuacct", "cpuacct.usage", readV1},
	} {
		g := &group{filepath.Join(h.root, name), h.read}
		if err := os.Mkdir(g.path, 0o755); err != nil {
			faults = append(faults, err)
			continue
		}
		_, err := os.Stat(filepath.Join(g.path, h.probe))
		if err == nil {
			return g, nil
		}
		faults = append(faults, err, os.Remove(g.path))
	}
	return nil, fmt.Errorf("no control group counts processor time: %w", errors.Join(faults...))
}

// command is a command that joins the group before it runs, so that whatever it starts is in it too.
func (g *group) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("sh", append([]string{"-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(g.path, "cgroup.procs"), name}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// remove takes the group away, and ends whatever is still in it.
func (g *group) remove() error {
	for range 100 {
		err := os.Remove(g.path)
		if !errors.Is(err, syscall.EBUSY) {
			return err
		}
		text, _ := os.ReadFile(filepath.Join(g.path, "cgroup.procs"))
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				syscall.Kill(pid, syscall.SIGTERM)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s still has processes", g.path)
}

// cpu is the processor time of the group so far.
func (g *group) cpu() (time.Duration, error) { return g.read(g.path) }

func readV1(path string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(path, "cpuacct.usage"))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return time.Duration(n), err
}

func readV2(path string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(path, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("%s/cpu.stat has no usage_usec", path)
}

// rss is the memory of the group; pages that processes share are counted for each.
func (g *group) rss() int64 {
	text, err := os.ReadFile(filepath.Join(g.path, "cgroup.procs"))
	if err != nil {
		return 0
	}
	var pages int64
	for _, pid := range strings.Fields(string(text)) {
		statm, err := os.ReadFile(filepath.Join("/proc", pid, "statm"))
		if f := strings.Fields(string(statm)); err == nil && len(f) > 1 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			pages += n
		}
	}
	return pages * int64(os.Getpagesize())
}
