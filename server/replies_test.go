package server

import (
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
)

// The words of the replies, as people and scripts know them.
func TestReplies(t *testing.T) {
	w := words{host: "mx.example.org", session: "0123456789ab", help: "https://example.org/mail"}
	reply := func(code int, a, b, c int, text string) *smtp.SMTPError {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: text}
	}
	for name, test := range map[string]struct{ got, want *smtp.SMTPError }{
		"clear": {w.mustStartTLS(), reply(530, 5, 7, 0, "Must issue a STARTTLS command first")},
		"clear after TLS failed": {w.tlsFailed(61*time.Second, tlsTimedOut),
			reply(451, 4, 7, 0, "TLS failed 61 s ago (the handshake timed out); keep the message and try again with STARTTLS")},
		"clear after TLS failed for no known reason": {w.tlsFailed(0, ""),
			reply(451, 4, 7, 0, "TLS failed 0 s ago; keep the message and try again with STARTTLS")},
		"no login": {w.loginRequired(),
			reply(530, 5, 7, 0, "Authentication required: log in with AUTH PLAIN to relay mail through mx.example.org [0123456789ab] https://example.org/mail")},
		"no login, no help": {words{host: "mx.example.org", session: "0123456789ab"}.loginRequired(),
			reply(530, 5, 7, 0, "Authentication required: log in with AUTH PLAIN to relay mail through mx.example.org [0123456789ab]")},
		"wrong password": {w.loginFailed("alice", "Wrong user name or password"),
			reply(530, 5, 7, 0, "Authentication required: the login as alice failed: wrong user name or password [0123456789ab] https://example.org/mail")},
		"wrong password where it was right": {temporarily(w.loginFailed("alice", "Wrong user name or password")),
			reply(451, 4, 7, 0, "Authentication required: the login as alice failed: wrong user name or password [0123456789ab] https://example.org/mail")},
		"right password of no use": {w.loginFailed("alice", "The password of device laptop expired at the end of 2027-01-31 UTC"),
			reply(530, 5, 7, 0, "Authentication required: the login as alice failed: the password of device laptop expired at the end of 2027-01-31 UTC [0123456789ab] https://example.org/mail")},
		"account missing where it logged in": {w.accountMissing("alice"),
			reply(454, 4, 7, 0, "There is no account alice at the moment; keep the message and try again [0123456789ab] https://example.org/mail")},
		"revoked since": {w.loginLapsed("the login of device laptop was revoked"),
			reply(530, 5, 7, 0, "Authentication required: the login of device laptop was revoked; log in again [0123456789ab] https://example.org/mail")},
		"AUTH was undecided": {w.unavailable(),
			reply(451, 4, 7, 0, "Authentication is temporarily unavailable; keep the message and try again")},
		"AUTH is undecided": {w.authUnavailable(),
			reply(454, 4, 7, 0, "Authentication is temporarily unavailable; try again [0123456789ab]")},
		"nested MAIL":         {w.nestedMail(), reply(503, 5, 5, 1, "A transaction is open already; end it with DATA or RSET")},
		"no MAIL":             {w.noTransaction(), reply(503, 5, 5, 1, "Send MAIL first")},
		"no RCPT":             {w.noRecipients(), reply(503, 5, 5, 1, "Send RCPT first; no recipient was accepted")},
		"AUTH after MAIL":     {w.authInTransaction(), reply(503, 5, 5, 1, "AUTH is not possible inside a transaction; send RSET first")},
		"too many recipients": {w.tooManyRecipients(200), reply(452, 4, 5, 3, "One message goes to at most 200 recipients; send it again to the others")},
		"accepted":            {w.queued("01"), reply(250, 2, 0, 0, "queued as 01")},
		"sent twice":          {w.alreadyQueued("01"), reply(250, 2, 0, 0, "already queued as 01")},
		"no space":            {w.full(), reply(452, 4, 3, 1, "No space for more mail at the moment; keep the message and try again [0123456789ab]")},
		"storage failed":      {w.notStored(), reply(451, 4, 3, 0, "The message could not be stored; keep it and try again [0123456789ab]")},
		"our fault":           {w.localTrouble(), reply(451, 4, 3, 0, "Trouble on this server; keep the message and try again [0123456789ab]")},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
		})
	}
}

// A reply is one line of at most 512 octets, of printable ASCII, however long its parts are. checklist 16
func TestRepliesFitInOneLine(t *testing.T) {
	w := words{host: strings.Repeat("h", 253), session: "0123456789ab", help: "https://" + strings.Repeat("x", maxHelp-8)}
	user := strings.Repeat("ü\r\n", 100)
	longest := "the login of device " + strings.Repeat("x", 64) + " is not allowed from 2001:db8:1111:2222:3333:4444:5555:6666, which is in none of its networks"
	for _, r := range []*smtp.SMTPError{w.mustStartTLS(), w.loginRequired(), w.loginFailed(user, longest), w.loginLapsed(longest), w.accountMissing(user), w.tlsFailed(offerMemory, tlsClosed), w.full(), w.tooManyRecipients(1 << 30)} {
		if n := len("530 5.7.0 \r\n") + len(r.Message); n > maxReply {
			t.Errorf("%d octets: %q", n, r.Message)
		}
		if strings.ContainsFunc(r.Message, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("not printable: %q", r.Message)
		}
	}
}

func TestPrintable(t *testing.T) {
	for user, want := range map[string]string{
		"":                        "nobody",
		"alice":                   "alice",
		"alice@example.org":       "alice@example.org",
		"a b\r\n250 ok\x00\x7f":   "a?b??250?ok??",
		"zoë":                     "zo?",
		"\xff\xfe":                "??",
		strings.Repeat("a", 64):   strings.Repeat("a", 64),
		strings.Repeat("a", 65):   strings.Repeat("a", 61) + "...",
		strings.Repeat("é", 2000): strings.Repeat("?", 32) + "...",
	} {
		if got := printable(user); got != want {
			t.Errorf("printable(%q) = %q, want %q", user, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("alice\r\n")
	f.Fuzz(func(t *testing.T, user string) {
		got := printable(user)
		if got == "" || len(got) > maxUser || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("printable(%q) = %q", user, got)
		}
	})
}
