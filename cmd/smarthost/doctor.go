package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/seed-1397b510/smarthost/cmd/smarthost/doctor"
)

const doctorHelp = `smarthost doctor says what is wrong with mail submission, why it matters, and what to do. It changes nothing.

    smarthost doctor HOST[:PORT]    examine a submission server, of any make, as a laptop here sees it
    smarthost doctor                examine this machine's own server, which the config describes

Without PORT it looks at 587 (STARTTLS) and 465 (TLS). --json prints one JSON document at the end.
Exit code: 0 nothing is wrong, 1 there is a problem (with --strict: or a warning) or it was stopped early,
2 it was called wrongly.

Example:
    smarthost doctor mx.example.org
`

// doctorFlags are the flags of both sides.
type doctorFlags struct {
	config       *string
	json, strict bool
}

// newClientDoctor examines the server at target, HOST or HOST:PORT.
func newClientDoctor(target string, progress doctor.Progress) (examination, error) {
	return doctor.Client{Host: target, Progress: progress}, nil
}

// An examination is one of the two sides.
type examination interface {
	Run(ctx context.Context, report doctor.Report) error
}

// errFound ends a command whose output has said it all with exit code 1.
var errFound = errors.New("something is wrong")

func doctorCommand(env *environment, args []string) error {
	fs := newFlags(env, "doctor", doctorHelp)
	f := &doctorFlags{config: commonFlags(fs)}
	fs.BoolVar(&f.json, "json", false, "print JSON")
	fs.BoolVar(&f.strict, "strict", false, "warnings count as problems in the exit code")
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	p := newPrinter(env, f)
	var e examination
	switch len(args) {
	case 0:
		c, err := loadConfig(env, *f.config)
		if err != nil {
			return err
		}
		p.Target = c.Hostname
		e, err = newServerDoctor(env, c, f, p.Progress)
		if err != nil {
			return err
		}
	case 1:
		p.Target = args[0]
		if e, err = newClientDoctor(args[0], p.Progress); err != nil {
			return err
		}
	default:
		return usageError("doctor takes one server (see smarthost doctor --help)")
	}
	return examine(env, e, p, f.strict)
}

// examine runs an examination to its end, or until it is interrupted, and makes the exit code of what it found.
func examine(env *environment, e examination, p *doctor.Printer, strict bool) error {
	p.Start()
	err := e.Run(env.Context, p.Report)
	summary, printErr := p.Finish(err == nil)
	switch {
	case err != nil && env.Context.Err() == nil:
		return fmt.Errorf("doctor: %w", err)
	case printErr != nil:
		return fmt.Errorf("doctor: write the findings: %w", printErr)
	case err != nil, summary.Problems > 0, strict && summary.Warnings > 0:
		return errFound
	}
	return nil
}

// newPrinter shows findings as the terminal, if there is one, can.
func newPrinter(env *environment, f *doctorFlags) *doctor.Printer {
	p := &doctor.Printer{Out: env.Stdout, Err: env.Stderr, JSON: f.json}
	dumb := env.Getenv("TERM") == "dumb"
	if fd, ok := terminal(env.Stdout); ok {
		p.Colour = env.Getenv("NO_COLOR") == "" && !dumb
		if width, _, err := term.GetSize(fd); err == nil {
			p.Width = width
		}
	}
	_, live := terminal(env.Stderr)
	p.Live = live && !dumb
	return p
}

// terminal tells whether a stream is a terminal, and its file descriptor.
func terminal(stream any) (int, bool) {
	f, ok := stream.(*os.File)
	if !ok {
		return 0, false
	}
	return int(f.Fd()), term.IsTerminal(int(f.Fd()))
}
