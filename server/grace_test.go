package server

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	laptop = netip.MustParseAddr("192.0.2.1")
	other  = netip.MustParseAddr("192.0.2.2")
)

func TestMemoryOfOffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory
		expect := func(addr netip.Addr, wantAgo time.Duration, wantReason string, want bool) {
			t.Helper()
			ago, reason, ok := m.tlsFailure(addr)
			if ago != wantAgo || reason != wantReason || ok != want {
				t.Errorf("tlsFailure(%s) = %s, %q, %t; want %s, %q, %t", addr, ago, reason, ok, wantAgo, wantReason, want)
			}
		}
		m.failed(laptop, tlsClosed) // without an offer there is nothing to excuse
		expect(laptop, 0, "", false)
		m.offered(laptop)
		expect(laptop, 0, "", true)
		expect(other, 0, "", false)
		pass(10 * time.Minute)
		expect(laptop, 10*time.Minute, "", true)
		m.failed(laptop, tlsTimedOut)
		pass(30 * time.Minute)
		expect(laptop, 30*time.Minute, tlsTimedOut, true)
		pass(time.Second)
		expect(laptop, 0, "", false)
		m.offered(laptop)
		m.loggedIn(laptop, "laptop", "alice")
		expect(laptop, 0, "", false)
	})
}

func TestMemoryOfLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory
		m.loggedIn(laptop, "laptop", "alice")
		pass(7 * 24 * time.Hour)
		for _, test := range []struct {
			addr        netip.Addr
			hello, user string
			want        bool
		}{
			{laptop, "laptop", "alice", true},
			{laptop, "laptop", "Alice", true}, // what the client sent, before the account's name was found
			{other, "laptop", "alice", false},
			{laptop, "desktop", "alice", false},
			{laptop, "laptop", "bob", false},
			{laptop, "laptopa", "lice", false},
		} {
			if got := m.usuallyLogsIn(test.addr, test.hello, test.user); got != test.want {
				t.Errorf("usuallyLogsIn(%s, %s, %s) = %t", test.addr, test.hello, test.user, got)
			}
		}
		if !m.knows(laptop) || m.knows(other) {
			t.Error("knows is wrong")
		}
		pass(time.Second)
		if m.usuallyLogsIn(laptop, "laptop", "alice") || m.knows(laptop) {
			t.Error("remembered for longer than 7 days")
		}
	})
}

// Hosts change their address within an IPv6 network; an IPv4 address in IPv6 form is the same client.
func TestMemoryCountsIPv6ByNetwork(t *testing.T) {
	var m Memory
	m.loggedIn(netip.MustParseAddr("2001:db8:0:1::5"), "laptop", "alice")
	m.loggedIn(netip.MustParseAddr("::ffff:192.0.2.1"), "laptop", "alice")
	for addr, want := range map[string]bool{
		"2001:db8:0:1:ffff::9": true,
		"2001:db8:0:2::5":      false,
		"192.0.2.1":            true,
		"192.0.2.3":            false,
		"2001:db8:0:1::5%eth0": true,
	} {
		if got := m.knows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("knows(%s) = %t", addr, got)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var m Memory
	numbered := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range maxMemory + 1 {
		m.loggedIn(numbered(i), "laptop", "alice")
		m.offered(numbered(i))
		if i == 1 {
			m.loggedIn(numbered(0), "laptop", "alice") // makes it newer than 1
			m.offered(numbered(0))
		}
	}
	for i, want := range map[int]bool{0: true, 1: false, 2: true, maxMemory: true} {
		_, _, offered := m.tlsFailure(numbered(i))
		if m.knows(numbered(i)) != want || m.usuallyLogsIn(numbered(i), "laptop", "alice") != want || offered != want {
			t.Errorf("entry %d: want remembered = %t", i, want)
		}
	}
	if n := len(m.logins.entries); n != maxMemory {
		t.Errorf("%d entries", n)
	}
}

func TestMemoryRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory
		m.loggedIn(laptop, "lap\xfftop\n", "alice")
		m.offered(laptop)
		m.failed(laptop, tlsCertificate)
		m.offered(other)
		pass(time.Minute)
		before := m.Changes()
		snapshot := m.Snapshot()
		if m.Changes() != before {
			t.Error("a snapshot is a change")
		}

		var restored Memory
		if err := restored.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		if again := restored.Snapshot(); string(again) != string(snapshot) {
			t.Errorf("snapshot %s, after restoring %s", snapshot, again)
		}
		ago, reason, ok := restored.tlsFailure(laptop)
		if ago != time.Minute || reason != tlsCertificate || !ok {
			t.Errorf("tlsFailure = %s, %q, %t", ago, reason, ok)
		}
		if !restored.usuallyLogsIn(laptop, "lap\xfftop\n", "alice") || !restored.knows(laptop) {
			t.Error("the login is forgotten")
		}
		if restored.Changes() == 0 {
			t.Error("restoring is no change")
		}
	})
}

func TestRestoreRefusesWhatItDoesNotKnow(t *testing.T) {
	var m Memory
	m.loggedIn(laptop, "laptop", "alice")
	for _, snapshot := range []string{
		"", "null", "{", `{"version":2}`, `{"version":1,"offers":[{"at":1}]}`,
		`{"version":1,"offers":[{"from":"192.0.2.0/24","at":1}]}`,
		`{"version":1,"logins":[{"from":"2001:db8::/32","at":1}]}`,
		`{"version":1,"logins":[{"from":"192.0.2.1/33","at":1}]}`,
	} {
		if err := m.Restore([]byte(snapshot)); err == nil {
			t.Errorf("%s was taken", snapshot)
		}
	}
	if !m.knows(laptop) {
		t.Error("a refused snapshot changed the memory")
	}
}

// Words in a file become words in a reply only if they are ours.
func TestRestoreTakesNoForeignWords(t *testing.T) {
	var m Memory
	snapshot := fmt.Sprintf(`{"version":1,"offers":[{"from":"192.0.2.1/32","at":%d,"reason":"\r\n250 ok"}]}`, time.Now().Unix())
	if err := m.Restore([]byte(snapshot)); err != nil {
		t.Fatal(err)
	}
	if _, reason, ok := m.tlsFailure(laptop); reason != "" || !ok {
		t.Errorf("tlsFailure = %q, %t", reason, ok)
	}
}

func FuzzRestore(f *testing.F) {
	var m Memory
	m.loggedIn(laptop, "laptop", "alice")
	m.offered(other)
	f.Add(m.Snapshot())
	f.Add([]byte(`{"version":1,"offers":[{"from":"::/64","at":9223372036854775807}]}`))
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		var m Memory
		if err := m.Restore(snapshot); err != nil {
			return
		}
		var again Memory
		if err := again.Restore(m.Snapshot()); err != nil {
			t.Errorf("its own snapshot is refused: %v", err)
		}
	})
}

func TestLongNamesAreCut(t *testing.T) {
	var m Memory
	long := strings.Repeat("x", 10_000)
	m.loggedIn(laptop, long, long)
	if n := len(m.Snapshot()); n > 2000 {
		t.Errorf("%d octets are remembered", n)
	}
	if !m.usuallyLogsIn(laptop, long, long) {
		t.Error("a long name is not found")
	}
}

// pass lets synctest's time go by.
func pass(d time.Duration) { <-time.After(d) }
