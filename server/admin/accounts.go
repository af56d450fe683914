package admin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

// Accounts are those who may send.
type Accounts interface {
	// Users lists all accounts, or the one of that name.
	Users(ctx context.Context, name string) ([]User, error)
	// AddDevice gives a user a device, and returns the password that it made.
	AddDevice(ctx context.Context, d NewDevice) (secret string, err error)
	// RevokeDevice takes one away.
	RevokeDevice(ctx context.Context, user, device string) error
}

// A User is an account with its logins.
type User struct {
	Name    string   `json:"name"`
	Devices []Device `json:"devices"`
}

// A Device is a login. What it has of its account is in it.
type Device struct {
	Device    string         `json:"device"` // "" is the account's own login
	Class     string         `json:"class"`
	OwnLimits bool           `json:"own_limits"`
	Senders   []string       `json:"senders"`
	Expires   *time.Time     `json:"expires"` // null: never
	Expired   bool           `json:"expired"`
	Networks  []netip.Prefix `json:"networks"`  // none: anywhere
	LastSeen  *Sighting      `json:"last_seen"` // null: never with its present password
}

// A Sighting is when, and from where, a login was last used.
type Sighting struct {
	At      time.Time  `json:"at"`
	Address netip.Addr `json:"address"`
	Hello   string     `json:"hello"`
}

// A NewDevice is what is asked for.
type NewDevice struct {
	User     string   `json:"-"` // stands in the path
	Device   string   `json:"device"`
	Class    string   `json:"class,omitempty"`
	Senders  []string `json:"senders,omitempty"`
	Expires  string   `json:"expires,omitempty"` // a day, a time or a duration, as for smarthost device add
	Networks []string `json:"networks,omitempty"`
}

// MadeDevice is the answer to a new device.
type MadeDevice struct {
	User     string `json:"user"`
	Device   string `json:"device"`
	Password string `json:"password"` // shown this once
}

// UserList is the answer of /api/v1/users.
type UserList struct {
	Users []User `json:"users"`
}

// Revoked is the answer to a device that was taken away.
type Revoked struct {
	User   string `json:"user"`
	Device string `json:"device"`
}

func (s *Server) listUsers(w http.ResponseWriter, r *request) error {
	q, err := query(r, "user")
	if err != nil {
		return err
	}
	users, err := s.Accounts.Users(r.Context(), q.Get("user"))
	if err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, UserList{users})
	return nil
}

func (s *Server) addDevice(w http.ResponseWriter, r *request) error {
	var d NewDevice
	r.target = r.PathValue("user")
	if err := api.Body(w, r.Request, &d, false); err != nil {
		return err
	}
	d.User = r.PathValue("user")
	r.target += "/" + d.Device
	secret, err := s.Accounts.AddDevice(r.Context(), d)
	if err != nil {
		return err
	}
	web.Answer(w, http.StatusCreated, MadeDevice{d.User, d.Device, secret})
	return nil
}

func (s *Server) revokeDevice(w http.ResponseWriter, r *request) error {
	user, device := r.PathValue("user"), r.PathValue("device")
	r.target = user + "/" + device
	if err := s.Accounts.RevokeDevice(r.Context(), user, device); err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, Revoked{user, device})
	return nil
}
