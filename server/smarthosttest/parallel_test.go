package smarthosttest

import (
	"fmt"
	"testing"
)

// A thousand parallel tests, ten to a server with an inbox each, do not see each other's mail, rules or sessions.
func TestThousandParallelTests(t *testing.T) {
	t.Parallel()
	for range 100 {
		t.Run("server", func(t *testing.T) {
			t.Parallel()
			var users []Option
			for i := range 10 {
				users = append(users, WithUser(User{Name: fmt.Sprint("user", i), Password: "secret", Senders: []string{"*"}}))
			}
			s := NewServer(t, append(users, InMemory())...)
			t.Cleanup(func() {
				if n := len(s.Messages()); n != 5 {
					t.Errorf("the server has %d messages, want 5", n)
				}
			})
			for i := range 10 {
				t.Run("test", func(t *testing.T) {
					t.Parallel()
					oneOfMany(t, s.Inbox(fmt.Sprint("user", i)).For(t), i%2 == 1)
				})
			}
		})
	}
}

// oneOfMany sends a message that a rule of its own refuses, or one that is taken.
func oneOfMany(t *testing.T, inbox *Inbox, refused bool) {
	if refused {
		inbox.Script(On(RCPT).Times(1).Reply(550, "5.1.1", "Not today"))
	}
	err := send(t, inbox.server, inbox.user, inbox.user+"@example.com", []string{"bob@example.net"}, letter)
	if refused != (err != nil) {
		t.Errorf("%s: %v", inbox.user, err)
	}
	if !refused {
		inbox.One(From(inbox.user + "@example.com"))
	} else {
		inbox.None()
	}
	if n := len(inbox.Sessions()); n != 1 {
		t.Errorf("%s has %d sessions", inbox.user, n)
	}
}
