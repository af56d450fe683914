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
	left := func(user string) (n int) { // how many more it may send
		for {
			if _, err := s.limits.Take(user, ownClass(user), limit.Messages, 1); err != nil {
				return n
			}
			n++
		}
	}
	for _, user := range []string{"a", "b"} {
		if n := left(user); n != 2 {
			t.Fatalf("%s may send %d messages an hour and not 2", user, n)
		}
	}
	if err := s.Inbox("A").Refill(31 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if a, b := left("a"), left("b"); a != 1 || b != 0 {
		t.Errorf("half an hour of a's gives a %d messages back, and b %d", a, b)
	}
	if err := s.Refill(100 * time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"a", "b"} {
		if n := left(user); n != 2 {
			t.Errorf("%s may send %d messages after 100 hours, and not 2", user, n)
		}
	}
	if s.Refill(-time.Hour) == nil {
		t.Error("time goes back")
	}
}
