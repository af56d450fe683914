package main

import (
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

// openDoors listens on everything that the config names. Where nobody chose the ports and this user may not open
// 587 and 465, it takes 2587 and 2465.
func openDoors(c *Config) (doors []*door, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeDoors(doors))
		}
	}()
	for _, kind := range []struct {
		key      string
		addrs    []string
		implicit bool
	}{{"listen.submission", c.Listen.Submission, false}, {"listen.submissions", c.Listen.Submissions, true}} {
		for _, addr := range kind.addrs {
			d, err := openDoor(addr, !c.given[kind.key])
			if err != nil {
				return doors, fmt.Errorf("%s: cannot listen on %q: %w", kind.key, addr, err)
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

func openDoor(addr string, standard bool) (*door, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	d := &door{Wanted: port}
	d.Listener, err = net.Listen("tcp", addr)
	if standard && errors.Is(err, fs.ErrPermission) {
		d.Moved = true
		d.Listener, err = net.Listen("tcp", net.JoinHostPort(host, "2"+port))
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w (another program listens there: stop it, or choose another port)", err)
	}
	return d, err
}
