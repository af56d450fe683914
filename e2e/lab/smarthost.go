//go:build e2e

package lab

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	User     = "alice"          // the account that Install makes
	Hostname = "smarthost.test" // the server's name, and its certificate's
)

// A Smarthost is the binary under test with its config, as an operator has it.
type Smarthost struct {
	Submission, Submissions string // addresses on which a client of the test's own network namespace finds it
	Folder, Config, Data    string
	Password                string // generated, so that checking it is cheap: after each kill all clients log in anew
	CA                      *x509.CertPool
	Authority               *Authority
	Under                   []string // what Start starts the server by: a program that becomes the server, and its arguments; usually none

	host    *Host
	process *exec.Cmd
	ended   chan struct{} // closed when stderr is at its end
	mu      sync.Mutex
	log     bytes.Buffer
	said    *sync.Cond // something was added to log
}

// Options are what a test wants to be different.
type Options struct {
	Host       *Host      // where it runs; nil: beside the test program, on ports of 127.0.0.1
	Authority  *Authority // nil: one of its own
	Submission string     // config text inside [submission]
	Forward    string     // config text that begins inside [forward]
}

// NewSmarthost is Install with nothing but config text that begins inside [forward].
func NewSmarthost(t *testing.T, forward string) *Smarthost {
	t.Helper()
	return Install(t, Options{Forward: forward})
}

// Install writes the config and adds the account User, who may send as anybody. Start starts it.
func Install(t *testing.T, o Options) *Smarthost {
	t.Helper()
	s := &Smarthost{Submission: "127.0.0.1:5587", Submissions: "127.0.0.1:5465", Folder: t.TempDir(), Authority: o.Authority, host: o.Host}
	s.said = sync.NewCond(&s.mu)
	if s.host != nil {
		s.Submission, s.Submissions = ":587", ":465"
	}
	if s.Authority == nil {
		s.Authority = NewAuthority(t)
	}
	s.CA = s.Authority.Pool
	s.Config, s.Data = filepath.Join(s.Folder, "smarthost.toml"), filepath.Join(s.Folder, "data")
	certificate, key := s.Authority.Issue(t, s.Folder, Hostname)
	Check(t, os.WriteFile(s.Config, fmt.Appendf(nil, `hostname = %q
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
%s
[limits.default]
messages = "1000000/1h"
recipients = "1000000/1h"
bytes = "1000GiB/1h"
[forward]
%s
`, Hostname, s.Data, s.Submission, s.Submissions, certificate, key, o.Submission, o.Forward), 0o600))
	out, err := s.Command("user", "add", User, "--sender", "*").CombinedOutput()
	_, after, found := strings.Cut(string(out), "password: ")
	if err != nil || !found {
		t.Fatalf("user add: %v\n%s", err, out)
	}
	s.Password = strings.Fields(after)[0]
	t.Cleanup(func() {
		if s.process != nil {
			s.Kill()
		}
		if t.Failed() {
			text := s.Log()
			t.Logf("log of smarthost, its end:\n%s", text[max(0, len(text)-8000):])
		}
	})
	return s
}

// Command is a subcommand with the config, not yet started.
func (s *Smarthost) Command(args ...string) *exec.Cmd {
	return s.host.Command(s.line(args...)...)
}

// Token is a new token for everything at the API.
func (s *Smarthost) Token(t *testing.T) string {
	t.Helper()
	out, err := s.Command("token", "add", "one", "--scope", "all").CombinedOutput()
	Check(t, err)
	for word := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(word, "smarthost-") {
			return word
		}
	}
	t.Fatalf("no token: %s", out)
	return ""
}

func (s *Smarthost) line(args ...string) []string {
	return append(append([]string{Binary()}, args...), "--config", s.Config)
}

// Start returns when the server is ready.
func (s *Smarthost) Start(t *testing.T) {
	t.Helper()
	s.process, s.ended = s.host.Command(slices.Concat(s.Under, s.line("serve"))...), make(chan struct{})
	stderr, err := s.process.StderrPipe()
	Check(t, err)
	Check(t, s.process.Start())
	ready := make(chan struct{})
	go func() {
		defer close(s.ended)
		lines := bufio.NewReader(stderr)
		isReady := false
		for {
			line, err := lines.ReadString('\n')
			s.mu.Lock()
			s.log.WriteString(line)
			s.said.Broadcast()
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

// Kill is kill -9.
func (s *Smarthost) Kill() {
	s.process.Process.Kill()
	<-s.ended
	s.process.Wait()
	s.process = nil
}

// PID is that of the running process.
func (s *Smarthost) PID() int { return s.process.Process.Pid }

// Crash sends a signal that ends the process otherwise than in order, and returns when its core, if there is one, is written.
func (s *Smarthost) Crash(t *testing.T, signal syscall.Signal, limit time.Duration) {
	t.Helper()
	s.Signal(t, signal)
	select {
	case <-s.ended:
	case <-time.After(limit):
		t.Fatalf("still running %v after %v", limit, signal)
	}
	err := s.process.Wait()
	s.process = nil
	if err == nil {
		t.Fatalf("%v ended the process in order", signal)
	}
}

// Signal sends a signal to the running process.
func (s *Smarthost) Signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	Check(t, s.process.Process.Signal(signal))
}

// Stop is SIGTERM; the process has to end with exit code 0 within the limit.
func (s *Smarthost) Stop(t *testing.T, limit time.Duration) {
	t.Helper()
	s.Signal(t, syscall.SIGTERM)
	s.End(t, limit)
}

// End returns when the process, which was sent SIGTERM, has ended; it has to with exit code 0 within the limit.
func (s *Smarthost) End(t *testing.T, limit time.Duration) {
	t.Helper()
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

// Log is what the process has said since Install.
func (s *Smarthost) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// AwaitLog returns when the log holds a text, or says that it does not within the limit.
func (s *Smarthost) AwaitLog(text string, limit time.Duration) error {
	over := false
	defer time.AfterFunc(limit, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		over = true
		s.said.Broadcast()
	}).Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !bytes.Contains(s.log.Bytes(), []byte(text)) {
		if over {
			return fmt.Errorf("the server has not logged %s within %v", text, limit)
		}
		s.said.Wait()
	}
	return nil
}

// Reload returns when the server has read its files again.
func (s *Smarthost) Reload(t *testing.T) {
	t.Helper()
	const done = `"message":"reloaded"`
	before := strings.Count(s.Log(), done)
	s.Signal(t, syscall.SIGHUP)
	Await(t, "a reload", 10*time.Second, func() bool { return strings.Count(s.Log(), done) > before })
}

// Memory is a field of /proc/PID/status, in KiB.
func (s *Smarthost) Memory(t *testing.T, field string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	Check(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			Check(t, err)
			return n
		}
	}
	t.Fatalf("no %s in /proc/PID/status", field)
	return 0
}
