package auth

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A login that was changed, revoked or has lapsed is no login any more, and the words say which; its account is always the newest.
func TestStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := func(hash string, senders ...string) Login {
			return Login{Account: Account{Name: "alice", Device: "laptop", Senders: senders}, Hash: []byte(hash)}
		}
		old := login("h1")
		expired, elsewhere := old, old
		expired.Expires = time.Now()
		elsewhere.Networks = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		noDevice := Login{Account: Account{Name: "alice"}, Hash: []byte("h1")}
		for _, test := range []struct {
			name    string
			store   Store
			as      Login
			why     string
			senders []string
			took    time.Duration
		}{
			{"unchanged", logins{"alice": {old}}, old, "", nil, 0},
			{"other senders", logins{"alice": {login("h1", "a@b")}}, old, "", []string{"a@b"}, 0},
			{"revoked", logins{"alice": {noDevice}}, old, "the login of device laptop was revoked", nil, 0},
			{"removed", logins{}, noDevice, "the login was revoked", nil, 0},
			{"changed", logins{"alice": {login("h2")}}, old, "the password of device laptop was changed", nil, 0},
			{"expired", logins{"alice": {expired}}, old, "the password of device laptop expired at the end of 1999-12-31 UTC", nil, 0},
			{"moved", logins{"alice": {elsewhere}}, old, "the login of device laptop is not allowed from 192.0.2.1, which is in none of its networks", nil, 0},
			{"store broken", storeFunc(func(context.Context, string) ([]Login, error) { return nil, errors.New("broken") }), old, "", nil, 0},
			{"store broken and expired", storeFunc(func(context.Context, string) ([]Login, error) { return nil, errors.New("broken") }), expired,
				"the password of device laptop expired at the end of 1999-12-31 UTC", nil, 0},
			{"store silent", storeFunc(func(ctx context.Context, _ string) ([]Login, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}), old, "", nil, stillDeadline},
		} {
			a := &Authenticator{Store: test.store}
			start := time.Now()
			now, why := a.Still(t.Context(), test.as, here)
			if why != test.why || now.Name != "alice" || time.Since(start) != test.took {
				t.Errorf("%s: got %q after %v, want %q after %v", test.name, why, time.Since(start), test.why, test.took)
			}
			if diff := cmp.Diff(test.senders, now.Senders); diff != "" {
				t.Errorf("%s: senders (-want +got):\n%s", test.name, diff)
			}
		}
	})
}

// A store that is deaf as well as silent is not asked more and more, and its sessions go on all the same.
func TestQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		end := make(chan struct{})
		a := &Authenticator{Store: storeFunc(func(context.Context, string) ([]Login, error) {
			asked.Add(1)
			<-end
			return nil, nil
		})}
		start := time.Now()
		var wg sync.WaitGroup
		for range maxAsking + 100 {
			wg.Go(func() {
				if _, why := a.Still(t.Context(), Login{Account: Account{Name: "alice"}}, here); why != "" {
					t.Errorf("got %q", why)
				}
			})
		}
		wg.Wait()
		if got := asked.Load(); got != maxAsking || time.Since(start) != stillDeadline {
			t.Errorf("%d questions were asked in %v, want %d in %v", got, time.Since(start), maxAsking, stillDeadline)
		}
		close(end)
		synctest.Wait()
		if len(a.asking) != 0 {
			t.Errorf("%d questions are still counted", len(a.asking))
		}
	})
}

type recaller struct {
	storeFunc
	known bool
}

func (r recaller) Recall(name, device string) (Login, bool, bool) {
	return Login{Account: Account{Name: name, Device: device}, Hash: []byte("recalled")}, true, r.known
}

// A store that knows at once is not asked in the long way, and one that does not is.
func TestRecalled(t *testing.T) {
	asked := storeFunc(func(context.Context, string) ([]Login, error) {
		return []Login{{Account: Account{Name: "alice"}, Hash: []byte("asked")}}, nil
	})
	for known, want := range map[bool]string{true: "recalled", false: "asked"} {
		a := &Authenticator{Store: recaller{asked, known}}
		if now, why := a.Still(t.Context(), Login{Account: Account{Name: "alice"}, Hash: []byte(want)}, here); why != "" || string(now.Hash) != want {
			t.Errorf("known %t: %s, %q", known, now.Hash, why)
		}
	}
}
