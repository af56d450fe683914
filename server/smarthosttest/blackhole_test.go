package smarthosttest

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// A connection to ::1 neither succeeds nor fails, and one to 127.0.0.1 succeeds.
func TestIPv6Blackhole(t *testing.T) {
	t.Parallel()
	s := NewServer(t, WithIPv6Blackhole())
	for _, addr := range []string{s.Addr, s.TLSAddr} {
		_, port, _ := net.SplitHostPort(addr)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("::1", port))
		if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
			t.Errorf("[::1]:%s does not hang: %v", port, err)
		}
		if err == nil {
			conn.Close()
		}
		cancel()
	}
	if err := send(t, s, "app", "app@example.com", []string{"bob@example.net"}, letter); err != nil {
		t.Error(err)
	}
}
