package smarthosttest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// blackhole takes the port on ::1 and lets nobody in: connections hang there as behind a router that throws IPv6 away. close gives the port back.
func blackhole(port int) (close func() error, err error) {
	at := &syscall.SockaddrInet6{Port: port, Addr: [16]byte(net.IPv6loopback)}
	var open []int
	close = func() (err error) {
		for _, fd := range open {
			err = errors.Join(err, syscall.Close(fd))
		}
		return err
	}
	socket := func() (int, error) {
		fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return -1, os.NewSyscallError("socket", err)
		}
		open = append(open, fd)
		return fd, nil
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("take [::1]:%d: %w", port, err), close())
		}
	}()
	listener, err := socket()
	if err != nil {
		return nil, err
	}
	if err := syscall.SetsockoptInt(listener, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(listener, at); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err := syscall.Listen(listener, 0); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	for range 2 { // one fills the queue of connections that wait for accept, and the other is the first to hang
		fd, err := socket()
		if err != nil {
			return nil, err
		}
		if err := syscall.Connect(fd, at); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
			return nil, os.NewSyscallError("connect", err)
		}
	}
	return close, nil
}
