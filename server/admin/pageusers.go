package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Enrolment makes devices together with the configuration of a mail client.
type Enrolment struct {
	Clients []Client
	// Make gives a user a device, and returns it with the text that configures the client, in which the password stands.
	Make func(ctx context.Context, client string, d NewDevice) (MadeDevice, string, error)
}

// A Client is a program that sends mail.
type Client struct {
	Name, Summary string
}

// userList is the page of users.
type userList struct {
	Only    string // the user asked for
	Users   []userOnPage
	Clients []Client
	May     bool // whoever looks may give devices and take them away
}

// userOnPage is a user with what is used of the limits.
type userOnPage struct {
	User
	Limits []LimitInUse
}

func (s *Server) usersPage(w http.ResponseWriter, r *request) error {
	q, err := query(r, "user")
	if err != nil {
		return err
	}
	list := userList{Only: strings.TrimSpace(q.Get("user")), May: r.caller.May(Users)}
	users, err := s.Accounts.Users(r.Context(), list.Only)
	if err != nil {
		return err
	}
	status, err := s.Status(r.Context())
	if err != nil {
		return err
	}
	if s.Enrolment != nil {
		list.Clients = s.Enrolment.Clients
	}
	for _, u := range users {
		on := userOnPage{User: u}
		for _, l := range status.Limits {
			if l.Account == u.Name || strings.HasPrefix(l.Account, u.Name+"/") {
				on.Limits = append(on.Limits, l)
			}
		}
		list.Users = append(list.Users, on)
	}
	return s.page(w, r, http.StatusOK, "users", "Users and devices", list)
}

// madeSheet is a device with what is shown of it this once.
type madeSheet struct {
	MadeDevice
	Client string
	Text   string // that configures the client
}

func (s *Server) makeDevice(w http.ResponseWriter, r *request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	get := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	d := NewDevice{User: get("user"), Device: get("device"), Expires: get("expires"),
		Senders: strings.Fields(get("senders")), Networks: strings.Fields(get("networks"))}
	r.target = d.User + "/" + d.Device
	made := madeSheet{MadeDevice: MadeDevice{User: d.User, Device: d.Device}, Client: get("client")}
	var err error
	if made.Client != "" && s.Enrolment != nil {
		made.MadeDevice, made.Text, err = s.Enrolment.Make(r.Context(), made.Client, d)
		r.target = cmp.Or(made.User, d.User) + "/" + cmp.Or(made.Device, d.Device)
	} else {
		made.Password, err = s.Accounts.AddDevice(r.Context(), d)
	}
	if err != nil {
		return err
	}
	return s.page(w, r, http.StatusCreated, "made", "New device", made)
}

// revokeSheet is a device that is to be, or was, taken away.
type revokeSheet struct {
	User, Device string
	Done         bool
}

func (s *Server) confirmRevoke(w http.ResponseWriter, r *request) error {
	q, err := query(r, "user", "device")
	if err != nil {
		return err
	}
	return s.page(w, r, http.StatusOK, "revoke", "Revoke?", revokeSheet{User: q.Get("user"), Device: q.Get("device")})
}

func (s *Server) revoke(w http.ResponseWriter, r *request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	sheet := revokeSheet{User: r.PostForm.Get("user"), Device: r.PostForm.Get("device"), Done: true}
	r.target = sheet.User + "/" + sheet.Device
	if sheet.Device == "" { // the account's own login is no device
		return badParameter("the device", "is missing")
	}
	if err := s.Accounts.RevokeDevice(r.Context(), sheet.User, sheet.Device); err != nil {
		return err
	}
	return s.page(w, r, http.StatusOK, "revoke", "Revoked", sheet)
}

// Link is where a device can be revoked.
func (d Device) Link(user string) string {
	return "/users/revoke?" + url.Values{"user": {user}, "device": {d.Device}}.Encode()
}
