package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/seed-1397b510/smarthost/auth"
)

// A device has a secret of its own, and makes the account if it says what that may send as.
func TestAddDevice(t *testing.T) {
	h := newHousehold(t)
	env := testEnvironment(t, nil)
	c, err := loadConfig(env, h.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		account auth.Account
		fault   string // "": it is made
	}{
		{auth.Account{Name: "alice", Device: "laptop"}, "smarthost user add alice --sender ADDRESS makes it"},
		{auth.Account{Name: "alice", Device: "laptop", Senders: []string{"alice@example.org"}}, ""},
		{auth.Account{Name: "alice", Device: "phone"}, ""},
		{auth.Account{Name: "alice", Device: "phone"}, "smarthost device passwd alice phone gives it a new password"},
		{auth.Account{Name: "bob@example.org", Device: "pc"}, ""},
		{auth.Account{Name: "alice", Device: "pc", Class: "none"}, `no class of limits "none"`},
		{auth.Account{Name: "alice"}, "a device needs a name"},
		{auth.Account{Name: "alice", Device: "my laptop"}, `"my laptop" is not the name of a device`},
	} {
		secret, err := addDevice(c, auth.Login{Account: test.account})
		if test.fault != "" {
			if err == nil || !strings.Contains(err.Error(), test.fault) || secret != "" {
				t.Errorf("%+v: got %v, want %q", test.account, err, test.fault)
			}
			continue
		}
		if err != nil || bcrypt.CompareHashAndPassword(h.hash(test.account.Name, test.account.Device), []byte(secret)) != nil {
			t.Errorf("%+v: the file does not know the secret: %v", test.account, err)
		}
		if diff := cmp.Diff(auth.Tag(secret), h.login(test.account.Name, test.account.Device).Tag); diff != "" {
			t.Errorf("%+v: tag (-want +got):\n%s", test.account, diff)
		}
	}
	var usage usageError
	if _, err := addDevice(c, auth.Login{Account: auth.Account{Name: "alice"}}); !errors.As(err, &usage) {
		t.Errorf("without a device: %v is no wrong call", err)
	}
}
