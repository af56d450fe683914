package dialogue

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/policy/limit"
)

// Accounts are alice, who may send as alice@example.org and anything at alice.example.org, bob, and the devices that a test gives them.
type Accounts struct {
	mu      sync.Mutex
	down    bool
	devices []auth.Login
}

func passwordHash() []byte { return hashOf(Password) }

var hashes sync.Map

// hashOf is the same each time, as in a file that nobody changes.
func hashOf(password string) []byte {
	if hash, ok := hashes.Load(password); ok {
		return hash.([]byte)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		panic(err)
	}
	first, _ := hashes.LoadOrStore(password, hash)
	return first.([]byte)
}

// devicePassword is what a device logs in with.
func devicePassword(device string) string {
	if device == "" {
		return Password
	}
	return Password + " of " + device
}

var errDown = errors.New("accounts: connection refused by db.internal")

// Logins implements auth.Store.
func (a *Accounts) Logins(_ context.Context, name string) (of []auth.Login, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down {
		return nil, errDown
	}
	switch name {
	case "alice":
		of = append(of, auth.Login{Account: auth.Account{Name: name, Senders: []string{"alice@example.org", "*@alice.example.org"}}, Hash: passwordHash()})
	case "bob":
		of = append(of, auth.Login{Account: auth.Account{Name: name, Senders: []string{"*"}}, Hash: passwordHash()})
	}
	for _, l := range a.devices {
		if l.Name == name {
			of = append(of, l)
		}
	}
	return of, nil
}

// Login implements auth.Store.
func (a *Accounts) Login(ctx context.Context, name, device string) (auth.Login, bool, error) {
	of, err := a.Logins(ctx, name)
	if i := slices.IndexFunc(of, func(l auth.Login) bool { return l.Device == device }); i >= 0 {
		return of[i], true, nil
	}
	return auth.Login{}, false, err
}

// Sample implements auth.Store.
func (a *Accounts) Sample(context.Context, int) [][]auth.Login { return nil }

func (a *Accounts) be(state string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = state == "down"
	return nil
}

// change adds, changes or revokes a device: "alice laptop", with what is to be different: expires=DURATION network=PREFIX class=NAME
// sender=PATTERN password=TEXT revoked. What is not said is none.
func (a *Accounts) change(words string) (err error) {
	fields := strings.Fields(words)
	if len(fields) < 2 {
		return errors.New("which device of whom?")
	}
	l := auth.Login{Account: auth.Account{Name: fields[0], Device: fields[1]}, Hash: hashOf(devicePassword(fields[1]))}
	revoked := false
	for _, word := range fields[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "expires":
			after, wrong := time.ParseDuration(value)
			l.Expires, err = time.Now().Add(after), errors.Join(err, wrong)
		case "network":
			network, wrong := netip.ParsePrefix(value)
			l.Networks, err = append(l.Networks, network), errors.Join(err, wrong)
		case "class":
			l.Class, l.OwnLimits = value, true
		case "sender":
			l.Senders = append(l.Senders, value)
		case "password":
			l.Hash = hashOf(value)
		case "revoked":
			revoked = true
		default:
			return fmt.Errorf("no attribute %q", key)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.devices = slices.DeleteFunc(slices.Clone(a.devices), func(old auth.Login) bool { return old.Name == l.Name && old.Device == l.Device })
	if !revoked {
		a.devices = append(a.devices, l)
	}
	return err
}

// limit sets the messages of each class: "default=2/1h bulk=9/1h".
func (h *House) limit(words string) error {
	classes := map[string]limit.Class{}
	for _, word := range strings.Fields(words) {
		name, text, _ := strings.Cut(word, "=")
		rate, err := limit.ParseCount(text)
		if err != nil {
			return err
		}
		classes[name] = limit.Class{Messages: rate}
	}
	h.Limits.Configure(classes)
	return nil
}
