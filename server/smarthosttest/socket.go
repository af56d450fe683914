package smarthosttest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"
)

// A socket is a connection below TLS that can be slowed down, and ended in a bad way.
type socket struct {
	net.Conn
	ctx context.Context // ends with the server

	mu      sync.Mutex
	speed   int // octets per second; 0: as fast as it goes
	trickle trickle
}

// wrapped makes sockets of a listener's connections.
type wrapped struct {
	net.Listener
	ctx context.Context
}

func (l wrapped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &socket{Conn: c, ctx: l.ctx}, nil
}

// pace sets how fast the connection is.
func (s *socket) pace(speed int, t trickle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.speed, s.trickle = speed, t
}

// piece is how much may go at a time, and how long to wait after it.
func (s *socket) piece() (octets int, every time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.trickle.octets > 0:
		return s.trickle.octets, s.trickle.every
	case s.speed > 0:
		octets = max(1, s.speed/10)
		return octets, time.Duration(octets) * time.Second / time.Duration(s.speed)
	}
	return 0, 0
}

// Write writes at the pace that is set.
func (s *socket) Write(p []byte) (n int, err error) {
	for {
		octets, every := s.piece()
		if octets == 0 {
			m, err := s.Conn.Write(p[n:])
			return n + m, err
		}
		m, err := s.Conn.Write(p[n:min(len(p), n+octets)])
		if n += m; err != nil || n == len(p) {
			return n, err
		}
		pause(s.ctx, every)
	}
}

// Read reads at the pace that is set; a trickle is for what is written alone.
func (s *socket) Read(p []byte) (int, error) {
	s.mu.Lock()
	speed := s.speed
	s.mu.Unlock()
	if speed == 0 {
		return s.Conn.Read(p)
	}
	n, err := s.Conn.Read(p[:min(len(p), max(1, speed/10))])
	pause(s.ctx, time.Duration(n)*time.Second/time.Duration(speed))
	return n, err
}

// CloseWrite ends what the client reads.
func (s *socket) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return s.Conn.Close()
}

// Reset ends the connection with a RST.
func (s *socket) Reset() {
	switch c := s.Conn.(type) {
	case *net.TCPConn:
		c.SetLinger(0)
		c.Close()
	case *pipe:
		c.reset()
	default:
		c.Close()
	}
}

// helloTimeout is how long a rule waits for a handshake to begin.
const helloTimeout = time.Minute

// hello takes the record with which a client begins a handshake (RFC 8446 §5.1), or what it has sent of it when it or the server ends the connection.
func (s *socket) hello() {
	defer context.AfterFunc(s.ctx, func() { s.Conn.Close() })()
	s.Conn.SetDeadline(time.Now().Add(helloTimeout))
	header := make([]byte, 5)
	if _, err := io.ReadFull(s.Conn, header); err == nil {
		io.CopyN(io.Discard, s.Conn, int64(binary.BigEndian.Uint16(header[3:])))
	}
}

// hold takes what the client sends, and throws it away, until the client or the server ends the connection.
func (s *socket) hold() {
	defer context.AfterFunc(s.ctx, func() { s.Conn.Close() })()
	s.Conn.SetDeadline(time.Time{})
	io.Copy(io.Discard, s.Conn)
	s.Conn.Close()
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
