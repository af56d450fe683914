package smarthosttest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeSpace is how much is under way in one direction before a writer waits, about what a socket's buffers hold.
const pipeSpace = 64 << 10

// A pipe is one end of a connection in memory. Unlike net.Pipe it has buffers, as a socket has, so that both sides may write at the same time, can be
// closed in one direction, and reset.
type pipe struct {
	in, out       *stream
	local, remote net.Addr
}

// newPipe returns the client's end and the server's.
func newPipe(client, server net.Addr) (*pipe, *pipe) {
	up, down := newStream(), newStream()
	return &pipe{in: down, out: up, local: client, remote: server}, &pipe{in: up, out: down, local: server, remote: client}
}

func (p *pipe) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipe) Write(b []byte) (int, error) { return p.out.write(b) }
func (p *pipe) LocalAddr() net.Addr         { return p.local }
func (p *pipe) RemoteAddr() net.Addr        { return p.remote }

// CloseWrite ends what the other side reads.
func (p *pipe) CloseWrite() error {
	p.out.end(io.EOF, io.ErrClosedPipe)
	return nil
}

// Close ends both directions: the other side reads what is under way, and cannot write any more. As with TCP, it learns that by its second write.
func (p *pipe) Close() error {
	p.out.end(io.EOF, net.ErrClosed)
	p.in.desert()
	return nil
}

// reset ends both directions at once, as a TCP RST does.
func (p *pipe) reset() {
	for _, s := range []*stream{p.in, p.out} {
		s.end(syscall.ECONNRESET, syscall.ECONNRESET)
		s.drop()
	}
}

func (p *pipe) SetDeadline(t time.Time) error {
	p.SetReadDeadline(t)
	return p.SetWriteDeadline(t)
}

func (p *pipe) SetReadDeadline(t time.Time) error {
	p.in.reading.set(p.in, t)
	return nil
}

func (p *pipe) SetWriteDeadline(t time.Time) error {
	p.out.writing.set(p.out, t)
	return nil
}

// A stream is one direction.
type stream struct {
	mu               sync.Mutex
	moved            *sync.Cond
	b                bytes.Buffer
	readErr          error // what a reader gets when b is empty; nil: it waits
	writeErr         error
	blind            bool // the reader has closed its end, and the writer does not know it yet
	reading, writing deadline
}

// A deadline belongs to a stream, whose mu guards it.
type deadline struct {
	timer *time.Timer
	over  bool
	turn  int // grows with each set, so that a timer that fires late changes nothing
}

func newStream() *stream {
	s := new(stream)
	s.moved = sync.NewCond(&s.mu)
	return s
}

func (d *deadline) set(s *stream, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.turn++
	turn := d.turn
	left := time.Until(t)
	d.over = !t.IsZero() && left <= 0
	if !t.IsZero() && left > 0 {
		d.timer = time.AfterFunc(left, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.turn == turn {
				d.over = true
				s.moved.Broadcast()
			}
		})
	}
	s.moved.Broadcast()
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.reading.over:
			return 0, os.ErrDeadlineExceeded
		case s.b.Len() > 0 || len(p) == 0:
			s.moved.Broadcast()
			n, _ := s.b.Read(p)
			return n, nil
		case s.readErr != nil:
			return 0, s.readErr
		}
		s.moved.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.writing.over:
			return n, os.ErrDeadlineExceeded
		case s.blind:
			s.blind = false
			return len(p), nil
		case s.writeErr != nil:
			return n, s.writeErr
		case len(p) == n:
			return n, nil
		}
		if room := pipeSpace - s.b.Len(); room > 0 {
			s.moved.Broadcast()
			m, _ := s.b.Write(p[n:min(len(p), n+room)])
			n += m
			continue
		}
		s.moved.Wait()
	}
}

// end says what readers get when all has been read, and writers at once. What was said before holds.
func (s *stream) end(readErr, writeErr error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(readErr, writeErr)
}

func (s *stream) endLocked(readErr, writeErr error) {
	if s.readErr == nil || readErr == syscall.ECONNRESET {
		s.readErr = readErr
	}
	if s.writeErr == nil || s.writeErr == io.ErrClosedPipe {
		s.writeErr = writeErr
	}
	for _, d := range []*deadline{&s.reading, &s.writing} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	s.moved.Broadcast()
}

// desert is the reader's end of it: what is under way is lost.
func (s *stream) desert() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(net.ErrClosed, syscall.EPIPE)
	s.b.Reset()
	s.blind = s.writeErr == syscall.EPIPE
}

// drop forgets what is under way.
func (s *stream) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}

// A pipeListener takes connections in memory.
type pipeListener struct {
	addr   net.Addr
	conns  chan *pipe
	closed chan struct{}
	once   sync.Once
}

func newPipeListener(port int) *pipeListener {
	return &pipeListener{
		addr:  &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port},
		conns: make(chan *pipe), closed: make(chan struct{}),
	}
}

// dial connects from an address.
func (l *pipeListener) dial(ctx context.Context, from netip.AddrPort) (net.Conn, error) {
	client, server := newPipe(net.TCPAddrFromAddrPort(from), l.addr)
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: l.addr, Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: l.addr, Err: ctx.Err()}
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return l.addr }
