//go:build e2e

package peers

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	user     = "alice"
	hostname = "smarthost.test"
)

// A smarthost is the binary under test with its config, as an operator has it.
type smarthost struct {
	Submission, Submissions string // addresses
	Folder, Config, Data    string
	Password                string // generated, so that checking it is cheap: after each kill all clients log in anew
	CA                      *x509.CertPool
	Authority               *authority

	process *exec.Cmd
	ended   chan struct{} // closed when stderr is at its end
	mu      sync.Mutex
	log     bytes.Buffer
}

// newSmarthost writes the config and adds the account; extra is more config, beginning inside [forward].
func newSmarthost(t *testing.T, extra string) *smarthost {
	t.Helper()
	s := &smarthost{Submission: "127.0.0.1:5587", Submissions: "127.0.0.1:5465", Folder: t.TempDir(), Authority: newAuthority(t)}
	s.CA = s.Authority.pool
	s.Config, s.Data = filepath.Join(s.Folder, "smarthost.toml"), filepath.Join(s.Folder, "data")
	certificate, key := s.Authority.issue(t, s.Folder, hostname)
	check(t, os.WriteFile(s.Config, fmt.Appendf(nil, `hostname = %q
data = %q
[listen]
submission = [%q]
submissions = [%q]
per_address = 0
[tls]
certificate = %q
key = %q
[submission]
max_message_size = "100MiB"
[limits.default]
messages = "1000000/1h"
recipients = "1000000/1h"
bytes = "1000GiB/1h"
[forward]
%s
`, hostname, s.Data, s.Submission, s.Submissions, certificate, key, extra), 0o600))
	out, err := s.command("user", "add", user, "--sender", "*").CombinedOutput()
	_, after, found := strings.Cut(string(out), "password: ")
	if err != nil || !found {
		t.Fatalf("user add: %v\n%s", err, out)
	}
	s.Password = strings.Fields(after)[0]
	t.Cleanup(func() {
		if s.process != nil {
			s.kill()
		}
		if t.Failed() {
			text := s.Log()
			t.Logf("log of smarthost, its end:\n%s", text[max(0, len(text)-8000):])
		}
	})
	return s
}

func (s *smarthost) command(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(os.Getenv(inside), "smarthost"), append(args, "--config", s.Config)...)
}

// start returns when the server is ready.
func (s *smarthost) start(t *testing.T) {
	t.Helper()
	s.process, s.ended = s.command("serve"), make(chan struct{})
	stderr, err := s.process.StderrPipe()
	check(t, err)
	check(t, s.process.Start())
	ready := make(chan struct{})
	go func() {
		defer close(s.ended)
		lines := bufio.NewReader(stderr)
		isReady := false
		for {
			line, err := lines.ReadString('\n')
			s.mu.Lock()
			s.log.WriteString(line)
			s.mu.Unlock()
			if !isReady && strings.Contains(line, `"message":"ready"`) {
				isReady = true
				close(ready)
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case <-ready:
	case <-s.ended:
		err := s.process.Wait()
		s.process = nil
		t.Fatalf("smarthost serve ended before it was ready: %v\n%s", err, s.Log())
	case <-time.After(30 * time.Second):
		t.Fatal("smarthost serve is not ready after 30 s")
	}
}

// kill is kill -9.
func (s *smarthost) kill() {
	s.process.Process.Kill()
	<-s.ended
	s.process.Wait()
	s.process = nil
}

// stop is SIGTERM; the process has to end with exit code 0 within the limit.
func (s *smarthost) stop(t *testing.T, limit time.Duration) {
	t.Helper()
	check(t, s.process.Process.Signal(syscall.SIGTERM))
	select {
	case <-s.ended:
	case <-time.After(limit):
		t.Fatalf("still running %v after SIGTERM", limit)
	}
	err := s.process.Wait()
	s.process = nil
	if err != nil {
		t.Fatalf("after SIGTERM: %v", err)
	}
}

// Log is what the process has said since newSmarthost.
func (s *smarthost) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// memory is a field of /proc/PID/status, in KiB.
func (s *smarthost) memory(t *testing.T, field string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	check(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			check(t, err)
			return n
		}
	}
	t.Fatalf("no %s in /proc/PID/status", field)
	return 0
}

// await asks until it is so; other programs' folders cannot be waited for in a better way.
func await(t *testing.T, what string, limit time.Duration, so func() bool) {
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
