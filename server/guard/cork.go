package guard

import (
	"net"
	"sync"
)

// A cork can hold back what is written to its Conn, so that it leaves in one piece.
type cork struct {
	net.Conn
	mu   sync.Mutex
	in   bool
	held []byte
}

// Write may be called while another goroutine calls hold or release.
func (k *cork) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.in {
		k.held = append(k.held, p...)
		return len(p), nil
	}
	return k.Conn.Write(p)
}

// hold begins to hold back.
func (k *cork) hold() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.in = true
}

// release writes what was held back, and holds back no more.
func (k *cork) release() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	held := k.held
	k.in, k.held = false, nil
	if len(held) == 0 {
		return nil
	}
	_, err := k.Conn.Write(held)
	return err
}
