package smarthosttest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// On sockets too a connection ends as the rule says.
func TestEndsOnLoopback(t *testing.T) {
	t.Parallel()
	s := NewServer(t)
	for _, c := range []struct {
		rule Rule
		want func(conn net.Conn, err error) bool
	}{
		{On(Banner).Times(1).Reset(), func(_ net.Conn, err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
		{On(Banner).Times(1).Drop(), func(_ net.Conn, err error) bool { return err == io.EOF }},
		{On(Banner).Times(1).HalfClose(), func(conn net.Conn, err error) bool {
			_, again := conn.Write([]byte("EHLO x\r\n"))
			return err == io.EOF && again == nil
		}},
		{On(Banner).Times(1).Garbage([]byte("\x00")).Drop(), func(_ net.Conn, err error) bool { return err == nil }},
	} {
		s.Script(c.rule)
		conn, err := s.DialContext(t.Context(), "tcp", s.Addr)
		if err == nil { // a reset may come so soon that the dial hears of it
			defer conn.Close()
			_, err = conn.Read(make([]byte, 1))
		}
		if !c.want(conn, err) {
			t.Errorf("%s: %v", c.rule, err)
		}
	}
	if _, err := s.DialContext(t.Context(), "tcp", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), s.Addr) {
		t.Errorf("another address: %v", err)
	}
	if _, err := s.DialFrom(t.Context(), s.Sessions()[0].Remote.Addr(), false); err == nil {
		t.Error("a client on loopback chooses its address")
	}
}

// Close does not wait for what a rule holds up, however long.
func TestCloseEndsWhatHangs(t *testing.T) {
	t.Parallel()
	for _, rule := range []Rule{
		On(Accept).Stall(), On(Banner).Delay(time.Hour), On(Banner).Trickle(1, time.Hour), On(Banner).HalfClose(), On(Accept).Throttle(1),
	} {
		synctest.Test(t, func(t *testing.T) {
			s, house := newHouse(t, Config{})
			s.Script(rule)
			conn, err := house.Dial("192.0.2.1", false)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			begin := time.Now()
			if err := s.Close(); err != nil || time.Since(begin) > closeTimeout/2 {
				t.Errorf("%s: Close took %s, %v", rule, time.Since(begin), err)
			}
			if end := s.Sessions()[0].Ended; end.IsZero() {
				t.Errorf("%s: the session has not ended", rule)
			}
			conn.Close()
		})
	}
}

// A session that never ends has a transcript that does.
func TestTranscriptsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newHouse(t, Config{})
		conn, err := s.DialContext(context.Background(), "tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		const many = maxEvents/2 + 100
		for i := range many {
			if i > 0 {
				io.WriteString(conn, "NOOP\r\n")
			}
			if _, err := in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
		synctest.Wait()
		events := s.Sessions()[0].Events
		if n := len(events); n != maxEvents+2 || events[n-2].Kind != KindFull || events[n-1].Kind != KindEnd {
			t.Errorf("%d events, the last of which are %+v", n, events[n-2:])
		}
	})
}
