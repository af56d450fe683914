package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// adminAccounts is the accounts file as the API sees it.
type adminAccounts struct{ *service }

func (a adminAccounts) Users(_ context.Context, name string) ([]admin.User, error) {
	logins, _, err := userfile.Read(a.inForce.Load().userFile())
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(logins))
	if name != "" {
		if name, err = auth.FoldName(name); err != nil || len(logins[name]) == 0 {
			return nil, noUser(name)
		}
		names = []string{name}
	}
	users := []admin.User{}
	for _, name := range names {
		u := admin.User{Name: name, Devices: []admin.Device{}}
		for _, l := range logins[name] {
			u.Devices = append(u.Devices, deviceOf(l, a.Sightings, time.Now()))
		}
		users = append(users, u)
	}
	return users, nil
}

func noUser(name string) error {
	return &admin.Fault{Status: http.StatusNotFound, What: fmt.Sprintf("there is no account %q", name), Do: "GET /api/v1/users lists those that are there; smarthost user add makes one"}
}

func (a adminAccounts) AddDevice(_ context.Context, d admin.NewDevice) (string, error) {
	l, err := newLogin(d)
	if err != nil {
		return "", &admin.Fault{Status: http.StatusBadRequest, What: err.Error(), Do: "smarthost device --help says what a device can have"}
	}
	c := a.inForce.Load()
	logins, _, err := userfile.Read(c.userFile())
	if err != nil {
		return "", err
	}
	if len(logins[l.Name]) == 0 { // an account is made with smarthost user add, by somebody who thinks of what it may send as
		return "", noUser(l.Name)
	}
	if slices.ContainsFunc(logins[l.Name], func(other auth.Login) bool { return other.Device == l.Device }) {
		return "", &admin.Fault{Status: http.StatusConflict, What: fmt.Sprintf("%s is there already", describe(l.Name, l.Device)), Do: "revoke it first, or choose another name"}
	}
	secret, err := addDevice(c, l)
	if usage, ok := errors.AsType[usageError](err); ok {
		return "", &admin.Fault{Status: http.StatusBadRequest, What: string(usage), Do: "put it right and ask again"}
	}
	return secret, err
}

// newLogin checks what came over the API.
func newLogin(d admin.NewDevice) (l auth.Login, err error) {
	name, err := auth.FoldName(d.User)
	faults := []error{err, userfile.CheckDevice(d.Device)}
	if d.Device == "" {
		faults = append(faults, errors.New("the device needs a name"))
	}
	for _, s := range d.Senders {
		faults = append(faults, userfile.CheckSender(s))
	}
	for _, n := range d.Networks {
		var network netip.Prefix
		if network, err = userfile.ParseNetwork(n); err == nil {
			l.Networks = append(l.Networks, network)
		}
		faults = append(faults, err)
	}
	if d.Expires != "" {
		l.Expires, err = parseExpires(d.Expires, time.Now())
		faults = append(faults, err)
	}
	l.Account = auth.Account{Name: name, Device: d.Device, Class: d.Class, Senders: d.Senders}
	return l, errors.Join(faults...)
}

func (a adminAccounts) RevokeDevice(_ context.Context, user, device string) error {
	name, err := auth.FoldName(user)
	if err = errors.Join(err, userfile.CheckDevice(device)); err != nil {
		return &admin.Fault{Status: http.StatusBadRequest, What: err.Error(), Do: "GET /api/v1/users lists what there is"}
	}
	err = userfile.Remove(a.inForce.Load().userFile(), name, device)
	if errors.Is(err, userfile.ErrNotFound) {
		return &admin.Fault{Status: http.StatusNotFound, What: fmt.Sprintf("there is no %s", describe(name, device)), Do: "GET /api/v1/users lists what there is"}
	}
	return err
}
