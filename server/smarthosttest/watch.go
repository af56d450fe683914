package smarthosttest

// SessionsChanged returns a channel that is closed when something has happened in a session; see Changed.
func (v view) SessionsChanged() <-chan struct{} {
	v.server.sessions.mu.Lock()
	defer v.server.sessions.mu.Unlock()
	return v.server.sessions.changed
}
