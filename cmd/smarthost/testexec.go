//go:build !notestserver

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// Exit codes of a child that could not be started, as shells have them.
const (
	exitNotExecutable exitCode = 126
	exitNotFound      exitCode = 127
	exitSignal        exitCode = 128 // and the signal's number
)

// testExec runs a command with a test server of its own.
func testExec(env *environment, f testFlags, child []string) (err error) {
	export := f.export
	if export == "" {
		if export, err = os.MkdirTemp("", "smarthost-test-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(export)) }()
	}
	signals := passedSignals()
	defer signal.Stop(signals)
	s, err := startTest(env, f, export, zerolog.Nop())
	if err != nil {
		return err
	}
	cmd := s.child(env, child)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(env.Stderr, "smarthost test: cannot run %s: %v\n", child[0], err)
		code := exitNotExecutable
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			code = exitNotFound
		}
		return errors.Join(code, s.close())
	}
	code, err := attend(cmd, onTerminal(env), signals)
	unmet := s.unmet()
	if code != 0 || len(unmet) > 0 {
		s.report(env, child[0], code, unmet)
	}
	err = errors.Join(err, s.close())
	switch {
	case code != 0:
		return code
	case err == nil && len(unmet) > 0:
		return errFound
	}
	return err
}

// passedSignals are those that the child gets when this process does. A terminal sends its own to the child by itself.
func passedSignals() chan os.Signal {
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	return c
}

// child is the command with the environment that leads to the server.
func (s *testServer) child(env *environment, words []string) *exec.Cmd {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = env.Stdin, env.Stdout, env.Stderr
	cmd.Env = append(os.Environ(), s.variables()...)
	if options := env.Getenv("JAVA_TOOL_OPTIONS"); options != "" {
		cmd.Env = append(cmd.Env, "JAVA_TOOL_OPTIONS="+options+" "+s.javaOptions())
	}
	return cmd
}

// attend passes signals on to a child until it has ended.
func attend(cmd *exec.Cmd, terminal bool, signals <-chan os.Signal) (exitCode, error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the child, which is waited for below
	for {
		select {
		case sig := <-signals:
			if !terminal || sig != syscall.SIGINT && sig != syscall.SIGQUIT {
				_ = cmd.Process.Signal(sig) // it may have ended meanwhile
			}
		case err := <-ended:
			return exitOf(cmd.ProcessState, err)
		}
	}
}

// onTerminal tells that the child belongs to a terminal, which sends it the signals of its keys.
func onTerminal(env *environment) bool {
	f, ok := env.Stdin.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// exitOf is how a child has ended.
func exitOf(state *os.ProcessState, err error) (exitCode, error) {
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled():
		return exitSignal + exitCode(status.Signal()), nil
	case state.ExitCode() != 0:
		return exitCode(state.ExitCode()), nil
	}
	return 0, err // of its output, for example
}

// unmet are the rules in force, those of the API too, that have not acted, or not as often as they should.
func (s *testServer) unmet() []smarthosttest.RuleState {
	return slices.DeleteFunc(s.RuleStates(), func(r smarthosttest.RuleState) bool { return !r.Unmet })
}

// What a report shows at most.
const (
	reportedSessions = 20
	reportedFindings = 20
)

// report says on standard error what the test server has seen, when the child has failed or a rule was not met.
func (s *testServer) report(env *environment, name string, code exitCode, unmet []smarthosttest.RuleState) {
	var b strings.Builder
	sessions := s.Sessions()
	fmt.Fprintf(&b, "\nsmarthost test: %s has ended with exit code %d; %s, %s\n", name, code, counted(len(sessions), "connection"), counted(len(s.Messages()), "message"))
	if len(sessions) == 0 {
		fmt.Fprintf(&b, "Nobody has connected: mail has to go to SMTP_HOST and SMTP_PORT (%s) or SMTP_TLS_PORT (%s).\n", s.at(s.Addr), portOf(s.TLSAddr))
	}
	if over := len(sessions) - reportedSessions; over > 0 {
		fmt.Fprintf(&b, "%d sessions before these\n", over)
		sessions = sessions[over:]
	}
	for _, session := range sessions {
		b.WriteString(session.String())
	}
	for i, f := range s.Lint() {
		if i == reportedFindings {
			b.WriteString("and more findings\n")
			break
		}
		fmt.Fprintf(&b, "finding: %s\n", f)
	}
	for _, r := range unmet {
		fmt.Fprintf(&b, "not met: a rule has acted %d times, and should have more often: %s\n", r.Acted, r.Rule)
	}
	fmt.Fprint(env.Stderr, b.String())
}
