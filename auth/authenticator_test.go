package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
)

// logins is a Store.
type logins map[string][]Login

func (s logins) Logins(_ context.Context, name string) ([]Login, error) { return s[name], nil }

func (s logins) Login(_ context.Context, name, device string) (Login, bool, error) {
	for _, l := range s[name] {
		if l.Device == device {
			return l, true, nil
		}
	}
	return Login{}, false, nil
}

func (s logins) Sample(_ context.Context, n int) (some [][]Login) {
	for _, of := range s {
		if len(some) < n {
			some = append(some, of)
		}
	}
	return some
}

// storeFunc is a Store that does what a test says.
type storeFunc func(ctx context.Context, name string) ([]Login, error)

func (f storeFunc) Logins(ctx context.Context, name string) ([]Login, error) { return f(ctx, name) }

func (f storeFunc) Login(ctx context.Context, name, device string) (l Login, ok bool, err error) {
	all, err := f(ctx, name)
	for _, l := range all {
		if l.Device == device {
			return l, true, nil
		}
	}
	return Login{}, false, err
}

func (f storeFunc) Sample(context.Context, int) [][]Login { return nil }

var here = Peer{Addr: netip.MustParseAddr("192.0.2.1"), Hello: "laptop", Session: "s1"}

func hashOf(t testing.TB, password string, cost int) []byte {
	h, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func single(name string, hash []byte) []Login {
	return []Login{{Account: Account{Name: name}, Hash: hash}}
}

// say runs a whole exchange; a nil first response is none. It returns who logged in, and the reply in short.
func say(t testing.TB, a *Authenticator, mechanism string, peer Peer, responses ...[]byte) (Account, string) {
	return sayContext(t.Context(), a, mechanism, peer, responses...)
}

func sayContext(ctx context.Context, a *Authenticator, mechanism string, peer Peer, responses ...[]byte) (account Account, reply string) {
	called := 0
	s, err := a.Begin(ctx, mechanism, peer, func(got Login) { account = got.Account; called++ })
	for i := 0; err == nil; i++ {
		if i == len(responses) {
			return account, "unfinished"
		}
		var done bool
		_, done, err = s.Next(responses[i])
		if done && called == 1 {
			return account, "235"
		}
	}
	var refusal *smtp.SMTPError
	if called != 0 || !errors.As(err, &refusal) || error(refusal) != err {
		return account, "not a bare refusal: " + err.Error()
	}
	return account, refusalText(refusal)
}

func refusalText(e *smtp.SMTPError) string {
	c := e.EnhancedCode
	return fmt.Sprintf("%d %d.%d.%d %s", e.Code, c[0], c[1], c[2], e.Message)
}

const (
	wrongReply     = "535 5.7.8 Wrong user name or password"
	malformedReply = "501 5.5.2 AUTH PLAIN takes three fields: authorization identity, user name, password"
	slowReply      = "454 4.7.0 The login took too long; keep the message and try again"
	storeReply     = "454 4.7.0 The accounts cannot be read at the moment; keep the message and try again"
	crowdReply     = "454 4.7.0 Too many logins at the same time; keep the message and try again"
)

// checklist 40, 41, 43, 45, 49, 50, 53, 54: what PLAIN takes, and that a refusal does not tell which part was wrong.
func TestPlain(t *testing.T) {
	long := strings.Repeat("x", MaxPassword)
	store := logins{
		"alice":              single("alice", hashOf(t, "secret", bcrypt.MinCost)),
		"straße@example.org": single("straße@example.org", hashOf(t, "geheim", bcrypt.MinCost)),
		"long":               single("long", hashOf(t, long, bcrypt.MinCost)),
		"locked":             single("locked", []byte("*")),
	}
	for _, test := range []struct{ name, response, account, reply string }{
		{"right", "\x00alice\x00secret", "alice", "235"},
		{"authzid is the user", "alice\x00alice\x00secret", "alice", "235"},
		{"authzid in other case", "ALICE\x00alice\x00secret", "alice", "235"},
		{"authzid is another", "bob\x00alice\x00secret", "", wrongReply},
		{"authzid is no name", "a b\x00alice\x00secret", "", wrongReply},
		{"case is folded", "\x00AlIcE\x00secret", "alice", "235"},
		{"full width is folded", "\x00\uff21lice\x00secret", "alice", "235"},
		{"composed or not", "\x00STRAßE@example.org\x00geheim", "straße@example.org", "235"},
		{"wrong password", "\x00alice\x00Secret", "", wrongReply},
		{"unknown user", "\x00nobody\x00secret", "", wrongReply},
		{"account without a usable hash", "\x00locked\x00secret", "", wrongReply},
		{"no user", "\x00\x00secret", "", wrongReply},
		{"no password", "\x00alice\x00", "", wrongReply},
		{"name with a blank", "\x00ali ce\x00secret", "", wrongReply},
		{"name with a line end", "\x00alice\r\n\x00secret", "", wrongReply},
		{"name is not UTF-8", "\x00\xff\x00secret", "", wrongReply},
		{"name is a path", "\x00../../x\x00secret", "", wrongReply},
		{"name too long", "\x00" + strings.Repeat("a", maxName+1) + "\x00secret", "", wrongReply},
		{"72 octets", "\x00long\x00" + long, "long", "235"},
		{"73 octets", "\x00long\x00" + long + "x", "", wrongReply},
		{"empty", "", "", malformedReply},
		{"one field", "alice", "", malformedReply},
		{"two fields", "alice\x00secret", "", malformedReply},
		{"four fields", "\x00alice\x00sec\x00ret", "", malformedReply},
		{"NUL at the end", "\x00alice\x00secret\x00", "", malformedReply},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, responses := range [][][]byte{{[]byte(test.response)}, {nil, []byte(test.response)}} {
				a := &Authenticator{Store: store}
				a.dummies.saw(store["alice"]) // unknown users cost as little as she does
				account, reply := say(t, a, "PLAIN", here, responses...)
				if account.Name != test.account || reply != test.reply {
					t.Errorf("%d responses: got %q, %q; want %q, %q", len(responses), account.Name, reply, test.account, test.reply)
				}
			}
		})
	}
}

// checklist 41: an empty challenge asks for the response, once.
func TestPlainChallenge(t *testing.T) {
	a := &Authenticator{Store: logins{}}
	s, err := a.Begin(t.Context(), "plain", here, nil)
	if err != nil {
		t.Fatal(err)
	}
	challenge, done, err := s.Next(nil)
	if challenge == nil || len(challenge) != 0 || done || err != nil {
		t.Errorf("got %q, %v, %v; want an empty challenge", challenge, done, err)
	}
	if _, _, err = s.Next(nil); err == nil {
		t.Error("no response at all was asked for twice")
	}
}

func TestLogin(t *testing.T) {
	a := &Authenticator{Store: logins{"alice": single("alice", hashOf(t, "secret", bcrypt.MinCost))}}
	for _, test := range []struct {
		name      string
		responses [][]byte
		reply     string
	}{
		{"asked for both", [][]byte{nil, []byte("alice"), []byte("secret")}, "235"},
		{"name as initial response", [][]byte{[]byte("alice"), []byte("secret")}, "235"},
		{"wrong password", [][]byte{nil, []byte("alice"), []byte("x")}, wrongReply},
		{"empty", [][]byte{nil, {}, {}}, wrongReply},
		{"NUL in the password", [][]byte{nil, []byte("alice"), []byte("secret\x00x")}, wrongReply},
		{"NUL in the name", [][]byte{nil, []byte("alice\x00"), []byte("secret")}, wrongReply},
	} {
		peer := Peer{Addr: netip.AddrFrom4([4]byte{198, 51, 100, byte(len(test.name))})} // failures of one do not slow down another
		if _, reply := say(t, a, "LOGIN", peer, test.responses...); reply != test.reply {
			t.Errorf("%s: got %q, want %q", test.name, reply, test.reply)
		}
	}
	s, _ := a.Begin(t.Context(), "LOGIN", here, nil)
	for i, want := range []string{"Username:", "Password:"} {
		if got, _, _ := s.Next([][]byte{nil, []byte("alice")}[i]); string(got) != want {
			t.Errorf("challenge %d is %q, want %q", i, got, want)
		}
	}
}

// checklist 44
func TestUnknownMechanism(t *testing.T) {
	a := &Authenticator{Store: logins{}}
	_, reply := say(t, a, "CRAM-MD5", here)
	if want := "504 5.5.4 This mechanism is not known here; use AUTH PLAIN or AUTH LOGIN"; reply != want {
		t.Errorf("got %q, want %q", reply, want)
	}
	if diff := cmp.Diff([]string{"PLAIN", "LOGIN"}, a.Mechanisms()); diff != "" {
		t.Error(diff)
	}
}

// Hashes that other programs wrote are understood, whatever their letter.
func TestHashesOfOthers(t *testing.T) {
	for _, test := range []struct{ hash, password string }{
		{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"}, // crypt_blowfish's first vector
		{"$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"}, // as htpasswd -B -C 5 writes it
		{"$2y$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e", "correct horse"},
		{"$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e", "correct horse"},
	} {
		a := &Authenticator{Store: logins{"alice": single("alice", []byte(test.hash))}}
		if _, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00"+test.password)); reply != "235" {
			t.Errorf("%s: got %q", test.hash, reply)
		}
		if _, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00"+test.password+"x")); reply != wrongReply {
			t.Errorf("%s with a wrong password: got %q", test.hash, reply)
		}
	}
}

// An account has devices, and is told which one logged in.
func TestDevices(t *testing.T) {
	laptop := Login{Account: Account{Name: "alice", Device: "laptop", Class: "bulk", Senders: []string{"*@a.example"}}, Hash: hashOf(t, "one", bcrypt.MinCost)}
	phone := Login{Account: Account{Name: "alice", Device: "phone"}, Hash: hashOf(t, "two", bcrypt.MinCost)}
	a := &Authenticator{Store: logins{"alice": {phone, laptop}}}
	for range 2 { // verified, then from the cache
		account, _ := say(t, a, "PLAIN", here, []byte("\x00alice\x00one"))
		if diff := cmp.Diff(laptop.Account, account); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// checklist 46: trouble of ours is never a wrong password.
func TestStoreInTrouble(t *testing.T) {
	t.Run("error", func(t *testing.T) {
		a := &Authenticator{Store: storeFunc(func(context.Context, string) ([]Login, error) { return nil, errors.New("broken") })}
		if _, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00x")); reply != storeReply {
			t.Errorf("got %q, want %q", reply, storeReply)
		}
	})
	for name, obeys := range map[string]bool{"silent": true, "silent and deaf": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := make(chan struct{})
				a := &Authenticator{Store: storeFunc(func(ctx context.Context, _ string) ([]Login, error) {
					if obeys {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					<-end
					return nil, nil
				})}
				start := time.Now()
				_, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00x"))
				if took := time.Since(start); reply != storeReply || took != standardDeadline {
					t.Errorf("got %q after %v, want %q after %v", reply, took, storeReply, standardDeadline)
				}
				close(end)
			})
		})
	}
}
