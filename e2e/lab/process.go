//go:build e2e

package lab

import (
	"bytes"
	"errors"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Check ends the test on an error.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Await asks until it is so; other programs' folders cannot be waited for in a better way.
func Await(t *testing.T, what string, limit time.Duration, so func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// Run starts a program that stays, and ends it in order when the test does.
func Run(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	Check(t, cmd.Start())
	t.Cleanup(func() {
		// All of them: a server process that outlives its master holds the port's socket and takes the next test's mail.
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		if err := cmd.Wait(); errors.Is(err, exec.ErrWaitDelay) {
			t.Errorf("%s left processes behind", name)
		}
		if t.Failed() && said.Len() > 0 {
			t.Logf("%s: %s", name, said.String())
		}
	})
}

// Command runs a program to its end.
func Command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// AwaitPort returns when somebody listens on a TCP address.
func AwaitPort(t *testing.T, address string) {
	t.Helper()
	Await(t, "a server on "+address, 30*time.Second, func() bool {
		c, err := net.Dial("tcp", address)
		return err == nil && c.Close() == nil
	})
}
