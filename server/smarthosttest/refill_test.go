package smarthosttest

import (
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/policy/limit"
)

func TestRefill(t *testing.T) {
	class := limit.Class{Messages: limit.Rate{Amount: 2, Per: time.Hour}}
	a, b := User{Name: "a", Password: "pw", Limit: class}, User{Name: "b", Password: "pw", Limit: class}
	s := NewServer(t, InMemory(), WithUser(a), WithUser(b))
	take := func(user string) bool {
		_, err := s.limits.Take(user, ownClass(user), limit.Messages, 1)
		return err == nil
	}
	for _, user := range []string{"a", "b"} {
		if !take(user) || !take(user) || take(user) {
			t.Fatalf("%s may not send 2 messages an hour", user)
		}
	}
	if err := s.Inbox("A").Refill(31 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if !take("a") || take("a") || take("b") {
		t.Error("half an hour gives a one message back, and b none")
	}
	if err := s.Refill(100 * time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"a", "b"} {
		if !take(user) || !take(user) || take(user) {
			t.Errorf("%s: after 100 hours 2 messages may be sent, and no third", user)
		}
	}
	if s.Refill(-time.Hour) == nil {
		t.Error("time goes back")
	}
}
