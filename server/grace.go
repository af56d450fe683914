package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-1397b510/smarthost/auth"
)

const (
	offerMemory = 30 * time.Minute   // how long a 220 to STARTTLS counts as evidence of a TLS trouble
	loginMemory = 7 * 24 * time.Hour // how long a login counts as evidence that the password was right
	maxMemory   = 1 << 16            // entries of each kind; the oldest give way
	maxName     = 255                // octets of an EHLO name or a user that are remembered (RFC 5321 §4.5.3.1.2)
)

// A Memory is what the server remembers about clients in order to tell a passing trouble from a wrong configuration:
// which addresses were told to begin TLS and have not logged in since, and who logged in from where. IPv6 addresses count by /64.
// It holds at most 65,536 entries of each kind, about 30 MB if every client uses the longest names.
// The zero Memory is empty and ready. Its methods may be called at the same time.
type Memory struct {
	mu     sync.Mutex
	offers recent[netip.Prefix, offer]
	logins recent[login, time.Time]
	known  recent[netip.Prefix, time.Time] // when somebody last logged in from there

	changes atomic.Uint64
}

// An offer is a 220 to STARTTLS after which nobody has logged in yet.
type offer struct {
	at     time.Time // of the failure if it is known, else of the 220
	reason string    // fixed words; "" if the failure is not known
}

// A login is a triple that has proved itself: this user, from this address, by that EHLO name.
type login struct {
	from  netip.Prefix
	hello string
	user  string
}

// Changes counts the changes, so that a caller can tell whether a new [Memory.Snapshot] is worth keeping.
func (m *Memory) Changes() uint64 { return m.changes.Load() }

// offered notes that an address was sent 220 to STARTTLS. The note is made at once and not when the handshake fails,
// since clients open the connection in clear in the same instant in which they drop the other one.
func (m *Memory) offered(addr netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes.Add(1)
	m.offers.put(network(addr), offer{at: time.Now()})
}

// failed notes why the TLS of an address failed. Without an offer there is nothing to excuse.
func (m *Memory) failed(addr netip.Addr, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.offers.find(network(addr)); ok {
		m.changes.Add(1)
		m.offers.put(network(addr), offer{time.Now(), reason})
	}
}

// tlsFailure tells whether an address was sent 220 to STARTTLS in the last 30 minutes and nobody has logged in from there since,
// how long that is ago, and the reason if it is known.
func (m *Memory) tlsFailure(addr netip.Addr) (ago time.Duration, reason string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.offers.find(network(addr))
	ago = time.Since(o.at)
	if !ok || ago > offerMemory {
		return 0, "", false
	}
	return ago, o.reason, true
}

// loggedIn notes a login, which also forgets the TLS trouble of its address.
func (m *Memory) loggedIn(addr netip.Addr, hello, user string) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes.Add(1)
	m.offers.remove(network(addr))
	m.known.put(network(addr), now)
	m.logins.put(triple(network(addr), hello, user), now)
}

// usuallyLogsIn tells whether the user logged in from that address and by that EHLO name in the last 7 days.
func (m *Memory) usuallyLogsIn(addr netip.Addr, hello, user string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.logins.find(triple(network(addr), hello, user))
	return ok && time.Since(at) <= loginMemory
}

// knows tells whether anybody logged in from that address in the last 7 days.
func (m *Memory) knows(addr netip.Addr) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.known.find(network(addr))
	return ok && time.Since(at) <= loginMemory
}

// network is what counts as one client: an IPv4 address, or the /64 of an IPv6 address, within which hosts change theirs daily (RFC 8981).
func network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}

func triple(from netip.Prefix, hello, user string) login {
	if folded, err := auth.FoldName(user); err == nil {
		user = folded // as accounts are compared
	}
	return login{from, hello[:min(len(hello), maxName)], user[:min(len(user), maxName)]}
}

// The snapshot's format. A new version must be able to read this one.
const memoryVersion = 1

type (
	memorySnapshot struct {
		Version int             `json:"version"`
		Offers  []offerSnapshot `json:"offers"` // oldest first
		Logins  []loginSnapshot `json:"logins"` // oldest first
	}
	offerSnapshot struct {
		From   netip.Prefix `json:"from"`
		At     int64        `json:"at"` // Unix seconds
		Reason string       `json:"reason,omitempty"`
	}
	loginSnapshot struct {
		From  netip.Prefix `json:"from"`
		Hello []byte       `json:"hello"` // whatever octets the client sent
		User  []byte       `json:"user"`
		At    int64        `json:"at"`
	}
)

// Snapshot writes the memory as JSON, so that a restart in the middle of a client's trouble does not turn it into a bounce.
func (m *Memory) Snapshot() []byte {
	s := memorySnapshot{Version: memoryVersion, Offers: []offerSnapshot{}, Logins: []loginSnapshot{}}
	m.mu.Lock()
	for from, o := range m.offers.all() {
		if time.Since(o.at) <= offerMemory {
			s.Offers = append(s.Offers, offerSnapshot{from, o.at.Unix(), o.reason})
		}
	}
	for l, at := range m.logins.all() {
		if time.Since(at) <= loginMemory {
			s.Logins = append(s.Logins, loginSnapshot{l.from, []byte(l.hello), []byte(l.user), at.Unix()})
		}
	}
	m.mu.Unlock()
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // the types above can always be written
	}
	return b
}

// Restore replaces the memory by what Snapshot wrote. On an error the memory is unchanged.
func (m *Memory) Restore(snapshot []byte) error {
	var s memorySnapshot
	d := json.NewDecoder(bytes.NewReader(snapshot))
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("restore the memory of clients: %w", err)
	}
	if s.Version != memoryVersion {
		return fmt.Errorf("restore the memory of clients: version %d is not known", s.Version)
	}
	now := time.Now()
	var offers recent[netip.Prefix, offer]
	var logins recent[login, time.Time]
	var known recent[netip.Prefix, time.Time]
	for _, o := range s.Offers {
		if !o.From.IsValid() || len(o.Reason) > maxName || network(o.From.Addr()) != o.From {
			return errors.New("restore the memory of clients: a damaged entry")
		}
		if at := time.Unix(o.At, 0); !at.After(now) {
			offers.put(o.From, offer{at, knownReason(o.Reason)})
		}
	}
	for _, l := range s.Logins {
		if !l.From.IsValid() || network(l.From.Addr()) != l.From {
			return errors.New("restore the memory of clients: a damaged entry")
		}
		if at := time.Unix(l.At, 0); !at.After(now) {
			logins.put(triple(l.From, string(l.Hello), string(l.User)), at)
			known.put(l.From, at)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offers, m.logins, m.known = offers, logins, known
	m.changes.Add(1)
	return nil
}
