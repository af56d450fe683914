// Package e2e runs the real binary. The scripts in testdata/script need nothing but Go; what needs Debian's programs and
// root is in peers, behind the build tag e2e: bash e2e/run.
package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite"
)

func TestScripts(t *testing.T) {
	folder := t.TempDir()
	build := exec.Command("go", "build", "-o", folder, "../cmd/smarthost")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", folder+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Values[runningKey{}] = map[string]*running{}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GOCACHE", strings.TrimSpace(string(cache)))
			env.Setenv("SMARTHOST_DATA", filepath.Join(env.WorkDir, "data"))
			for _, name := range []string{"SMARTHOST_LISTEN_SUBMISSION", "SMARTHOST_LISTEN_SUBMISSIONS", "SMARTHOST_LISTEN_ADMIN", "RELAY"} {
				addr, err := freeAddr()
				if err != nil {
					return err
				}
				env.Setenv(name, addr)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":  ready,
			"submit": submit,
			"sink":   sink,
			"start":  start,
			"halt":   halt,
			"reload": reload,
			"logged": logged,
			"signal": signal,
			"get":    get,

			"handover": handover,
			"format":   format,
			"hangups":  hangups,
		},
	})
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

const patience = 20 * time.Second

// ready ADDR waits until a server greets there.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: ready ADDR")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		c, err := net.DialTimeout("tcp", args[0], time.Second)
		if err != nil {
			continue
		}
		c.SetDeadline(time.Now().Add(time.Second))
		line, err := bufio.NewReader(c).ReadString('\n')
		c.Close()
		if err == nil && strings.HasPrefix(line, "220 ") {
			return
		}
	}
	ts.Fatalf("nothing greets at %s within %s", args[0], patience)
}

// submit ADDR CA USER PASSWORD FROM TO sends a message by STARTTLS and prints the replies; with ! one of them is a refusal.
func submit(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 6 {
		ts.Fatalf("usage: submit ADDR CA USER PASSWORD FROM TO")
	}
	replies, err := converse(args[0], ts.ReadFile(args[1]), args[2], args[3], args[4], args[5])
	fmt.Fprint(ts.Stdout(), replies)
	switch {
	case err == nil && neg:
		ts.Fatalf("the message was taken:\n%s", replies)
	case err != nil && !neg:
		ts.Fatalf("%v:\n%s", err, replies)
	}
}

func converse(addr, ca, user, password, from, to string) (replies string, err error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	var log strings.Builder
	in := bufio.NewReader(conn)
	say := func(line, code string) error {
		if _, err := conn.Write([]byte(line)); err != nil {
			return err
		}
		for {
			reply, err := in.ReadString('\n')
			if err != nil {
				return err
			}
			log.WriteString(reply)
			if !strings.HasPrefix(reply, code) {
				return fmt.Errorf("got %q, want %s", reply, code)
			}
			if reply[3] == ' ' {
				return nil
			}
		}
	}
	login := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	for _, step := range []struct{ line, code string }{
		{"", "220"}, {"EHLO script\r\n", "250"}, {"STARTTLS\r\n", "220"}, {"TLS", ""}, {"EHLO script\r\n", "250"},
		{"AUTH PLAIN " + login + "\r\n", "235"}, {"MAIL FROM:<" + from + ">\r\n", "250"}, {"RCPT TO:<" + to + ">\r\n", "250"},
		{"DATA\r\n", "354"}, {"Subject: script\r\nMessage-ID: <1@script>\r\n\r\nbody\r\n.\r\n", "250"}, {"QUIT\r\n", "221"},
	} {
		if step.line == "TLS" {
			conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "localhost"})
			in = bufio.NewReader(conn)
			continue
		}
		if err := say(step.line, step.code); err != nil {
			return log.String(), err
		}
	}
	return log.String(), nil
}

// A running is the server of a script.
type running struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and was waited for
}

type runningKey struct{}

// start FILE ARGS… runs smarthost with ARGS in the background, its output in FILE.out and FILE.err, until halt or the script's end.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: start FILE ARGS...")
	}
	path, err := exec.LookPath(filepath.Join(strings.SplitN(ts.Getenv("PATH"), string(os.PathListSeparator), 2)[0], "smarthost"))
	ts.Check(err)
	r := &running{cmd: exec.Command(path, args[1:]...), done: make(chan struct{})}
	out, err := os.Create(ts.MkAbs(args[0] + ".out"))
	ts.Check(err)
	log, err := os.Create(ts.MkAbs(args[0] + ".err"))
	ts.Check(err)
	r.cmd.Stdout, r.cmd.Stderr, r.cmd.Dir = out, log, ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "SMARTHOST_DATA", "SMARTHOST_LISTEN_SUBMISSION", "SMARTHOST_LISTEN_SUBMISSIONS", "SMARTHOST_LISTEN_ADMIN"} {
		r.cmd.Env = append(r.cmd.Env, name+"="+ts.Getenv(name))
	}
	if relay := ts.Getenv("SMARTHOST_FORWARD_RELAY"); relay != "" {
		r.cmd.Env = append(r.cmd.Env, "SMARTHOST_FORWARD_RELAY="+relay)
	}
	ts.Check(r.cmd.Start())
	go func() { // ends with the process; Defer waits for it
		r.cmd.Wait()
		out.Close()
		log.Close()
		close(r.done)
	}()
	ts.Value(runningKey{}).(map[string]*running)[args[0]] = r
	ts.Defer(func() {
		r.cmd.Process.Kill()
		<-r.done
	})
}

func find(ts *testscript.TestScript, name string) *running {
	r := ts.Value(runningKey{}).(map[string]*running)[name]
	if r == nil {
		ts.Fatalf("%s was not started", name)
	}
	return r
}

// halt FILE ends the server with SIGTERM; it must exit with 0. (A command called stop would be testscript's own, which ends the script there and then.)
func halt(ts *testscript.TestScript, neg bool, args []string) {
	r := find(ts, args[0])
	ts.Check(r.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-r.done:
	case <-time.After(patience):
		ts.Fatalf("%s does not end", args[0])
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		ts.Fatalf("%s ended with %d", args[0], code)
	}
}

// get [-token FILE] [-host NAME] METHOD PATH CODE [BODY] asks at SMARTHOST_LISTEN_ADMIN and prints the answer; the token is the file's last line.
func get(ts *testscript.TestScript, neg bool, args []string) {
	fs := flag.NewFlagSet("get", flag.ContinueOnError)
	token, host := fs.String("token", "", ""), fs.String("host", "", "")
	if err := fs.Parse(args); err != nil || fs.NArg() < 3 || neg {
		ts.Fatalf("usage: get [-token FILE] [-host NAME] METHOD PATH CODE [BODY]")
	}
	r, err := http.NewRequest(fs.Arg(0), "http://"+ts.Getenv("SMARTHOST_LISTEN_ADMIN")+fs.Arg(1), strings.NewReader(fs.Arg(3)))
	ts.Check(err)
	r.Host = *host
	if *token != "" {
		lines := strings.Split(strings.TrimSpace(ts.ReadFile(*token)), "\n")
		r.Header.Set("Authorization", "Bearer "+lines[len(lines)-1])
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	ts.Check(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s", text)
	if fmt.Sprint(response.StatusCode) != fs.Arg(2) {
		ts.Fatalf("%s: %s", response.Status, text)
	}
}

// logged FILE TEXT waits until the log, or FILE itself if it ends with .out, holds TEXT.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: logged FILE TEXT")
	}
	await(ts, args[0], args[1], 1)
}

// signal FILE NAME sends the server a signal.
func signal(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg || unix.SignalNum("SIG"+args[1]) == 0 {
		ts.Fatalf("usage: signal FILE NAME")
	}
	ts.Check(find(ts, args[0]).cmd.Process.Signal(unix.SignalNum("SIG" + args[1])))
}

// reload FILE TEXT sends SIGHUP and waits until the log holds TEXT once more than before.
func reload(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: reload FILE TEXT")
	}
	signalled(ts, args[0], args[1], syscall.SIGHUP)
}

// handover FILE TEXT sends SIGUSR2 and waits until the log holds TEXT once more than before.
func handover(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: handover FILE TEXT")
	}
	signalled(ts, args[0], args[1], syscall.SIGUSR2)
}

// format DATABASE N makes it look as if a program had written it that has the format N.
func format(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: format DATABASE N")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = db.Exec("PRAGMA user_version = " + args[1])
	ts.Check(errors.Join(err, db.Close()))
}

// hangups FILE TEXT is handover with a SIGHUP each millisecond.
func hangups(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: hangups FILE TEXT")
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	process := find(ts, args[0]).cmd.Process
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				process.Signal(syscall.SIGHUP) // if it has ended, the log says so
			}
		}
	}()
	defer func() {
		close(stop)
		<-stopped
	}()
	handover(ts, neg, args)
}

func signalled(ts *testscript.TestScript, name, text string, signal syscall.Signal) {
	before := strings.Count(ts.ReadFile(name+".err"), text)
	ts.Check(find(ts, name).cmd.Process.Signal(signal))
	await(ts, name, text, before+1)
}

// await waits until the log of a server holds text n times.
func await(ts *testscript.TestScript, name, text string, n int) {
	if !strings.HasSuffix(name, ".out") {
		name += ".err"
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if strings.Count(ts.ReadFile(name), text) >= n {
			return
		}
	}
	ts.Fatalf("the log does not say %q within %s:\n%s", text, patience, ts.ReadFile(name))
}
