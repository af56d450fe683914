package doctor

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// What comes in between and answers something else, or nothing, is passed over.
func TestStrayAnswers(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() { // ends with the socket
		packet := make([]byte, ednsSize)
		n, from, err := server.ReadFrom(packet)
		var m dnsmessage.Message
		if err != nil || m.Unpack(packet[:n]) != nil {
			return
		}
		m.Response, m.Additionals = true, nil
		say := func(address byte, change func(*dnsmessage.Message)) {
			other := m
			other.Questions = []dnsmessage.Question{m.Questions[0]}
			other.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, address}}}}
			change(&other)
			if text, err := other.Pack(); err == nil {
				server.WriteTo(text, from)
			}
		}
		server.WriteTo([]byte("no DNS"), from)
		server.WriteTo(packet[:n], from) // the question itself
		say(1, func(m *dnsmessage.Message) { m.ID++ })
		say(2, func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("evil.example.") })
		say(3, func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeMX })
		say(4, func(m *dnsmessage.Message) { m.Questions = nil })
		say(5, func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("A.Example.") }) // RFC 4343
	}()
	addrs, err := (&DNS{Servers: []string{server.LocalAddr().String()}}).LookupNetIP(t.Context(), "ip4", "a.example")
	if len(addrs) != 1 || addrs[0] != netip.MustParseAddr("192.0.2.5") {
		t.Errorf("%v, %v", addrs, err)
	}
}

func TestNameOfAnAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.10":  "10.2.0.192.in-addr.arpa.",
		"2001:db8::1": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
	} {
		if got := reverseName(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}
