package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/seed-1397b510/smarthost/server"
)

const serveHelp = `smarthost serve takes and forwards mail until SIGTERM or SIGINT, in the
foreground.

On a fresh machine it makes its data folder, a private CA with a certificate,
and an account with a generated password, and says so. Config, accounts,
certificate, and the files that the config names are read again when they change
(and have been quiet for a second, and closed by whoever wrote them), and at
SIGHUP. What is wrong with them is said in the log and by smarthost health, and
the old ones stay in force. A reload changes the limits, submission (but for
max_message_size), forward (but for connections and per_destination) and
listen.drain; the log names each other key that has changed and needs a restart,
and smarthost config check does before.

SIGUSR2 goes on as the program that is installed by then, if that finds the
config right, and no client is refused meanwhile. Sockets that systemd opened
(names: submission, submissions, admin) are used instead of the addresses in the
config.

Examples:
    smarthost serve
    smarthost serve --config /etc/smarthost/smarthost.toml
`

// What the garbage collector may use before it works harder, unless GOGC or GOMEMLIMIT say something else: messages make
// little garbage that lives long, so that a lazy collector saves a tenth of the processor; the limit keeps it from
// being lazy with ten thousand connections, which need about 250 MiB.
const (
	collectorPercent = 400
	collectorLimit   = 300 << 20
)

func serveCommand(env *environment, args []string) error {
	fs := newFlags(env, "serve", serveHelp)
	path := commonFlags(fs)
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return usageError("serve takes no arguments (see smarthost serve --help)")
	}
	coreFault := withoutCore() // before there is a secret in memory
	c, err := loadConfig(env, *path)
	if err != nil {
		return err
	}
	if env.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
	if env.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(collectorLimit)
	}
	log := newLog(env.Stderr, c.Log.Format)
	if coreFault != nil {
		log.Warn().Err(coreFault).Msg("a crash of this server may leave a file with passwords and mail behind; set LimitCORE=0 in its unit, or ulimit -c 0")
	}
	err = serve(env, c, log)
	next, handsOver := errors.AsType[*handOver](err)
	switch {
	case !handsOver:
		return err
	case env.Context.Err() != nil: // asked to stop after all
		return next.close()
	}
	return next.exec()
}

// newLog writes JSON, or lines for people on a terminal.
func newLog(w io.Writer, format string) zerolog.Logger {
	f, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	if format == "text" || format == "auto" && terminal {
		w = zerolog.ConsoleWriter{Out: w, NoColor: !terminal, TimeFormat: time.DateTime}
	}
	return zerolog.New(w).Level(zerolog.InfoLevel).With().Timestamp().Logger()
}

// serve sets the service up and runs it until the environment's context ends.
func serve(env *environment, c *Config, log zerolog.Logger) (err error) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from now on; a reload that comes early waits
	defer signal.Stop(hangup)
	exchange := make(chan os.Signal, 1)
	signal.Notify(exchange, syscall.SIGUSR2)
	defer signal.Stop(exchange)
	passed, err := takeSockets(env.Getenv)
	if err != nil {
		return err
	}
	first := &firstRun{Config: c}
	if first.NewData, err = makeData(c); err != nil {
		return errors.Join(err, passed.Close())
	}
	s, err := newService(env.Context, c, log)
	if err != nil {
		return errors.Join(err, passed.Close())
	}
	defer func() { err = errors.Join(err, s.Spool.Close()) }()
	if first.Doors, err = openDoors(c, passed); err != nil {
		return err
	}
	s.AdminPassed = passed["admin"]
	if s.AdminDoors, err = openAdmin(c, s.AdminPassed, log); err != nil {
		return errors.Join(err, closeDoors(first.Doors))
	}
	s.DoorNames = doorNames(first.Doors)
	for _, d := range s.AdminDoors {
		s.AdminNames = append(s.AdminNames, adminDoorText(c, d))
	}
	// Its password is shown once: not before everything else that can go wrong has gone well.
	if first.Secret, err = makeFirstAccount(c); err != nil {
		return errors.Join(err, closeDoors(first.Doors), closeAdmin(s.AdminDoors))
	}
	if s.Certificates.Private != nil {
		first.CA = s.Certificates.Private.certFile()
	}
	if first.NewData || first.Secret != "" {
		first.tell(env.Stdout)
	}
	s.warnAtStart(env)
	warnOfUnused(c, first.Doors, log)
	return s.run(env, first.Doors, hangup, exchange)
}

// run serves until the environment's context ends: first health says so, then the doors close and the sessions end, then the
// forwarder stops, then what is remembered is saved and operators are answered no more.
func (s *service) run(env *environment, doors []*door, hangup, exchange <-chan os.Signal) error {
	s.watch(env)
	systemd := newSupervisor(env.Getenv, s.Log)
	defer context.AfterFunc(env.Context, systemd.Stopping)()
	group, whole := errgroup.WithContext(context.WithoutCancel(env.Context))
	serving, shut := context.WithCancel(whole)
	group.Go(func() error {
		defer shut()
		s.drain(env.Context, whole)
		return nil
	})
	forwarding, stopForwarding := context.WithCancel(context.WithoutCancel(env.Context))
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(env.Context))
	group.Go(func() error {
		defer stopForwarding()
		open := make([]server.Door, len(doors))
		for i, d := range doors {
			open[i] = server.Door{Listener: d.Listener, Implicit: d.Implicit}
			s.Log.Info().Str("address", d.Addr().String()).Bool("implicit_tls", d.Implicit).Msg("listening")
		}
		s.Server.Ready = func() {
			s.Log.Info().Str("hostname", s.inForce.Load().Hostname).Str("version", versionText()).Str("data", s.inForce.Load().Data).Msg("ready")
			systemd.Ready()
		}
		return s.Server.Run(serving, open)
	})
	group.Go(func() error {
		err := s.handOverAt(serving, doors, exchange)
		if err != nil {
			systemd.Reloading()
		}
		return err
	})
	group.Go(func() error { return systemd.Run(keeping) })
	group.Go(func() error {
		defer stopKeeping()
		defer s.Digest.Note() // before State saves it
		return s.Forwarder.Run(forwarding)
	})
	group.Go(func() error { return s.Digest.Run(forwarding) })
	group.Go(func() error { return s.Notifier.Run(keeping) })
	group.Go(func() error { return s.Deliverer.Run(keeping) })
	group.Go(func() error { return s.Certificates.Run(keeping) })
	group.Go(func() error { return s.State.Run(keeping) })
	group.Go(func() error {
		s.runAdmin(keeping)
		return nil
	})
	group.Go(func() error {
		s.reloadAt(keeping, env, systemd, hangup)
		return nil
	})
	err := group.Wait()
	if _, ok := errors.AsType[*handOver](err); ok {
		return err
	}
	if err != nil {
		s.Log.Error().Err(err).Msg("stopped by a fault")
		return err
	}
	s.Log.Info().Msg("stopped")
	return err
}

// reloadAt reloads at each hangup, whenever the API wishes, and when files have changed, until ctx ends. A reload that waits for a disk
// that does not answer holds up the next one, but not the end of the program.
func (s *service) reloadAt(ctx context.Context, env *environment, systemd *supervisor, hangup <-chan os.Signal) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		told := make(chan<- error, 1) // nobody reads it
		asked := true
		select {
		case <-hangup:
		case told = <-s.reloads:
		case <-tick.C:
			asked = false
		case <-ctx.Done():
			return
		}
		done := make(chan struct{})
		go func() { // ends with the disk, or with the program
			defer close(done)
			if !asked && !s.changed(ctx, env) {
				return
			}
			if !asked {
				s.Log.Info().Msg("files have changed and are read again")
			}
			systemd.Reloading()
			told <- s.reload(env)
			systemd.Ready()
		}()
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}
