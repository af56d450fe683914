package auth

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/crypto/bcrypt"
)

// A device is seen when it logs in and when it sends, from where it did so last; with another secret it is another one.
func TestSightings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Login{Account: Account{Name: "alice", Device: "laptop"}, Hash: hashOf(t, "secret", bcrypt.MinCost)}
		s := new(Sightings)
		a := &Authenticator{Store: logins{"alice": {l}}, Sightings: s}
		if got, ok := s.Last(l); ok {
			t.Errorf("before it was seen: %v", got)
		}
		say(t, a, "PLAIN", Peer{here.Addr, "lap\r\ntop\xff", "s1"}, []byte("\x00alice\x00secret"))
		want := Sighting{time.Now().UTC(), here.Addr, "lap??top?"}
		check := func(when string, s *Sightings, l Login, changes uint64) {
			t.Helper()
			got, _ := s.Last(l)
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || s.Changes() != changes {
				t.Errorf("%s: %d changes, want %d (-want +got):\n%s", when, s.Changes(), changes, diff)
			}
		}
		check("after its login", s, l, 1)
		time.Sleep(sightEvery - time.Second)
		a.Still(t.Context(), l, Peer{here.Addr, "lap\r\ntop\xff", "s2"})
		check("a little later", s, l, 1)
		a.Still(t.Context(), l, Peer{netip.MustParseAddr("::ffff:198.51.100.7"), "phone", "s3"})
		want = Sighting{time.Now().UTC(), netip.MustParseAddr("198.51.100.7"), "phone"}
		check("elsewhere", s, l, 2)
		time.Sleep(sightEvery)
		a.Still(t.Context(), l, Peer{netip.MustParseAddr("198.51.100.7"), "phone", "s3"})
		want.At = time.Now().UTC()
		check("a minute later", s, l, 3)

		again := new(Sightings)
		if err := again.Restore(s.Snapshot()); err != nil {
			t.Fatal(err)
		}
		check("after a restart", again, l, 1)
		if strings.Contains(string(s.Snapshot()), string(l.Hash)) {
			t.Error("the snapshot holds the hash")
		}
		l.Hash = hashOf(t, "other", bcrypt.MinCost)
		want = Sighting{}
		check("with another secret", s, l, 3)
	})
}

func TestSightingsRefuseDamage(t *testing.T) {
	for _, bad := range []string{"", "{", `{"version":9}`, `{"version":1,"devices":[{"name":"a","address":"here"}]}`} {
		if err := new(Sightings).Restore([]byte(bad)); err == nil {
			t.Errorf("%q was restored", bad)
		}
	}
}

func TestSightingsAreBounded(t *testing.T) {
	s := new(Sightings)
	for i := range maxSightings + 100 {
		s.note(Login{Account: Account{Name: "fleet", Device: fmt.Sprint(i)}}, here)
	}
	if _, ok := s.Last(Login{Account: Account{Name: "fleet", Device: "0"}}); ok || s.last.Len() != maxSightings {
		t.Errorf("%d are remembered, the first one: %v", s.last.Len(), ok)
	}
}
