//go:build e2e

package core

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

const (
	relayPassword = "kept-from-cores-relay"
	hookSecret    = "a2VwdC1mcm9tLWNvcmVzLXdlYmhvb2stc2VjcmV0" // base64
	content       = "kept-from-cores-content"
)

// A crash leaves no secret behind where cores are piped to a program, which no limit prevents: neither in the core nor in what the runtime
// prints. The same crash of a process whose memory is to be in cores has all of them there.
func TestCrash(t *testing.T) {
	cores := t.TempDir()
	set(t, "core_pipe_limit", "4") // a process ends when its core is taken
	set(t, "core_pattern", "|/bin/cp /dev/stdin "+filepath.Join(cores, "core.%e"))
	t.Setenv("GOTRACEBACK", "crash")
	s := lab.Install(t, lab.Options{Forward: fmt.Sprintf("relay = \"smtps://carol:%s@127.0.0.1:9\"\n[webhooks.one]\nurl = \"https://127.0.0.1:9/\"\nprivate = true\nsecret = \"whsec_%s\"\n", relayPassword, hookSecret)})
	token := s.Token(t)
	secrets := map[string]string{"relay's password": relayPassword, "webhook's secret": hookSecret, "content": content, "user's password": s.Password, "token": token}
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		bare   bool // as if nothing kept memory out of cores
	}{{"abort", syscall.SIGABRT, false}, {"fault", syscall.SIGSEGV, false}, {"without protection", syscall.SIGABRT, true}} {
		t.Run(c.name, func(t *testing.T) {
			s.Start(t)
			use(t, s, token)
			var was unix.Rlimit
			lab.Check(t, unix.Prlimit(s.PID(), unix.RLIMIT_CORE, nil, &was))
			if was != (unix.Rlimit{}) {
				t.Errorf("the limit of cores is %+v", was)
			}
			if c.bare {
				lab.Check(t, os.WriteFile(fmt.Sprintf("/proc/%d/coredump_filter", s.PID()), []byte("0x33"), 0))
			}
			s.Crash(t, c.signal, time.Minute)
			core := takeCore(t, cores)
			for name, secret := range secrets {
				if found := bytes.Contains(core, []byte(secret)); found != c.bare {
					t.Errorf("the %s is in the core of %d octets: %v, want %v", name, len(core), found, c.bare)
				}
				if strings.Contains(s.Log(), secret) {
					t.Errorf("the %s is in the log", name)
				}
			}
		})
	}
	if !strings.Contains(s.Log(), "goroutine 1 ") {
		t.Error("the log holds no stacks, which were to be looked through")
	}
}

// set changes a setting of the kernel until the test ends.
func set(t *testing.T, name, value string) {
	file := filepath.Join("/proc/sys/kernel", name)
	before, err := os.ReadFile(file)
	lab.Check(t, err)
	t.Cleanup(func() {
		if err := os.WriteFile(file, before, 0); err != nil {
			t.Errorf("%s was %q: %v", file, before, err)
		}
	})
	lab.Check(t, os.WriteFile(file, []byte(value), 0))
}

// use has every secret in the server's memory.
func use(t *testing.T, s *lab.Smarthost, token string) {
	d, err := s.Dial()
	lab.Check(t, err)
	t.Cleanup(func() { d.Close() })
	_, err = d.Send("alice@example.org", "bob@example.org", "", []byte("Subject: "+content+"\r\n\r\n"+content+"\r\n"), "250")
	lab.Check(t, err)
	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:8587/api/v1/status", nil)
	lab.Check(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	lab.Check(t, err)
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s %v", answer.Status, text, err)
	}
}

// takeCore reads the core that was written, and removes it.
func takeCore(t *testing.T, folder string) []byte {
	files, err := filepath.Glob(filepath.Join(folder, "core.smarthost"))
	lab.Check(t, err)
	if len(files) != 1 {
		t.Fatalf("%d cores were written, and one was to be looked through", len(files))
	}
	core, err := os.ReadFile(files[0])
	lab.Check(t, err)
	lab.Check(t, os.Remove(files[0]))
	return core
}
