package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// adminSocket is where the commands reach a running server.
func (c *Config) adminSocket() string { return filepath.Join(c.Data, "admin.sock") }

// longestSocket is how long a socket's name may be to fit into sun_path, unix(7), with room to spare on every system.
const longestSocket = 100

// shortSocket names a socket in a way that fits, however long the name of its folder is. done must be called when it is of no use any more.
func shortSocket(path string) (name string, done func(), err error) {
	if len(path) <= longestSocket {
		return path, func() {}, nil
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)), func() { folder.Close() }, nil
}

// listenSocket opens a Unix socket that nobody but this user can connect to, not even for a moment, in place of one that an
// earlier run has left. What is no socket, or one that another program answers at, stays as it is. The file is the caller's to remove.
func listenSocket(path string) (l net.Listener, err error) {
	if err := vacant(path); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".admin-") // others cannot enter it
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	made := filepath.Join(folder, "s")
	name, done, err := shortSocket(made)
	if err != nil {
		return nil, err
	}
	defer done()
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	u.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	return u, nil
}

// vacant tells why a socket cannot take the place of what is at path.
func vacant(path string) error {
	st, err := os.Lstat(path)
	if err != nil { // if it is not that there is nothing, it is said again later
		return nil
	}
	if st.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is there already and is no socket", path)
	}
	name, done, err := shortSocket(path)
	if err != nil {
		return err
	}
	defer done()
	if c, err := net.Dial("unix", name); err == nil {
		return errors.Join(fmt.Errorf("another program listens at %s", path), c.Close())
	}
	return nil
}

// openAdmin opens the socket in data, which is trusted, and listen.admin or what was passed in its place.
func openAdmin(c *Config, passed []net.Listener, log zerolog.Logger) (doors []admin.Door, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAdmin(doors))
		}
	}()
	for _, l := range passed {
		doors = append(doors, admin.Door{Listener: l})
	}
	own, err := listenSocket(c.adminSocket())
	if err != nil {
		return doors, fmt.Errorf("cannot make the socket %s: %w", c.adminSocket(), err)
	}
	doors = append(doors, admin.Door{Listener: own, Trusted: true})
	if len(passed) > 0 || c.Listen.Admin == "" {
		return doors, nil
	}
	l, err := listenAdmin(c.Listen.Admin)
	switch {
	case err == nil:
		doors = append(doors, admin.Door{Listener: l})
		warnOfOpenAdmin(l, log)
	case c.given["listen.admin"] != "":
		return doors, fmt.Errorf("listen.admin: cannot listen on %q: %w (choose another address, or \"\" for none)", c.Listen.Admin, err)
	default: // nobody asked for it, and mail matters more
		log.Warn().Err(err).Str("address", c.Listen.Admin).Msg("health and API are at the socket in the data folder alone; set listen.admin to an address that is free")
	}
	return doors, nil
}

func listenAdmin(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return nil, errors.New("the path is missing")
		}
		return listenSocket(path)
	}
	return net.Listen("tcp", address)
}

// warnOfOpenAdmin tells that tokens can be read on their way.
func warnOfOpenAdmin(l net.Listener, log zerolog.Logger) {
	at, ok := l.Addr().(*net.TCPAddr)
	if ok && !at.IP.IsLoopback() {
		log.Warn().Str("address", at.String()).Msg("listen.admin is open to the network and has no TLS: let no tokens cross a network that others can read")
	}
}

func closeAdmin(doors []admin.Door) (err error) {
	for _, d := range doors {
		err = errors.Join(err, d.Close())
	}
	return err
}

// checkAdmin checks listen.admin.
func checkAdmin(s string) error {
	path, isPath := strings.CutPrefix(s, "unix:")
	switch {
	case s == "", isPath && filepath.IsAbs(path), !isPath && checkAddress(s) == nil:
		return nil
	}
	return fmt.Errorf(`%q is not an address to listen on; it must be such as "127.0.0.1:8587" or "unix:/run/smarthost/admin.sock"; "" is none`, s)
}

// adminDoorText is a door as people write it.
func adminDoorText(c *Config, d admin.Door) string {
	if d.Trusted {
		return "unix:" + c.adminSocket()
	}
	if at, ok := d.Addr().(*net.TCPAddr); ok {
		return netip.AddrPortFrom(at.AddrPort().Addr().Unmap(), uint16(at.Port)).String()
	}
	return c.Listen.Admin
}
