package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handedOver is the variable that names the sockets to the next program: this process's id, then name=descriptor of each.
// LISTEN_FDS would want them to be 3, 4, 5 and so on, which are in use here until the very end.
const handedOver = "SMARTHOST_SOCKETS"

// checkPatience is how long the next program may take to check the config.
const checkPatience = 20 * time.Second

// A handOver is the end of a service that goes on as another program, in the same process and with the same listening sockets.
type handOver struct {
	program string
	sockets []passedSocket
}

func (h *handOver) Error() string { return "goes on as " + h.program }

// handOverAt waits for a wish until ctx ends, and returns a *handOver when the next program is fit for it. What is not fit
// is said in the log, and this one goes on.
func (s *service) handOverAt(ctx context.Context, doors []*door, wish <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wish:
		}
		next, err := s.prepare(ctx, doors)
		if err == nil {
			// From here until the next program listens to them nobody does, and a SIGHUP that nobody listens to would end the process.
			// What it wants is done anyway: the next program reads everything. That they are ignored outlives exec.
			signal.Ignore(syscall.SIGHUP, syscall.SIGUSR2)
			s.Log.Info().Str("program", next.program).Msg("handing over to the program that is installed now")
			return next
		}
		if ctx.Err() != nil {
			return nil
		}
		s.Log.Error().Err(err).Msg("the program that is installed now cannot take over; this one goes on")
	}
}

// prepare finds the next program, lets it check the config, and keeps the doors' sockets open for it.
func (s *service) prepare(ctx context.Context, doors []*door) (*handOver, error) {
	program, err := exec.LookPath(os.Args[0])
	if err != nil {
		return nil, err
	}
	if program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	args := []string{"config", "check"}
	if file := s.inForce.Load().File; file != "" {
		args = append(args, "--config", file)
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	check := exec.CommandContext(ctx, program, args...)
	check.WaitDelay = time.Second // what it has started may hold its output open
	if said, err := check.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s config check: %w: %s", program, err, strings.TrimSpace(string(said)))
	}
	next := &handOver{program: program}
	keep := func(name string, l net.Listener) error {
		socket, err := keepSocket(name, l)
		if err != nil {
			return errors.Join(err, next.close())
		}
		next.sockets = append(next.sockets, socket)
		return nil
	}
	for _, d := range doors {
		if err := keep(d.socketName(), d.Listener); err != nil {
			return nil, err
		}
	}
	for _, l := range s.adminToKeep() {
		if err := keep("admin", l); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// socketName is the name that the door's socket is passed by.
func (d *door) socketName() string {
	if d.Implicit {
		return "submissions"
	}
	return "submission"
}

// keepSocket is another descriptor of a listener's socket, so that it goes on listening when the listener is closed.
func keepSocket(name string, l net.Listener) (passedSocket, error) {
	s := passedSocket{name: name}
	socket, ok := l.(syscall.Conn)
	if !ok {
		return s, fmt.Errorf("%s is no listener of a socket", l.Addr())
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return s, err
	}
	var fault error
	err = raw.Control(func(fd uintptr) { s.fd, fault = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, firstPassed) })
	return s, errors.Join(err, fault)
}

func (h *handOver) close() (err error) {
	for _, s := range h.sockets {
		err = errors.Join(err, unix.Close(s.fd))
	}
	return err
}

// exec goes on as the next program. It returns only if that fails.
func (h *handOver) exec() error {
	text := strconv.Itoa(os.Getpid())
	for _, s := range h.sockets {
		if _, err := unix.FcntlInt(uintptr(s.fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("hand over the socket of %s: %w", s.name, err)
		}
		text += " " + s.name + "=" + strconv.Itoa(s.fd)
	}
	passed := []string{handedOver + "=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES="}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return slices.ContainsFunc(passed, func(name string) bool { return strings.HasPrefix(v, name) })
	})
	return fmt.Errorf("hand over to %s: %w", h.program, syscall.Exec(h.program, os.Args, append(env, handedOver+"="+text)))
}

// listHandedOver reads what exec wrote.
func listHandedOver(text string, pid int) ([]passedSocket, error) {
	words := strings.Fields(text)
	if len(words) == 0 || words[0] != strconv.Itoa(pid) {
		return nil, nil
	}
	var all []passedSocket
	for _, word := range words[1:] {
		name, number, _ := strings.Cut(word, "=")
		fd, err := strconv.Atoi(number)
		if err != nil || fd < firstPassed || !slices.Contains(socketNames, name) {
			return nil, fmt.Errorf("%s: %q is no socket", handedOver, word)
		}
		all = append(all, passedSocket{name, fd})
	}
	return all, nil
}
