package smarthosttest

import "testing"

// A server starts and ends in a few milliseconds: a test can have one of its own.
func BenchmarkStart(b *testing.B) {
	for name, c := range map[string]Config{"loopback": {}, "memory": {InMemory: true}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s, err := Start(c)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// One message over a connection of its own: TLS, login and all.
func BenchmarkSend(b *testing.B) {
	s := NewServer(b, InMemory())
	for b.Loop() {
		if err := send(b, s, "app", "app@example.com", []string{"bob@example.net"}, letter); err != nil {
			b.Fatal(err)
		}
	}
}
