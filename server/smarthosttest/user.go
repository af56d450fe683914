package smarthosttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/policy/limit"
)

// A User may log in, and has an inbox.
type User struct {
	Name     string
	Password string
	Senders  []string    // addresses it may send as: "a@example.com", "*@example.com", "*" for anybody; nil: its own name only
	Limit    limit.Class // how much it may send, if Class is ""; the zero Class is no limit
	Class    string      // name of limits that it has in common with others, see Config.Limits
}

// Validate names all faults.
func (u User) Validate() error {
	var faults []error
	if _, err := auth.FoldName(u.Name); err != nil {
		faults = append(faults, fmt.Errorf("user %q: %w", u.Name, err))
	}
	if len(u.Password) == 0 || len(u.Password) > auth.MaxPassword || strings.ContainsRune(u.Password, 0) {
		faults = append(faults, fmt.Errorf("user %q: a password has 1 to %d octets and no NUL", u.Name, auth.MaxPassword))
	}
	return errors.Join(faults...)
}

// folded is the form in which names are compared.
func folded(name string) string {
	if f, err := auth.FoldName(name); err == nil {
		return f
	}
	return name
}

var errDown = errors.New("the accounts are down, as the test wants them to be")

// accounts are the users as package auth knows them.
type accounts struct {
	mu    sync.Mutex
	users map[string]account // by folded name
	down  bool
}

type account struct {
	User
	login auth.Login
}

// add makes a user known, or changes it.
func (a *accounts) add(u User) error {
	hash, err := bcrypt.GenerateFromPassword([]byte(u.Password), bcrypt.MinCost)
	if err != nil {
		return fmt.Errorf("user %q: %w", u.Name, err)
	}
	name := folded(u.Name)
	l := auth.Login{Account: auth.Account{Name: name, Class: u.Class, Senders: slices.Clone(u.Senders)}, Hash: hash}
	if l.Class == "" && u.Limit != (limit.Class{}) {
		l.Class = ownClass(name)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users == nil {
		a.users = map[string]account{}
	}
	a.users[name] = account{u, l}
	return nil
}

// ownClass is the name of the limits of one user; no class in a config has a blank in it.
func ownClass(name string) string { return "user " + name }

// find returns a user by its name in any case.
func (a *accounts) find(name string) (User, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	of, ok := a.users[folded(name)]
	return of.User, ok
}

// Logins implements auth.Store.
func (a *accounts) Logins(_ context.Context, name string) ([]auth.Login, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	of, ok := a.users[name]
	switch {
	case a.down:
		return nil, errDown
	case !ok:
		return nil, nil
	}
	return []auth.Login{of.login}, nil
}

// Login implements auth.Store.
func (a *accounts) Login(ctx context.Context, name, device string) (auth.Login, bool, error) {
	of, err := a.Logins(ctx, name)
	if err != nil || len(of) == 0 || device != "" {
		return auth.Login{}, false, err
	}
	return of[0], true, nil
}

// Sample implements auth.Store.
func (a *accounts) Sample(_ context.Context, n int) (some [][]auth.Login) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, of := range a.users {
		if len(some) == n {
			break
		}
		some = append(some, []auth.Login{of.login})
	}
	return some
}
