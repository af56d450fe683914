//go:build e2e

package lab

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Host is a machine: a network namespace of its own, and with a root file system also mount and process namespaces.
// A nil *Host is the test program's own place.
type Host struct {
	Root string // its root file system; "" is the test program's

	holder int // the process that keeps the namespaces
	mu     sync.Mutex
	log    bytes.Buffer
}

// NewHost makes a machine with loopback up. root is "", or a folder that is a root file system.
func NewHost(t *testing.T, root string) *Host {
	t.Helper()
	// The holder writes a line when all is set up, and ends with its standard input at the latest.
	script := "ip link set lo up && echo ready && exec cat"
	args := []string{"sh", "-c", script}
	if root != "" {
		populate(t, filepath.Join(root, "dev"))
		args = []string{"sh", "-c", "ip link set lo up && exec unshare --mount --uts --pid --fork --kill-child --root=" + root +
			" --mount-proc=/proc sh -c 'hostname laptop; echo ready; exec cat'"}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	Check(t, err)
	out, err := cmd.StdoutPipe()
	Check(t, err)
	Check(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	ready := make([]byte, len("ready\n"))
	if _, err := out.Read(ready); err != nil || string(ready) != "ready\n" {
		t.Fatalf("make a machine: %v: %q %s", err, ready, said.String())
	}
	h := &Host{Root: root, holder: cmd.Process.Pid}
	if root != "" {
		h.holder = child(t, cmd.Process.Pid)
		h.keepLog(t)
	}
	return h
}

// NetworkOf is the network of a process that runs already, such as a container's, as a machine. It lasts as long as the process.
func NetworkOf(pid int) *Host { return &Host{holder: pid} }

// populate makes the devices that programs expect, and none of the real machine's.
func populate(t *testing.T, dev string) {
	t.Helper()
	Check(t, syscall.Mount("tmpfs", dev, "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { unmount(t, dev) })
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		Check(t, unix.Mknod(filepath.Join(dev, name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))))
		Check(t, os.Chmod(filepath.Join(dev, name), 0o666))
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		Check(t, os.Symlink(target, filepath.Join(dev, name)))
	}
	Check(t, os.Mkdir(filepath.Join(dev, "shm"), 0o1777))
}

// keepLog takes what the machine's programs say to syslog.
func (h *Host) keepLog(t *testing.T) {
	t.Helper()
	path := filepath.Join(h.Root, "dev/log")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	Check(t, err)
	Check(t, os.Chmod(path, 0o666))
	done := make(chan struct{})
	go func() {
		defer close(done)
		line := make([]byte, 64<<10)
		for {
			n, err := c.Read(line)
			if err != nil {
				return
			}
			h.mu.Lock()
			h.log.Write(append(bytes.TrimRight(line[:n], "\x00\n"), '\n'))
			h.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
}

// Log is what the machine's syslog was told.
func (h *Host) Log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.String()
}

// child is the only child of a process.
func child(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	Check(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	Check(t, err)
	return n
}

// Command is a program on the machine, not yet started. In a root of its own it begins with a clean environment.
func (h *Host) Command(args ...string) *exec.Cmd {
	if h == nil {
		return exec.Command(args[0], args[1:]...)
	}
	enter := []string{"--target", strconv.Itoa(h.holder), "--net"}
	if h.Root != "" {
		enter = append(enter, "--mount", "--uts", "--pid", "--root", "--wd")
		args = append([]string{"/usr/bin/env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"HOME=/root", "USER=root", "LOGNAME=root", "LC_ALL=C.UTF-8"}, args...)
	}
	return exec.Command("nsenter", append(append(enter, "--"), args...)...)
}

// Do runs a command to its end and fails the test if it fails.
func (h *Host) Do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := h.Command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// In runs f in the machine's network: the sockets that f itself makes are the machine's.
func (h *Host) In(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	back, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	Check(t, err)
	defer back.Close()
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", h.holder))
	Check(t, err)
	defer there.Close()
	Check(t, unix.Setns(int(there.Fd()), unix.CLONE_NEWNET))
	defer func() {
		if err := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // this thread must not go on with somebody else's work
		}
	}()
	f()
}

// Connect lays a cable between two machines; each end has the addresses given, with their prefix lengths.
func Connect(t *testing.T, a *Host, addressesA []string, b *Host, addressesB []string) {
	t.Helper()
	Command(t, "ip", "link", "add", "eth0", "netns", strconv.Itoa(a.holder), "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(b.holder))
	for _, end := range []struct {
		host      *Host
		addresses []string
	}{{a, addressesA}, {b, addressesB}} {
		for _, address := range end.addresses {
			line := []string{"ip", "address", "add", address, "dev", "eth0"}
			if strings.Contains(address, ":") {
				line = append(line, "nodad")
			}
			end.host.outside(t, line...)
		}
		end.host.outside(t, "ip", "link", "set", "eth0", "up")
	}
}

// outside runs a program of the test program's root in the machine's network, so that the machine need not have it.
func (h *Host) outside(t *testing.T, args ...string) {
	t.Helper()
	Command(t, "nsenter", append([]string{"--target", strconv.Itoa(h.holder), "--net", "--"}, args...)...)
}

// Firewall replaces the machine's nftables rules, which have a table of their own; "" takes all of them away.
func (h *Host) Firewall(t *testing.T, chains string) {
	t.Helper()
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(h.holder), "--net", "--", "nft", "-f", "-")
	cmd.Stdin = strings.NewReader("flush ruleset\ntable inet trouble {\n" + chains + "\n}\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s\n%s", err, out, chains)
	}
}

// dropped is a counter in nft's listing that is not at zero, unread a connection in that of ss whose program has not read everything.
var (
	dropped = regexp.MustCompile(`packets [1-9]`)
	unread  = regexp.MustCompile(`(?m)^[1-9]`)
)

// AwaitDrop returns when a rule with a counter has met a packet, and the machine's programs have read all that came before it:
// what they leave unread decides whether their end is a reset to the other side.
func (h *Host) AwaitDrop(limit time.Duration) error {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		enter := []string{"--target", strconv.Itoa(h.holder), "--net", "--"}
		rules, err := exec.Command("nsenter", append(enter, "nft", "list", "ruleset")...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("list the rules: %w: %s", err, rules)
		}
		connections, err := exec.Command("nsenter", append(enter, "ss", "-Htn", "state", "established")...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("list the connections: %w: %s", err, connections)
		}
		if dropped.Match(rules) && !unread.Match(connections) {
			return nil
		}
	}
	return fmt.Errorf("no packet was dropped within %v", limit)
}

// Cut ends the machine's TCP connections to a port, as a network that comes back with another address does: the machine's
// programs are told, the other side is not.
func (h *Host) Cut(port string) error {
	out, err := exec.Command("nsenter", "--target", strconv.Itoa(h.holder), "--net", "--", "ss", "-K", "dport", "=", ":"+port).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cut the connections to port %s: %w: %s", port, err, out)
	}
	return nil
}

// Sysctl sets kernel parameters of the machine's network: "net.ipv4.tcp_syn_retries=1".
func (h *Host) Sysctl(t *testing.T, settings ...string) {
	t.Helper()
	h.outside(t, append([]string{"sysctl", "-q", "-w"}, settings...)...)
}

// Write writes a file of the machine's root file system.
func (h *Host) Write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	path = filepath.Join(h.Root, path)
	Check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	Check(t, os.WriteFile(path, []byte(content), mode))
	Check(t, os.Chmod(path, mode))
}

// Mount makes a root file system: the read-only layers, the upper ones first, and whatever is written on top of them in memory.
func Mount(t *testing.T, layers ...string) (root string) {
	t.Helper()
	folder, err := os.MkdirTemp(Folder(), "root-")
	Check(t, err)
	Check(t, os.Chmod(folder, 0o755))
	Check(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { unmount(t, folder) })
	root = filepath.Join(folder, "root")
	for _, d := range []string{root, filepath.Join(folder, "upper"), filepath.Join(folder, "work")} {
		Check(t, os.Mkdir(d, 0o755))
	}
	Check(t, syscall.Mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%[2]s/work", strings.Join(layers, ":"), folder)))
	t.Cleanup(func() { unmount(t, root) })
	return root
}

// Bind shows a folder in a root file system that no machine has yet.
func Bind(t *testing.T, folder, at string) {
	t.Helper()
	Check(t, os.MkdirAll(at, 0o755))
	Check(t, syscall.Mount(folder, at, "", syscall.MS_BIND, ""))
	t.Cleanup(func() { unmount(t, at) })
}

// unmount waits for the last process of a machine to be gone.
func unmount(t *testing.T, path string) {
	for range 100 {
		if syscall.Unmount(path, 0) == nil {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
		t.Errorf("unmount %s: %v", path, err)
	}
}
