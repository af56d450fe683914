//go:build e2e

package lab

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// moveIn makes the machine's root file system the one of its mount namespace: what runs in a mere chroot gets no user namespaces.
const moveIn = `cd "$1"; mount --move . /; exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 sh -ec "$2"`

// startup makes what systemd needs, and keeps it from the real machine: its kernel's settings, modules and clock.
const startup = `
	mount --make-rshared /
	mount -t proc proc /proc
	mount --bind /proc/sys /proc/sys
	mount -o remount,bind,ro /proc/sys
	mount -t sysfs -o ro sysfs /sys
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mkdir /dev/pts
	mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts
	ln -s pts/ptmx /dev/ptmx
	mknod -m 666 /dev/tty c 5 0
	echo ready
	exec setpriv --bounding-set=-sys_module,-sys_rawio,-sys_time,-syslog env container=lab /lib/systemd/systemd --unit=basic.target >/dev/null`

// Boot starts the machine's systemd, as the first process of process and control group namespaces of its own. From then on
// the machine's commands run beside it.
func (h *Host) Boot(t *testing.T) {
	t.Helper()
	group := controlGroup(t)
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(h.holder), "--net", "--mount", "--uts", "--pid", "--",
		"unshare", "--mount", "--propagation", "private", "--pid", "--ipc", "--cgroup", "--fork", "sh", "-ec", moveIn, "sh", h.Root, startup)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	out, err := cmd.StdoutPipe()
	Check(t, err)
	Check(t, cmd.Start())
	before := h.holder
	t.Cleanup(func() {
		h.holder = before
		Check(t, os.WriteFile(filepath.Join(group.Name(), "cgroup.kill"), []byte("1"), 0))
		cmd.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("start systemd: %v", err)
	}
	h.holder = child(t, child(t, cmd.Process.Pid)) // nsenter's is unshare
	Await(t, "systemd", time.Minute, func() bool { return h.Command("systemctl", "is-active", "basic.target").Run() == nil })
}

// controlGroup makes a control group, which ends with the test.
func controlGroup(t *testing.T) *os.File {
	t.Helper()
	root := t.TempDir()
	Check(t, syscall.Mount("cgroup2", root, "cgroup2", 0, ""))
	t.Cleanup(func() { unmount(t, root) })
	folder, err := os.MkdirTemp(root, "smarthost-e2e-")
	Check(t, err)
	t.Cleanup(func() {
		Await(t, "the control group to be empty", time.Minute, func() bool { return removeGroup(folder) == nil })
	})
	group, err := os.Open(folder)
	Check(t, err)
	t.Cleanup(func() { group.Close() })
	return group
}

// removeGroup removes a control group, those inside it first.
func removeGroup(folder string) error {
	inner, err := os.ReadDir(folder)
	for _, f := range inner {
		if f.IsDir() {
			err = errors.Join(err, removeGroup(filepath.Join(folder, f.Name())))
		}
	}
	return errors.Join(err, os.Remove(folder))
}
