package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The sockets that may be passed, by the names that they go by: FileDescriptorName= in a socket unit of systemd.
var socketNames = []string{"submission", "submissions", "admin"}

const (
	firstPassed = 3  // SD_LISTEN_FDS_START of sd_listen_fds(3)
	mostPassed  = 64 // more than anybody has addresses
)

// passedSockets are listening sockets that were open before this program began, by name: from systemd, or from the program
// that ran as this process before it was exchanged. Connections wait in them meanwhile, so that nobody is refused.
type passedSockets map[string][]net.Listener

// A passedSocket is one of them before it is looked at.
type passedSocket struct {
	name string
	fd   int
}

// takeSockets takes the sockets that the environment tells of. One that nobody would serve is an error: its clients would
// wait for ever.
func takeSockets(getenv func(string) string) (passedSockets, error) {
	list, err := listSockets(getenv, os.Getpid())
	if err != nil {
		return nil, err
	}
	all := passedSockets{}
	for _, s := range list {
		unix.CloseOnExec(s.fd)
	}
	for _, s := range list {
		l, err := listenerOf(s)
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all[s.name] = append(all[s.name], l)
	}
	return all, nil
}

func listenerOf(s passedSocket) (net.Listener, error) {
	f := os.NewFile(uintptr(s.fd), s.name)
	if f == nil {
		return nil, fmt.Errorf("the socket passed as %s is no file descriptor: %d", s.name, s.fd)
	}
	l, err := net.FileListener(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("the file descriptor %d passed as %s is no listening socket: %w", s.fd, s.name, err)
	}
	return l, nil
}

// Close closes all of them.
func (p passedSockets) Close() (err error) {
	for _, listeners := range p {
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}

// listSockets reads the environment; what is meant for another process is not there.
func listSockets(getenv func(string) string, pid int) ([]passedSocket, error) {
	if text := getenv(handedOver); text != "" {
		return listHandedOver(text, pid)
	}
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > mostPassed {
		return nil, fmt.Errorf("LISTEN_FDS is %q; it must be a number of sockets from 0 to %d", getenv("LISTEN_FDS"), mostPassed)
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	var all []passedSocket
	for i := range n {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		if !slices.Contains(socketNames, name) {
			return nil, fmt.Errorf("a socket is passed by the name of %q; set FileDescriptorName= in its socket unit to %s", name, strings.Join(socketNames, " or "))
		}
		all = append(all, passedSocket{name, firstPassed + i})
	}
	return all, nil
}
