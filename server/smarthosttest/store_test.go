package smarthosttest

import (
	"strings"
	"testing"
)

// The oldest messages give way when there are too many or too large ones, and what is received at the same time is bounded too.
func TestBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{"messages": {MaxMessages: 2}, "octets": {MaxOctets: int64(2*len(letter) + 9)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewServer(t, WithConfig(c), InMemory())
			for i := range 3 {
				if err := send(t, s, "app", "app@example.com", []string{"bob@example.net"}, strings.Replace(letter, "hello", strings.Repeat("x", i+1), 1)); err != nil {
					t.Fatal(err)
				}
			}
			if of := s.Messages(); len(of) != 2 || of[0].Seq != 2 {
				t.Errorf("%d messages are kept, the first is %d", len(of), of[0].Seq)
			}
			if n := s.Delete(); n != 2 || s.store.octets != 0 || s.store.coming != 0 {
				t.Errorf("%d deleted; %d octets are counted, and %d coming", n, s.store.octets, s.store.coming)
			}
		})
	}
	s := NewServer(t, WithConfig(Config{MaxOctets: 10}), InMemory())
	if err := send(t, s, "app", "app@example.com", []string{"bob@example.net"}, letter); err == nil || !strings.HasPrefix(err.Error(), "452 ") {
		t.Errorf("a message that does not fit: %v", err)
	}
}

// The duplicate guard remembers no message that was deleted, so that who sends it again does not wait for it in vain.
func TestDeletedMailIsKeptWhenItIsSentAgain(t *testing.T) {
	t.Parallel()
	s := NewServer(t, InMemory())
	again := func(want int) {
		t.Helper()
		if err := send(t, s, "app", "app@example.com", []string{"bob@example.net"}, "Message-ID: <1@example.com>\r\n"+letter); err != nil {
			t.Fatal(err)
		}
		if n := len(s.Messages()); n != want {
			t.Errorf("%d messages are kept and not %d", n, want)
		}
	}
	again(1)
	again(1)
	s.Delete(To("bob@example.net"))
	again(1)
	s.Reset()
	again(1)
}
