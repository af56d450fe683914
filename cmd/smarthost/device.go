package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
)

// addDevice gives an account one more device and returns the secret that it made; with a hash in l there is none to return.
// The first device makes the account, if it is known what that may send as: by l.Senders, or because its name is an address.
// What l leaves out, senders and class, a device has from the account's login without a device.
func addDevice(c *Config, l auth.Login) (secret string, err error) {
	if l.Device == "" {
		return "", usageError("a device needs a name: letters, digits, dot, - and _")
	}
	logins, _, err := userfile.Read(c.userFile())
	if err != nil {
		return "", fmt.Errorf("read the accounts: %w", err)
	}
	if len(logins[l.Name]) == 0 && len(l.Senders) == 0 && !strings.Contains(l.Name, "@") {
		return "", fmt.Errorf("%w; smarthost user add %s --sender ADDRESS makes it, or give the device a --sender of its own", noSuchAccount(c, logins, l.Name), l.Name)
	}
	return addLogin(c, l)
}

// addLogin writes a login into the accounts file, with a secret that it makes and returns unless l has a hash.
func addLogin(c *Config, l auth.Login) (secret string, err error) {
	if _, ok := c.Limits[l.Class]; l.Class != "" && !ok {
		return "", usageError(fmt.Sprintf("the config has no class of limits %q; it has %s", l.Class, strings.Join(slices.Sorted(maps.Keys(c.Limits)), ", ")))
	}
	if l.Hash == nil {
		secret = auth.NewSecret()
		l.Tag = auth.Tag(secret)
		if l.Hash, err = auth.HashPassword([]byte(secret), true); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(filepath.Dir(c.userFile()), 0o700); err != nil {
		return "", err
	}
	err = userfile.Add(c.userFile(), l)
	switch {
	case errors.Is(err, userfile.ErrExists) && l.Device == "":
		return "", fmt.Errorf("%s is in %s already; smarthost user passwd %s gives it a new password, smarthost device add %s NAME adds a device", l.Name, c.userFile(), l.Name, l.Name)
	case errors.Is(err, userfile.ErrExists):
		return "", fmt.Errorf("%s is in %s already; smarthost device passwd %s %s gives it a new password", describe(l.Name, l.Device), c.userFile(), l.Name, l.Device)
	case err != nil:
		return "", fmt.Errorf("add %s: %w", describe(l.Name, l.Device), err)
	}
	return secret, nil
}
