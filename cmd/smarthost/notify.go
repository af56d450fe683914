package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// A supervisor is systemd where it started this program with Type=notify, else nobody; see sd_notify(3).
type supervisor struct {
	Socket   string        // "" = nobody is told
	Watchdog time.Duration // how often it wants to hear that this program lives; 0 = never
	Log      zerolog.Logger
}

func newSupervisor(getenv func(string) string, log zerolog.Logger) *supervisor {
	s := &supervisor{Socket: getenv("NOTIFY_SOCKET"), Log: log}
	if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if n, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && n > 0 {
			s.Watchdog = time.Duration(n) * time.Microsecond
		}
	}
	return s
}

func (s *supervisor) Ready()    { s.tell("READY=1") }
func (s *supervisor) Stopping() { s.tell("STOPPING=1") }

// Reloading goes before everything that Ready ends.
func (s *supervisor) Reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		s.Log.Warn().Err(err).Msg("systemd is not told of the reload")
		return
	}
	s.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// Run tells that this program lives, as often as is wanted, until ctx ends.
func (s *supervisor) Run(ctx context.Context) error {
	if s.Watchdog == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(s.Watchdog / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.tell("WATCHDOG=1")
		}
	}
}

// tell sends one datagram. Mail goes on if it is lost; systemd then thinks of us what it likes.
func (s *supervisor) tell(lines ...string) {
	if s.Socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.Socket, Net: "unixgram"}) // "@" is the abstract namespace here too
	if err == nil {
		_, err = c.Write([]byte(strings.Join(lines, "\n")))
		c.Close()
	}
	if err != nil {
		s.Log.Warn().Err(err).Str("socket", s.Socket).Str("news", lines[0]).Msg("systemd could not be told")
	}
}
