package guard

// growStack has the goroutine's stack grow once, while there is next to nothing on it to be copied. A TLS handshake needs 16 KiB; on the way there
// a stack that begins with 2 KiB would be copied three times, which costs more than the rest of a connection's bookkeeping.
//
//go:noinline
func growStack(at int) byte {
	var frame [9 << 10]byte
	frame[at%len(frame)] = 1 // or the compiler leaves the frame out
	return frame[at/2]
}
