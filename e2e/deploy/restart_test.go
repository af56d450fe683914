//go:build e2e

package deploy

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const toSink = `relay = "smtp://127.0.0.1:2525?tls=none"`

// An upgrade without a supervisor: the binary is exchanged, and the process goes on as the new one.
func TestHandOver(t *testing.T) {
	upstream := lab.StartSink(t, "127.0.0.1:2525", false)
	s := lab.NewSmarthost(t, toSink)
	s.Start(t)
	l := &load{server: s, dial: func() (net.Conn, error) { return net.Dial("tcp", s.Submission) }}
	l.start()
	for range restarts {
		replace(t, lab.Binary())
		before := strings.Count(s.Log(), `"message":"ready"`)
		s.Signal(t, syscall.SIGUSR2)
		lab.Await(t, "the next program", patience, func() bool { return strings.Count(s.Log(), `"message":"ready"`) > before })
	}
	l.end(t, upstream)
	if strings.Contains(s.Log(), "cannot take over") {
		t.Error("a program did not take over")
	}
	s.Stop(t, patience)
}

// replace puts a copy in the place of a program that may be running.
func replace(t *testing.T, program string) {
	t.Helper()
	text, err := os.ReadFile(program)
	lab.Check(t, err)
	lab.Check(t, os.WriteFile(program+".new", text, 0o755))
	lab.Check(t, os.Rename(program+".new", program))
}

// What systemd does, without it: a parent opens the sockets, starts the server, hears from it when it is ready, ends it, and
// starts it again.
func TestRestartsWithPassedSockets(t *testing.T) {
	upstream := lab.StartSink(t, "127.0.0.1:2525", false)
	s := lab.NewSmarthost(t, toSink)
	p := newParent(t, s)
	p.begin(t)
	l := &load{server: s, dial: func() (net.Conn, error) { return net.Dial("tcp", s.Submission) }}
	l.start()
	for range restarts {
		p.end(t)
		p.begin(t)
	}
	l.end(t, upstream)
	p.end(t)
	if !strings.Contains(p.log(t), `"address":"`+s.Submissions+`","implicit_tls":true`) {
		t.Error("the second socket was not taken by its name")
	}
}

// A parent holds the sockets of a server.
type parent struct {
	server  *lab.Smarthost
	sockets []*os.File
	news    *net.UnixConn // what systemd is told
	process *exec.Cmd
}

func newParent(t *testing.T, s *lab.Smarthost) *parent {
	t.Helper()
	p := &parent{server: s}
	for _, address := range []string{s.Submissions, s.Submission} { // not in the order of the config: names count
		l, err := net.Listen("tcp", address)
		lab.Check(t, err)
		f, err := l.(*net.TCPListener).File()
		lab.Check(t, err)
		lab.Check(t, l.Close())
		t.Cleanup(func() { f.Close() })
		p.sockets = append(p.sockets, f)
	}
	var err error
	p.news, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p.path("notify"), Net: "unixgram"})
	lab.Check(t, err)
	t.Cleanup(func() { p.news.Close() })
	return p
}

func (p *parent) path(name string) string { return filepath.Join(p.server.Folder, name) }

// begin returns when the server is ready.
func (p *parent) begin(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(p.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	lab.Check(t, err)
	defer log.Close()
	p.process = exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", lab.Binary(), "serve", "--config", p.server.Config)
	p.process.Env = append(os.Environ(), "LISTEN_FDS=2", "LISTEN_FDNAMES=submissions:submission", "NOTIFY_SOCKET="+p.path("notify"))
	p.process.ExtraFiles, p.process.Stderr = p.sockets, log
	lab.Check(t, p.process.Start())
	t.Cleanup(func() { p.process.Process.Kill() })
	p.hear(t, "READY=1")
}

// end ends the server in order.
func (p *parent) end(t *testing.T) {
	t.Helper()
	lab.Check(t, p.process.Process.Signal(syscall.SIGTERM))
	p.hear(t, "STOPPING=1")
	if err := p.process.Wait(); err != nil {
		t.Fatalf("after SIGTERM: %v\n%s", err, p.log(t))
	}
}

func (p *parent) hear(t *testing.T, want string) {
	t.Helper()
	lab.Check(t, p.news.SetReadDeadline(time.Now().Add(patience)))
	line := make([]byte, 1000)
	n, err := p.news.Read(line)
	if err != nil || string(line[:n]) != want {
		t.Fatalf("systemd is told %q (%v), want %q\n%s", line[:n], err, want, p.log(t))
	}
}

func (p *parent) log(t *testing.T) string {
	text, err := os.ReadFile(p.path("log"))
	lab.Check(t, err)
	return string(text)
}
