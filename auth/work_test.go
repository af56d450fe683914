package auth

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
)

func costs(t *testing.T, hashes [][]byte) (all []int) {
	for _, h := range hashes {
		cost, err := bcrypt.Cost(h)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, cost)
	}
	return all
}

// An account with devices beyond number stands in the sample like any other: what one password costs there, and nothing before it was looked at.
func TestSampleIsTakenNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hash := hashOf(t, "x", bcrypt.MinCost)
		store := logins{"fleet": {{Hash: hash}, {Hash: hash, Tag: "aaaaaa"}, {Hash: hash, Tag: "bbbbbb"}}}
		a := &Authenticator{Store: store}
		shape := func() []int {
			if _, reply := say(t, a, "PLAIN", here, []byte("\x00nobody\x00wrong")); reply != wrongReply {
				t.Fatalf("got %q", reply)
			}
			return costs(t, a.dummies.hashes(a.key[:], "nobody"))
		}
		if diff := cmp.Diff([]int{4, 4}, shape()); diff != "" {
			t.Errorf("for the first one who is unknown (-want +got):\n%s", diff)
		}
		delete(store, "fleet")
		store["single"] = single("single", hash)
		a.dummies.shapes = nil
		if diff := cmp.Diff([]int{ChosenCost}, shape()); diff != "" {
			t.Errorf("at once again (-want +got):\n%s", diff)
		}
		time.Sleep(sampleEvery)
		if diff := cmp.Diff([]int{4}, shape()); diff != "" {
			t.Errorf("after a while (-want +got):\n%s", diff)
		}
	})
}

// A dummy costs what a real hash costs, and is nobody's.
func TestDummy(t *testing.T) {
	for _, cost := range []int{bcrypt.MinCost, 5, 10} {
		if got, err := bcrypt.Cost(dummy(cost)); got != cost || err != nil {
			t.Errorf("cost %d, %v; want %d", got, err, cost)
		}
		if err := bcrypt.CompareHashAndPassword(dummy(cost), []byte("")); err != bcrypt.ErrMismatchedHashAndPassword {
			t.Errorf("compared: %v", err)
		}
	}
}

// checklist 53: for a user that does not exist as many hashes of the same costs are compared as for one that does.
func TestUnknownUserCostsTheSame(t *testing.T) {
	cheap, dear := hashOf(t, "x", bcrypt.MinCost), hashOf(t, "x", bcrypt.MinCost+1)
	a := &Authenticator{Store: logins{
		"devices": {{Account: Account{Name: "devices"}, Hash: cheap}, {Account: Account{Name: "devices"}, Hash: dear}, {Account: Account{Name: "devices"}, Hash: cheap}},
		"single":  single("single", dear),
	}}
	a.once.Do(a.prepare)
	if diff := cmp.Diff([]int{ChosenCost}, costs(t, a.dummies.hashes(a.key[:], "nobody"))); diff != "" {
		t.Errorf("before any account was tried (-want +got):\n%s", diff)
	}
	for _, name := range []string{"devices", "single"} {
		say(t, a, "PLAIN", here, []byte("\x00"+name+"\x00wrong"))
	}
	shapes := map[string]int{}
	for i := range 64 {
		name := strings.Repeat("n", i+1)
		shape := costs(t, a.dummies.hashes(a.key[:], name))
		if again := costs(t, a.dummies.hashes(a.key[:], name)); !slices.Equal(shape, again) {
			t.Fatalf("the costs for one name are %v, then %v", shape, again)
		}
		switch {
		case slices.Equal(shape, []int{4, 5, 4}):
			shapes["devices"]++
		case slices.Equal(shape, []int{5}):
			shapes["single"]++
		default:
			t.Fatalf("costs %v are no account's", shape)
		}
	}
	if shapes["devices"] == 0 || shapes["single"] == 0 {
		t.Errorf("64 names have %v; want both kinds", shapes)
	}
}

// What is remembered of accounts has a bound.
func TestShapesAreBounded(t *testing.T) {
	var d dummies
	hash := hashOf(t, "x", bcrypt.MinCost)
	for n := range 3 * maxShapes {
		d.saw(slices.Repeat([]Login{{Hash: hash}}, n))
	}
	if len(d.shapes) != maxShapes {
		t.Errorf("%d shapes are remembered, want %d", len(d.shapes), maxShapes)
	}
}

// fill takes all of a semaphore, and returns a func that gives it back.
func fill(c chan struct{}) func() {
	n := cap(c) - len(c)
	for range n {
		c <- struct{}{}
	}
	return func() {
		for range n {
			<-c
		}
	}
}

// A verified credential needs no bcrypt run; a changed hash makes it unverified.
func TestVerifiedCredentialsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := logins{"alice": single("alice", hashOf(t, "secret", bcrypt.MinCost))}
		a := &Authenticator{Store: store}
		say(t, a, "PLAIN", here, []byte("\x00alice\x00secret"))
		free := fill(a.running) // from here on no bcrypt can run
		for response, want := range map[string]string{
			"\x00alice\x00secret": "235",
			"\x00ALICE\x00secret": "235",
			"\x00alice\x00Secret": slowReply,
		} {
			if _, reply := say(t, a, "PLAIN", here, []byte(response)); reply != want {
				t.Errorf("%q: got %q, want %q", response, reply, want)
			}
		}
		old := store["alice"]
		store["alice"] = single("alice", hashOf(t, "secret", bcrypt.MinCost)) // same password, another salt
		if _, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00secret")); reply != slowReply {
			t.Errorf("after the hash has changed: got %q, want %q", reply, slowReply)
		}
		store["alice"] = nil
		if _, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00secret")); reply != slowReply {
			t.Errorf("after the account is gone: got %q, want %q", reply, slowReply)
		}
		store["alice"] = old
		time.Sleep(verifiedFor) // nothing sleeps: the bubble's clock moves on
		if _, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00secret")); reply != slowReply {
			t.Errorf("after %v: got %q, want %q", verifiedFor, reply, slowReply)
		}
		free()
		store["alice"] = single("alice", hashOf(t, "other", bcrypt.MinCost))
		if _, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00secret")); reply != wrongReply {
			t.Errorf("the old password: got %q, want %q", reply, wrongReply)
		}
	})
}

// The cache's key keeps apart what adjoining fields could make alike, and shows nothing of the password.
func TestCacheKey(t *testing.T) {
	a, b := &Authenticator{}, &Authenticator{}
	a.once.Do(a.prepare)
	b.once.Do(b.prepare)
	seen := map[[32]byte]bool{
		a.cacheKey("ab", []byte("c"), []byte("h")): true,
		a.cacheKey("a", []byte("bc"), []byte("h")): true,
		a.cacheKey("ab", []byte("ch"), nil):        true,
		b.cacheKey("ab", []byte("c"), []byte("h")): true, // another process
	}
	if len(seen) != 4 {
		t.Errorf("%d keys of 4 differ", len(seen))
	}
	if key := a.cacheKey("ab", []byte("c"), []byte("h")); !seen[key] || bytes.Contains(key[:], []byte("abc")) {
		t.Error("the key of the same credentials differs")
	}
}

// checklist 53: bcrypt runs and the line in front of them are bounded; who waits too long is asked to come again.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Authenticator{Store: logins{"alice": single("alice", hashOf(t, "secret", bcrypt.MinCost))}, Verifications: 2, Waiting: 3}
		a.once.Do(a.prepare)
		free := fill(a.running)
		for range 2 { // the two that run hold a place in the line too
			a.waiting <- struct{}{}
		}
		start := time.Now()
		var wg sync.WaitGroup
		replies := make(chan string, 4)
		for i := range 3 {
			wg.Go(func() {
				peer := Peer{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
				_, reply := say(t, a, "PLAIN", peer, []byte("\x00alice\x00secret"))
				replies <- reply
			})
		}
		synctest.Wait()
		if _, reply := say(t, a, "PLAIN", Peer{}, []byte("\x00alice\x00secret")); reply != crowdReply || time.Since(start) != 0 {
			t.Errorf("the fourth in the line: got %q after %v, want %q at once", reply, time.Since(start), crowdReply)
		}
		wg.Wait()
		for range 3 {
			if reply := <-replies; reply != slowReply {
				t.Errorf("in the line: got %q, want %q", reply, slowReply)
			}
		}
		if took := time.Since(start); took != standardDeadline {
			t.Errorf("waited %v, want %v", took, standardDeadline)
		}
		free()
		<-a.waiting
		<-a.waiting
		if _, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00secret")); reply != "235" || len(a.waiting) != 0 || len(a.running) != 0 {
			t.Errorf("afterwards: got %q, %d waiting, %d running", reply, len(a.waiting), len(a.running))
		}
	})
}

// The end of the connection ends the wait for a bcrypt run.
func TestContextEndsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Authenticator{Store: logins{}}
		a.once.Do(a.prepare)
		defer fill(a.running)()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, reply := sayContext(ctx, a, "PLAIN", here, []byte("\x00alice\x00x")); reply != slowReply || time.Since(start) != time.Second {
			t.Errorf("got %q after %v", reply, time.Since(start))
		}
	})
}

// A credential that comes on many connections at once is verified at most twice: for the first, and for the first in the line behind it.
func TestBurstOfOneCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Authenticator{Store: logins{"alice": single("alice", hashOf(t, "secret", bcrypt.MinCost))}, Verifications: 1}
		a.once.Do(a.prepare)
		a.running <- struct{}{}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, reply := say(t, a, "PLAIN", here, []byte("\x00alice\x00secret")); reply != "235" {
					t.Errorf("got %q", reply)
				}
			})
		}
		synctest.Wait()
		if len(a.waiting) > 2 {
			t.Errorf("%d wait for a bcrypt run, want at most 2", len(a.waiting))
		}
		<-a.running
		wg.Wait()
	})
}

func TestHashPassword(t *testing.T) {
	for _, test := range []struct {
		password  string
		generated bool
		cost      int // 0: refused
	}{
		{"", false, 0},
		{strings.Repeat("x", 73), false, 0},
		{"a\x00b", false, 0},
		{strings.Repeat("x", 72), true, bcrypt.MinCost},
		{"chosen", false, ChosenCost},
	} {
		hash, err := HashPassword([]byte(test.password), test.generated)
		if cost, _ := bcrypt.Cost(hash); (err == nil) != (test.cost > 0) || cost != test.cost {
			t.Errorf("%q: cost %d, %v; want %d", test.password, cost, err, test.cost)
		}
	}
}

func TestTag(t *testing.T) {
	for secret, want := range map[string]string{
		"abc234-xyz": "abc234", "abc234-": "abc234", "abc234": "", "abc23-xyz": "", "abc2345-xyz": "", "ABC234-xyz": "",
		"abc1o0-xyz": "", "": "", "-": "", "correct-horse": "", "abcd-efgh-ijkm": "",
	} {
		if got := Tag(secret); got != want {
			t.Errorf("%q: got %q, want %q", secret, got, want)
		}
	}
}

func TestNewSecret(t *testing.T) {
	a, b := NewSecret(), NewSecret()
	if a == b || len(a) != 46 || Tag(a) != a[:6] || strings.Trim(a, secretSigns+"-") != "" {
		t.Errorf("secrets %q and %q", a, b)
	}
}
