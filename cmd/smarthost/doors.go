package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
)

// A door is one listening socket.
type door struct {
	net.Listener
	Implicit bool   // TLS from the first octet
	Wanted   string // the port that the default asked for
	Moved    bool   // it could not be had, and the listener has another
	Passed   bool   // it was open before this program began
}

func (d *door) Port() string {
	_, port, _ := net.SplitHostPort(d.Addr().String())
	return port
}

func (d *door) String() string {
	if d.Implicit {
		return d.Addr().String() + " (TLS)"
	}
	return d.Addr().String() + " (STARTTLS)"
}

// openDoors takes the sockets that were passed, and listens on everything else that the config names. Where nobody chose
// the ports and this user may not open 587 and 465, it takes 2587 and 2465.
func openDoors(c *Config, passed passedSockets) (doors []*door, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeDoors(doors))
		}
	}()
	for _, kind := range []struct {
		name     string
		addrs    []string
		implicit bool
	}{{"submission", c.Listen.Submission, false}, {"submissions", c.Listen.Submissions, true}} {
		for _, l := range passed[kind.name] {
			doors = append(doors, &door{Listener: l, Implicit: kind.implicit, Passed: true})
		}
		if len(passed[kind.name]) > 0 {
			continue
		}
		for _, addr := range kind.addrs {
			d, err := openDoor(addr, c.given["listen."+kind.name] == "")
			if err != nil {
				return doors, fmt.Errorf("listen.%s: cannot listen on %q: %w", kind.name, addr, err)
			}
			d.Implicit = kind.implicit
			doors = append(doors, d)
		}
	}
	return doors, nil
}

func closeDoors(doors []*door) (err error) {
	for _, d := range doors {
		err = errors.Join(err, d.Close())
	}
	return err
}

// listening leaves out TCP's keep-alive: the guard ends every connection that is silent, and probes every 15 s would wake a laptop's radio.
var listening = net.ListenConfig{KeepAlive: -1}

func openDoor(addr string, standard bool) (*door, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	d := &door{Wanted: port}
	d.Listener, err = listening.Listen(context.Background(), "tcp", addr)
	if standard && errors.Is(err, fs.ErrPermission) {
		d.Moved = true
		d.Listener, err = listening.Listen(context.Background(), "tcp", net.JoinHostPort(host, "2"+port))
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		err = fmt.Errorf("%w (another program listens there: stop it, or choose another port)", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		err = fmt.Errorf("%w (this machine has no such address, or not yet: take one of those that ip address shows, or %q for all)", err, ":"+port)
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w (this user may not open it: choose a port above 1023, or give the program CAP_NET_BIND_SERVICE)", err)
	}
	return d, err
}
