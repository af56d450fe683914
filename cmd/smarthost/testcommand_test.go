//go:build !notestserver

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

func TestParseTestUser(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]smarthosttest.User{
		"app:secret":                       {Name: "app", Password: "secret", Senders: []string{"*"}},
		"anna@example.org:pw":              {Name: "anna@example.org", Password: "pw"},
		"app:pw:a@example.org,*@b.example": {Name: "app", Password: "pw", Senders: []string{"a@example.org", "*@b.example"}},
	} {
		got, err := parseTestUser(in)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", in, err, diff)
		}
	}
	for _, in := range []string{"", "app", ":pw", "app:", "app::*"} {
		if got, err := parseTestUser(in); err == nil {
			t.Errorf("%q is taken as %+v", in, got)
		}
	}
}

// Clients reach a server that listens everywhere by the first name that it was given.
func TestTestHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr  string
		hosts []string
		want  string
	}{
		{"127.0.0.1:25", []string{"mail"}, "127.0.0.1"},
		{"[::]:25", []string{"mail", "smtp"}, "mail"},
		{"0.0.0.0:25", nil, "127.0.0.1"},
		{"192.0.2.1:25", nil, "192.0.2.1"},
	} {
		if got := testHost(c.addr, c.hosts); got != c.want {
			t.Errorf("%s, %q: %s, want %s", c.addr, c.hosts, got, c.want)
		}
	}
}
