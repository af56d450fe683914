package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/seed-1397b510/smarthost/cmd/smarthost/doctor"
)

const doctorHelp = `smarthost doctor says what is wrong with mail submission, why it matters, and
what to do. It changes nothing.

    smarthost doctor HOST[:PORT] [--user NAME] [--password-stdin] [--from ADDRESS] [--to ADDRESS] [--send ADDRESS] [--ca FILE]
        examines a submission server, of any make, as a laptop here sees it
    smarthost doctor [--probe DOMAIN]… [--dns ADDRESS]
        examines this machine's own server, which the config describes: its names in DNS, the way out by port 25 or to the
        relay, SPF and DMARC of the senders' domains, clock, certificate, data folder, queue, listeners, limits

Without PORT it looks at 587 (STARTTLS) and 465 (TLS). With --user it also logs
in, once, and only through TLS with a certificate that verifies; the password is
asked for on the terminal, or read from standard input with --password-stdin.
Then it asks whether a mail from --from (or NAME, if that is an address) to --to
(or the sender) would be taken, and stops before the mail. --send ADDRESS sends
one real mail and tells what became of it. --ca names the certificate of a
private authority. --json prints one JSON document at the end. It makes some
fifteen connections to each address, a few of which end in the middle on
purpose; the server's log shows them.

Port 25 is tried with the mail servers of gmail.com and outlook.com, or of the
domains given with --probe: their greeting is read, and nothing sent. --dns
names the name server to ask in place of those in /etc/resolv.conf; a relay is
looked up as the server does it. No hosts file is read but for the relay.

Exit code: 0 nothing is wrong, 1 there is a problem (with --strict: or a
warning) or it was stopped before the end, 2 it was called wrongly, or the
config is wrong.

Examples:
    smarthost doctor mx.example.org
    smarthost doctor mx.example.org --user alice --from alice@example.org
    smarthost doctor mx.example.org --user alice@example.org --send bob@example.net
    smarthost doctor --config /etc/smarthost/smarthost.toml
`

// doctorFlags are the flags of both sides.
type doctorFlags struct {
	config       *string
	json, strict bool

	user, from, to, send, ca string
	passwordStdin            bool

	serverDoctorFlags
}

// clientFlags need a HOST.
func (f *doctorFlags) clientFlags(fs *flag.FlagSet) {
	fs.StringVar(&f.user, "user", "", "log in as")
	fs.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from standard input")
	fs.StringVar(&f.from, "from", "", "the sender to ask for")
	fs.StringVar(&f.to, "to", "", "the recipient to ask for")
	fs.StringVar(&f.send, "send", "", "send a mail there")
	fs.StringVar(&f.ca, "ca", "", "PEM file of a private authority")
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
	f.clientFlags(fs)
	f.serverFlags(fs)
	fs.BoolVar(&f.strict, "strict", false, "warnings count as problems in the exit code")
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	p := newPrinter(env, f)
	var e examination
	switch len(args) {
	case 0:
		if f.user+f.from+f.to+f.send+f.ca != "" || f.passwordStdin {
			return usageError("doctor: name the server to log in at: smarthost doctor mx.example.org --user alice (see smarthost doctor --help)")
		}
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
		if f.given() {
			return usageError("doctor: --probe and --dns are for the own server; leave out HOST (see smarthost doctor --help)")
		}
		p.Target = args[0]
		if e, err = newClientDoctor(env, args[0], f, p.Progress); err != nil {
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
	if fd, live := terminal(env.Stderr); live && !dumb {
		p.Live = true
		p.Line, _, _ = term.GetSize(fd)
	}
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
