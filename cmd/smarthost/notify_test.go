package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestSupervisorIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := func() string {
		line := make([]byte, 1000)
		if err := l.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := l.Read(line)
		if err != nil {
			t.Fatal(err)
		}
		return string(line[:n])
	}
	variables := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())}
	s := newSupervisor(func(v string) string { return variables[v] }, zerolog.Nop())
	s.Ready()
	if got := heard(); got != "READY=1" {
		t.Errorf("ready: %q", got)
	}
	s.Reloading()
	got := heard()
	since, err := strconv.Atoi(strings.TrimPrefix(got, "RELOADING=1\nMONOTONIC_USEC="))
	if err != nil || since <= 0 {
		t.Errorf("reloading: %q", got)
	}
	s.Stopping()
	if got := heard(); got != "STOPPING=1" {
		t.Errorf("stopping: %q", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	for range 2 {
		if got := heard(); got != "WATCHDOG=1" {
			t.Errorf("watchdog: %q", got)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestSupervisorOfAnotherProcess(t *testing.T) {
	variables := map[string]string{"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}
	s := newSupervisor(func(v string) string { return variables[v] }, zerolog.Nop())
	if s.Watchdog != 0 {
		t.Errorf("the watchdog of another process is fed each %v", s.Watchdog)
	}
	delete(variables, "WATCHDOG_PID")
	if s := newSupervisor(func(v string) string { return variables[v] }, zerolog.Nop()); s.Watchdog != 20*time.Millisecond {
		t.Errorf("the watchdog wants %v, want 20 ms", s.Watchdog)
	}
}
