// Command smarthost is the relay's side of authenticated mail submission: it takes mail on ports 587 and 465
// from those who log in, keeps it safe, and carries it to the recipients' MX hosts or to a relay.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	env := &environment{Context: ctx, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Environ: os.Environ}
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(env, os.Args[1:])
	stop()
	os.Exit(code)
}
