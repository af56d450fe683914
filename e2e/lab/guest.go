//go:build e2e

package lab

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Layers mounts a root file system of e2e/roots, with whatever is written to it in memory.
func Layers(t *testing.T, name string) (root string) {
	t.Helper()
	roots := os.Getenv("SMARTHOST_E2E_LAYERS")
	if roots == "" {
		t.Fatal("SMARTHOST_E2E_LAYERS does not name the root file systems of the clients; e2e/run makes them and sets it")
	}
	return Mount(t, filepath.Join(roots, name), filepath.Join(roots, "base"))
}

// A Guest is a root file system whose programs share the test program's network: less than a Host, and begun in a millisecond.
type Guest struct{ root string }

// NewGuest makes one of a folder that is a root file system. Names are asked of 127.0.0.1, and [Folder] is where it is outside.
func NewGuest(t *testing.T, root string) *Guest {
	t.Helper()
	populate(t, filepath.Join(root, "dev"))
	proc := filepath.Join(root, "proc")
	Check(t, syscall.Mount("proc", proc, "proc", 0, ""))
	t.Cleanup(func() { unmount(t, proc) })
	Bind(t, Folder(), filepath.Join(root, Folder()))
	Check(t, os.WriteFile(filepath.Join(root, "etc/resolv.conf"), []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644))
	return &Guest{root}
}

// Command is a program of the guest on a machine called client.test, not yet started, with these variables added to a clean environment.
func (g *Guest) Command(environment []string, args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `hostname client.test && exec "$@"`, "sh"}, args...)...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LOGNAME=root", "LC_ALL=C.UTF-8"}, environment...)
	cmd.Dir = "/root"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: g.root, Cloneflags: syscall.CLONE_NEWUTS}
	return cmd
}

// Exit runs a command to its end, and returns its exit code and all that it has said.
func Exit(t *testing.T, cmd *exec.Cmd) (code int, text string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal()), strings.TrimSpace(string(out)) // as a shell says it
		}
		return exit.ExitCode(), strings.TrimSpace(string(out))
	}
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	return 0, string(out)
}
