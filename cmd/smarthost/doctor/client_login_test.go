package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secure map[string]string
		change func(*Client)
		check  string
		level  Level
		what   string
		heard  string // what the server must have heard
	}{
		"PLAIN":     {nil, nil, "login", Good, `as alice, by PLAIN: 235 2\.7\.0 Logged in`, "tls AUTH PLAIN AGFsaWNlAHNlY3JldA=="},
		"535":       {map[string]string{"AUTH": "535 5.7.8 no"}, nil, "login", Problem, `refused: 535 5\.7\.8 no`, ""},
		"535, 530":  {map[string]string{"AUTH": "535 5.7.8 no", "MAIL": "530 5.7.0 Authentication required"}, nil, "mail without login", Note, `after a login that was refused, is refused for good: "530`, ""},
		"535, 451":  {map[string]string{"AUTH": "535 5.7.8 no", "MAIL": "451 4.7.0 later"}, nil, "mail without login", Good, `after a login that was refused, is told to wait: "451`, ""},
		"454":       {map[string]string{"AUTH": "454 4.7.0 later"}, nil, "login", Warning, `cannot be decided now: 454`, ""},
		"534":       {map[string]string{"AUTH": "534 5.7.9 use an app password"}, nil, "login", Problem, `app password`, ""},
		"neither":   {map[string]string{"EHLO": "250-mx\r\n250 AUTH XOAUTH2"}, nil, "login", Problem, `neither PLAIN nor LOGIN`, ""},
		"no sender": {nil, func(c *Client) { c.User, c.From = "bøb@example.org", "" }, "transaction", Note, `no sender is known`, ""},
		"taken":     {nil, nil, "transaction", Good, `from alice@example\.org to alice@example\.org would be taken.*nothing was sent`, "tls RSET"},
		"to":        {nil, func(c *Client) { c.To = "carol@example.net" }, "transaction", Good, `to carol@example\.net`, "tls RCPT TO:<carol@example.net>"},
		"sender":    {map[string]string{"login MAIL": "550 5.7.1 not an address of alice"}, nil, "transaction", Problem, `would be refused: "550 5\.7\.1.*" \(at MAIL\)`, ""},
		"recipient": {map[string]string{"login RCPT": "550 5.1.1 unknown"}, nil, "transaction", Problem, `\(at RCPT\)`, ""},
		"limit":     {map[string]string{"login MAIL": "450 4.7.1 100 of 100"}, nil, "transaction", Warning, `would have to wait: "450`, ""},
		"breaks":    {map[string]string{"login MAIL": "close"}, nil, "login", Problem, `ended before its end: the connection was closed`, ""},
		"LOGIN": {map[string]string{"EHLO": "250-mx\r\n250 AUTH LOGIN", "AUTH": "334 VXNlcm5hbWU6", "YWxpY2U=": "334 UGFzc3dvcmQ6", "c2VjcmV0": "235 ok"},
			nil, "login", Good, `by LOGIN: 235 ok`, "tls c2VjcmV0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startScript(t, &script{secure: c.secure})
			client := s.client()
			client.User, client.Password, client.From = "alice", "secret", "alice@example.org"
			if c.change != nil {
				c.change(&client)
			}
			all := examine(t, client)
			matches := false
			for _, f := range find(all, c.check) {
				matches = matches || f.Level == c.level && regexp.MustCompile(c.what).MatchString(f.What)
			}
			if !matches {
				t.Errorf("no finding %q at level %v that matches %q:\n%+v", c.check, c.level, c.what, all)
			}
			if !strings.Contains(s.transcript(), c.heard) {
				t.Errorf("the server did not hear %q:\n%s", c.heard, s.transcript())
			}
			if strings.Contains(s.transcript(), "DATA") {
				t.Errorf("DATA was sent without --send:\n%s", s.transcript())
			}
		})
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		final  string
		follow func(context.Context, netip.Addr, string) Finding
		want   map[string]string // check to level and text
	}{
		"ours":    {"250 2.0.0 queued as 06h0ttpdw76h90sy", nil, map[string]string{"send": `good .*queued as 06h0`, "journey": `note .*look for 06h0ttpdw76h90sy in the server's log`}},
		"Exim":    {"250 OK id=1vNabc-000000001-AbC2", nil, map[string]string{"journey": `note .*look for 1vNabc-000000001-AbC2 `}},
		"Postfix": {"250 2.0.0 Ok: queued as 4dGkQz1Xyz", nil, map[string]string{"journey": `note .*look for 4dGkQz1Xyz `}},
		"no id":   {"250 thanks", nil, map[string]string{"journey": `note .*look for <smarthost-doctor\.`}},
		"refused": {"554 5.7.1 spam", nil, map[string]string{"send": `problem .*refused: 554 5\.7\.1 spam`}},
		"followed": {"250 2.0.0 queued as abcdef", func(_ context.Context, _ netip.Addr, id string) Finding {
			return Finding{Check: "journey", What: id + " has left"}
		}, map[string]string{"journey": `good abcdef has left`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startScript(t, &script{secure: map[string]string{"DATA": "354 go", ".": c.final}})
			client := s.client()
			client.User, client.Password, client.From, client.Send, client.Follow = "alice", "secret", "alice@example.org", "bob@example.net", c.follow
			all := examine(t, client)
			for check, want := range c.want {
				f := find(all, check)
				if len(f) != 1 || !regexp.MustCompile(want).MatchString(f[0].Level.String()+" "+f[0].What+" "+f[0].Do) {
					t.Errorf("%s: want %s, got %+v", check, want, f)
				}
			}
			for _, line := range []string{"tls RCPT TO:<bob@example.net>", "Message-ID: <smarthost-doctor.", "To: <bob@example.net>"} {
				if !strings.Contains(s.transcript(), line) {
					t.Errorf("the server did not hear %q:\n%s", line, s.transcript())
				}
			}
		})
	}
}

func TestStrangerFrom(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"mx.example.org": "postmaster@mx.example.org", "192.0.2.1": "postmaster@[192.0.2.1]",
		"2001:db8::1": "postmaster@[IPv6:2001:db8::1]", "fe80::1%eth0": "postmaster@[IPv6:fe80::1]", "::ffff:192.0.2.1": "postmaster@[192.0.2.1]"} {
		if got := (Client{Host: host}).strangerFrom(); got != want {
			t.Errorf("at %s it is %s, want %s", host, got, want)
		}
	}
}

// TestRepeatedPasswords: a server that repeats what it was sent does not bring the password into the findings.
func TestRepeatedPasswords(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]map[string]string{
		"PLAIN":    {"AUTH": "535 5.7.8 AUTH PLAIN AGFsaWNlAHNlY3JldA=="},
		"cut":      {"AUTH": "501 5.5.2 cannot decode AGFsaWNlAHNlY3JldA"},
		"no SMTP":  {"AUTH": "what is AGFsaWNlAHNlY3JldA==?"},
		"LOGIN":    {"EHLO": "250-mx\r\n250 AUTH LOGIN", "AUTH": "334 u", "YWxpY2U=": "334 p", "c2VjcmV0": "500 5.5.2 c2VjcmV0 is no command"},
		"in clear": {"AUTH": "535 5.7.8 alice has not the password secret"},
		"at MAIL":  {"login MAIL": "550 5.7.1 after AGFsaWNlAHNlY3JldA== no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startScript(t, &script{secure: secure})
			client := s.client()
			client.User, client.Password, client.From = "alice", "secret", "alice@example.org"
			shown := fmt.Sprintf("%+v", examine(t, client))
			for _, secret := range []string{"secret", "c2VjcmV0", "AGFsaWNlAHNlY3JldA"} {
				if strings.Contains(shown, secret) {
					t.Errorf("%q is shown: %s", secret, shown)
				}
			}
			if !strings.Contains(shown, "***") {
				t.Errorf("the server's words are missing: %s", shown)
			}
		})
	}
}
