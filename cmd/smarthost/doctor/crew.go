package doctor

import "sync"

// A crew is a sync.WaitGroup that brings a panic of one of its functions to whoever waits, where it is the check's fault and not the end
// of the process.
type crew struct {
	all   sync.WaitGroup
	mu    sync.Mutex
	fault any
}

// Go calls f in a goroutine of its own.
func (c *crew) Go(f func()) {
	c.all.Go(func() {
		defer func() {
			if fault := recover(); fault != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.fault = fault
			}
		}()
		f()
	})
}

// Wait returns when all functions have, or panics as one of them did.
func (c *crew) Wait() {
	c.all.Wait()
	if c.fault != nil {
		panic(c.fault)
	}
}
