//go:build e2e

package lab

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// inside is set for the test program once it is in its namespaces; it names the folder with the binary under test.
const inside = "SMARTHOST_E2E_INSIDE"

// Main is the TestMain of a package: it builds the binary, then runs the tests in namespaces of their own. When the test
// program ends, the kernel ends all that it has started.
func Main(m *testing.M) {
	if os.Getenv(inside) != "" {
		if err := enter(os.Getenv(inside)); err != nil {
			fmt.Fprintln(os.Stderr, "enter the namespaces:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	code, err := outside()
	if err != nil {
		fmt.Fprintln(os.Stderr, "end-to-end tests need root on Debian (e2e/run):", err)
		code = 1
	}
	os.Exit(code)
}

// MainAtOnce is Main for parallel tests that wait far more than they work, so that how many run at a time is not the number of processors.
// The flag -parallel still has the last word.
func MainAtOnce(m *testing.M, atOnce int) {
	if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	Main(m)
}

func outside() (int, error) {
	folder, err := os.MkdirTemp("/var/tmp", "smarthost-e2e-") // a disk: syncing has to cost what it costs
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(folder)
	if err := os.Chmod(folder, 0o755); err != nil { // Postfix' own users have to get in
		return 1, err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(folder, "smarthost"), "github.com/seed-1397b510/smarthost/cmd/smarthost")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build: %w\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	tests := exec.Command(self, os.Args[1:]...)
	tests.Env = append(os.Environ(), inside+"="+folder, "TMPDIR="+folder)
	tests.Stdin, tests.Stdout, tests.Stderr = os.Stdin, os.Stdout, os.Stderr
	tests.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	err = tests.Run()
	if exit, ok := err.(*exec.ExitError); ok {
		return max(1, exit.ExitCode()), nil
	}
	return 0, err
}

// Folder is where a test program may keep what programs under other users have to reach; it goes when the tests end.
func Folder() string { return os.Getenv(inside) }

// Binary is the program under test.
func Binary() string { return filepath.Join(Folder(), "smarthost") }

// enter makes the namespaces fit to live in: loopback is up, /proc shows their processes, and names are asked of the test's DNS server.
func enter(folder string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	resolv := filepath.Join(folder, "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		return err
	}
	if err := syscall.Mount(resolv, "/etc/resolv.conf", "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount /etc/resolv.conf: %w", err)
	}
	for _, line := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=32768 60999", "net.core.somaxconn=4096"},
	} {
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", line, err, out)
		}
	}
	return nil
}
