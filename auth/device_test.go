package auth

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
)

// Of all secrets of an account those are tried that the password's tag fits, and those without one; a tag that fits none costs as much as one
// that fits.
func TestCandidates(t *testing.T) {
	named := func(device, tag string) Login {
		return Login{Account: Account{Name: "alice", Device: device}, Hash: dummy(5), Tag: tag}
	}
	gone := named("gone", "aaaaaa")
	gone.Expires = time.Unix(1, 0)
	var crowd []Login
	for i := range 100 {
		crowd = append(crowd, named(fmt.Sprint("old", i), ""), named(fmt.Sprint("same", i), "cccccc"))
	}
	for _, test := range []struct {
		name, password string
		logins         []Login
		want           []string // devices
		blank          int
	}{
		{"no account", "aaaaaa-x", nil, nil, 0},
		{"tagged", "aaaaaa-x", []Login{named("a", "aaaaaa"), named("b", "bbbbbb")}, []string{"a"}, 0},
		{"no tag fits", "cccccc-x", []Login{named("a", "aaaaaa"), named("b", "bbbbbb")}, nil, 5},
		{"a password that was chosen", "correct horse", []Login{named("a", "aaaaaa"), named("", "")}, []string{""}, 5},
		{"one with a tag may have none in the file", "aaaaaa-x", []Login{named("", ""), named("a", "aaaaaa")}, []string{"a", ""}, 0},
		{"what has expired comes last", "aaaaaa-x", []Login{gone, named("a", "aaaaaa")}, []string{"a", "gone"}, 0},
		{"nothing but old ones", "aaaaaa-x", []Login{named("a", ""), named("b", "")}, []string{"a", "b"}, 0},
	} {
		c := candidatesFor(test.logins, []byte(test.password), here.Addr)
		var got []string
		for _, l := range c.logins {
			got = append(got, l.Device)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || c.blank != test.blank {
			t.Errorf("%s: blank cost %d, want %d; devices (-want +got):\n%s", test.name, c.blank, test.blank, diff)
		}
	}
	if c := candidatesFor(crowd, []byte("cccccc-x"), here.Addr); len(c.logins) != 2*maxLogins {
		t.Errorf("of a crowd %d are tried, want %d", len(c.logins), 2*maxLogins)
	}
}

// The last of ten thousand devices logs in, and one that is revoked does not.
func TestTenThousandDevices(t *testing.T) {
	var fleet []Login
	var secret string
	for i := range 10_000 {
		l := Login{Account: Account{Name: "fleet", Device: fmt.Sprint("laptop", i)}, Hash: dummy(bcrypt.MinCost)}
		secret = NewSecret()
		if l.Tag = Tag(secret); i == 9_999 {
			l.Hash = hashOf(t, secret, bcrypt.MinCost)
		}
		fleet = append(fleet, l)
	}
	store := logins{"fleet": fleet}
	a := &Authenticator{Store: store}
	if account, reply := say(t, a, "PLAIN", here, []byte("\x00fleet\x00"+secret)); reply != "235" || account.Device != "laptop9999" {
		t.Errorf("got %q, %q", account.Device, reply)
	}
	store["fleet"] = fleet[:9_999]
	if _, reply := say(t, a, "PLAIN", here, []byte("\x00fleet\x00"+secret)); reply != wrongReply {
		t.Errorf("revoked: got %q", reply)
	}
}

// Who knows a secret that is of no use learns why; it is no guess, it opens nothing, and it is of use again when it should be.
func TestLapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01
		hash := hashOf(t, "secret", bcrypt.MinCost)
		login := func(device string, expires time.Time, networks ...string) []Login {
			l := Login{Account: Account{Name: "alice", Device: device}, Hash: hash, Expires: expires}
			for _, n := range networks {
				l.Networks = append(l.Networks, netip.MustParsePrefix(n))
			}
			return []Login{l}
		}
		store := logins{}
		day, instant := time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC), time.Date(2000, 1, 1, 12, 30, 0, 0, time.UTC)
		for _, test := range []struct {
			logins  []Login
			from    string
			wait    time.Duration
			refusal string
		}{
			{login("laptop", day), "192.0.2.1", 48*time.Hour - time.Second, ""},
			{login("laptop", day), "192.0.2.1", time.Second, "The password of device laptop expired at the end of 2000-01-02 UTC"},
			{login("", instant), "192.0.2.1", 0, "The password expired on 2000-01-01 12:30:00 UTC"},
			{login("a\r\nb", instant), "192.0.2.1", 0, "The password of device a??b expired on 2000-01-01 12:30:00 UTC"},
			{login("laptop", time.Time{}, "192.0.2.0/24", "2001:db8::/32"), "192.0.2.1", 0, ""},
			{login("laptop", time.Time{}, "192.0.2.0/24", "2001:db8::/32"), "::ffff:192.0.2.1", 0, ""},
			{login("laptop", time.Time{}, "192.0.2.0/24", "2001:db8::/32"), "2001:db8::1%eth0", 0, ""},
			{login("laptop", time.Time{}, "192.0.2.0/24"), "198.51.100.1", 0, "The login of device laptop is not allowed from 198.51.100.1, which is in none of its networks"},
			{login("laptop", time.Time{}, "192.0.2.0/24"), "2001:db8::1", 0, "The login of device laptop is not allowed from 2001:db8::1, which is in none of its networks"},
		} {
			store["alice"] = test.logins
			a := &Authenticator{Store: store, Sightings: new(Sightings)}
			time.Sleep(test.wait)
			peer := Peer{Addr: netip.MustParseAddr(test.from)}
			want := "235"
			if test.refusal != "" {
				want = "535 5.7.8 " + test.refusal
			}
			before := a.Sightings.Changes()
			for range 3 {
				start := time.Now()
				if _, reply := say(t, a, "PLAIN", peer, []byte("\x00alice\x00secret")); reply != want || time.Since(start) != 0 {
					t.Errorf("from %s: got %q after %v, want %q at once", test.from, reply, time.Since(start), want)
				}
			}
			if test.refusal != "" && a.Sightings.Changes() != before {
				t.Errorf("%q is a sighting", test.refusal)
			}
		}
	})
}

// A secret that is of no use is not remembered as one that is right.
func TestLapsedIsNotVerified(t *testing.T) {
	l := Login{Account: Account{Name: "alice"}, Hash: hashOf(t, "secret", bcrypt.MinCost), Expires: time.Unix(1, 0)}
	a := &Authenticator{Store: logins{"alice": {l}}}
	say(t, a, "PLAIN", here, []byte("\x00alice\x00secret"))
	if a.verified.Len() != 0 {
		t.Errorf("%d credentials are remembered", a.verified.Len())
	}
}

// A tag that fits none of an account's secrets takes as long as one that fits: a bcrypt of their cost.
func TestNoTagFitsTakesTime(t *testing.T) {
	a := &Authenticator{Store: logins{"alice": {{Account: Account{Name: "alice"}, Hash: dummy(ChosenCost), Tag: "aaaaaa"}}}}
	start := time.Now()
	if _, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00bbbbbb-x")); reply != wrongReply {
		t.Errorf("got %q", reply)
	}
	if took := time.Since(start); took < 5*time.Millisecond { // it takes some 100 ms, and no machine is that much faster
		t.Errorf("it took %v", took)
	}
}
