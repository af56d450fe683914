package admin

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerName names the user at the other end of a Unix socket: unix(7), SO_PEERCRED.
func peerName(c *net.UnixConn) (name string, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return "", false
	}
	var who *unix.Ucred
	var fault error
	err = raw.Control(func(fd uintptr) { who, fault = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil || fault != nil {
		return "", false
	}
	return fmt.Sprintf("uid %d", who.Uid), true
}
