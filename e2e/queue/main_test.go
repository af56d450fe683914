//go:build e2e

package queue

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// run runs the scripts of a folder beside a server that is up.
func run(t *testing.T, folder string, server *lab.Smarthost, load *senders, vars map[string]string) {
	config, err := os.ReadFile(server.Config)
	lab.Check(t, err)
	p := testscript.Params{
		Dir:                 folder,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", lab.Folder()+string(os.PathListSeparator)+env.Getenv("PATH"))
			for name, value := range vars {
				env.Setenv(name, value)
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "smarthost.toml"), config, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"submit":  func(ts *testscript.TestScript, neg bool, args []string) { submit(ts, server, args) },
			"timed":   func(ts *testscript.TestScript, neg bool, args []string) { timed(ts, load, neg, args) },
			"counted": func(ts *testscript.TestScript, neg bool, args []string) { counted(ts, server, load, args) },
		},
	}
	t.Run("script", func(t *testing.T) { testscript.Run(t, p) }) // which returns when all have ended
}

// submit VARIABLE TO... sends a mail and puts its id into the variable. Its Message-ID is <VARIABLE@queue.test>.
func submit(ts *testscript.TestScript, server *lab.Smarthost, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: submit VARIABLE TO...")
	}
	d, err := server.Dial()
	ts.Check(err)
	defer d.Close()
	say := func(line, want string) string {
		reply, err := d.Say(line, want)
		ts.Check(err)
		return reply
	}
	say("MAIL FROM:<alice@client.test>", "250")
	for _, to := range args[1:] {
		say("RCPT TO:<"+to+">", "250")
	}
	say("DATA", "354")
	_, err = d.Write(lab.Stuff([]byte("Subject: story\r\nMessage-ID: <" + args[0] + "@queue.test>\r\n\r\nbody\r\n")))
	ts.Check(err)
	reply, err := d.Reply("250 2.0.0 queued as ")
	ts.Check(err)
	_, id, _ := strings.Cut(strings.TrimSpace(reply), "queued as ")
	ts.Setenv(args[0], id)
}

// timed ARGS... is exec smarthost ARGS..., and logs how long it took and the longest wait of a sender for its 250 meanwhile.
func timed(ts *testscript.TestScript, load *senders, neg bool, args []string) {
	load.longest.Store(0)
	began := time.Now()
	err := ts.Exec("smarthost", args...)
	tell(ts, load, began, args)
	if _, exit := err.(*exec.ExitError); (err != nil) != neg || err != nil && !exit {
		ts.Fatalf("smarthost %s: %v", strings.Join(args, " "), err)
	}
}

// counted N ARGS... is timed ARGS... that must print N lines, which are not logged.
func counted(ts *testscript.TestScript, server *lab.Smarthost, load *senders, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: counted N ARGS...")
	}
	load.longest.Store(0)
	began := time.Now()
	out, err := server.Command(args[1:]...).Output()
	ts.Check(err)
	tell(ts, load, began, args[1:])
	if n := bytes.Count(out, []byte("\n")); fmt.Sprint(n) != args[0] {
		ts.Fatalf("%d lines, want %s; the first:\n%s", n, args[0], out[:min(len(out), 1000)])
	}
}

func tell(ts *testscript.TestScript, load *senders, began time.Time, args []string) {
	ts.Logf("took %v, longest wait for a 250 %v: smarthost %s", time.Since(began).Round(time.Millisecond),
		time.Duration(load.longest.Load()).Round(time.Millisecond), strings.Join(args, " "))
}
