package guard

import (
	"net"
	"testing"
)

// arrivals counts the pieces that come from a pipe: each is a write at the other end.
type arrivals struct {
	net.Conn
	many int
}

func (a *arrivals) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	if n > 0 {
		a.many++
	}
	return n, err
}

// The reply to QUIT and the end of TLS are one write (RFC 8446 §6.1).
func TestFarewellIsOneWrite(t *testing.T) {
	r := newRig(t, &Guard{}, false, true)
	k := r.clear()
	k.say("STARTTLS", "220")
	counted := &arrivals{Conn: k.Conn}
	k.Conn = counted
	k = k.startTLS()
	k.say("EHLO laptop", "250-mx.test")
	counted.many = 0
	k.say("QUIT", "221 2.0.0 Bye")
	k.wantEnd() // TLS was ended, or this would be io.ErrUnexpectedEOF
	if counted.many != 1 {
		t.Errorf("the farewell came in %d pieces", counted.many)
	}
}
