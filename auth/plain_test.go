package auth

import (
	"bytes"
	"testing"

	"github.com/emersion/go-smtp"
	"golang.org/x/crypto/bcrypt"
)

// FuzzPlain: a response has exactly the three fields that were put in, or is malformed.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x00\x00", "\x00alice\x00secret", "a\x00b\x00c\x00d", "a\x00b\x00\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		tried := 0
		p := &plain{try: func(authzid, user string, password []byte) error {
			tried++
			if got := bytes.Join([][]byte{[]byte(authzid), []byte(user), password}, []byte{0}); !bytes.Equal(got, response) {
				t.Errorf("%q was read as %q", response, got)
			}
			return nil
		}}
		_, done, err := p.Next(append([]byte{}, response...))
		if wellFormed := bytes.Count(response, []byte{0}) == 2; done != wellFormed || tried == 1 != wellFormed {
			t.Errorf("%q: done %v, tried %d", response, done, tried)
		}
		if refusal, ok := err.(*smtp.SMTPError); err != nil && (!ok || refusal.Code != 501) {
			t.Errorf("%q: %v", response, err)
		}
	})
}

func FuzzFoldName(f *testing.F) {
	for _, s := range []string{"alice", "ALICE@Example.org", "\uff21", "ß", "İ", "a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		folded, err := FoldName(name)
		if err != nil {
			return
		}
		if again, err := FoldName(folded); err != nil && len(folded) <= maxName || err == nil && again != folded {
			t.Errorf("%q is folded to %q, and that to %q, %v", name, folded, again, err)
		}
	})
}

func BenchmarkPlainCold(b *testing.B) {
	a := &Authenticator{Store: logins{"alice": single("alice", hashOf(b, "secret", bcrypt.MinCost))}}
	a.once.Do(a.prepare)
	b.ReportAllocs()
	for b.Loop() {
		a.verified.Purge()
		if _, reply := say(b, a, "PLAIN", here, []byte("\x00alice\x00secret")); reply != "235" {
			b.Fatal(reply)
		}
	}
}

func BenchmarkPlainCached(b *testing.B) {
	a := &Authenticator{Store: logins{"alice": single("alice", hashOf(b, "secret", bcrypt.MinCost))}}
	b.ReportAllocs()
	for b.Loop() {
		if _, reply := say(b, a, "PLAIN", here, []byte("\x00alice\x00secret")); reply != "235" {
			b.Fatal(reply)
		}
	}
}
