package guard

import "context"

// Drain ends every connection: those between commands at once with 421 4.3.2, those inside content when the reply has been sent.
// It returns when all are gone, or closes the rest and returns ctx.Err() when ctx ends. The listeners must be closed before.
func (g *Guard) Drain(ctx context.Context) error {
	gone := g.drainAll()
	if gone == nil {
		return nil
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		c.raw.Close()
	}
	return ctx.Err()
}

// drainAll wakes all connections that wait, and returns a channel that is closed when there are none, or nil if there are none.
func (g *Guard) drainAll() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
	if len(g.conns) == 0 {
		return nil
	}
	for c := range g.conns {
		c.wake()
	}
	if g.gone == nil {
		g.gone = make(chan struct{})
	}
	return g.gone
}
