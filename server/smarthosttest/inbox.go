package smarthosttest

// An Inbox is what belongs to one user of a server: its messages, sessions and rules. It has the methods of a [Server] that ask for such.
type Inbox struct{ view }

// Inbox returns the inbox of a user. A user that the server does not know has an empty one.
func (s *Server) Inbox(user string) *Inbox {
	return &Inbox{view{server: s, user: folded(user), tb: s.tb}}
}

// view is a server seen as one user, or as all of them.
type view struct {
	server *Server
	user   string // folded; "" is everybody
	tb     TB
}

// For returns the same inbox for another test, whose checks that fail are then that test's.
func (i *Inbox) For(tb TB) *Inbox {
	of := *i
	of.tb = tb
	return &of
}

// mine tells whether a message is in view and matches.
func (v view) mine(m *Message, match []Match) bool {
	return (v.user == "" || m.User == v.user) && matches(m, match)
}

// minesession tells whether a session is in view: who has not logged in belongs to the user that it claimed to be.
func (v view) mineSession(s *Session) bool {
	return v.user == "" || s.User == v.user || s.User == "" && folded(s.Claimed) == v.user
}

// Messages returns the messages that match, in the order of arrival.
func (v view) Messages(match ...Match) []*Message {
	of, _ := v.messages(match)
	return of
}

func (v view) messages(match []Match) ([]*Message, <-chan struct{}) {
	return v.server.store.all(func(m *Message) bool { return v.mine(m, match) })
}

// Sessions returns the sessions as they are now, in the order in which they began. Those that are open go on, and what is returned does not.
func (v view) Sessions() []*Session {
	of, _ := v.server.sessions.all(v.mineSession)
	return of
}

// Reset forgets messages, rules, and sessions that are over. What limits have counted stays.
func (v view) Reset() {
	v.Delete()
	v.ClearRules()
	v.server.sessions.remove(v.mineSession)
}

// Delete forgets the messages that match, and returns how many there were.
func (v view) Delete(match ...Match) int {
	return v.server.store.remove(func(m *Message) bool { return v.mine(m, match) })
}

// Changed returns a channel that is closed when a message has come or gone, for those who wait for something of their own:
// ask for it first, then look, then wait.
func (v view) Changed() <-chan struct{} {
	_, changed := v.messages(nil)
	return changed
}
