package main

import (
	"context"
	"io"
	"net/http"

	"github.com/seed-1397b510/smarthost/auth/userfile"
	"github.com/seed-1397b510/smarthost/cmd/smarthost/enroll"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// adminEnrolment is smarthost enroll for a page.
func (s *service) adminEnrolment() *admin.Enrolment {
	clients, err := enroll.Clients()
	if err != nil {
		s.Log.Error().Err(err).Msg("new devices come without the configuration of their client")
		return nil
	}
	e := &admin.Enrolment{Make: s.enrol}
	for _, c := range clients {
		e.Clients = append(e.Clients, admin.Client{Name: c.Name, Summary: c.Summary})
	}
	return e
}

// enrol makes a device when nothing can fail any more but the writing of it.
func (s *service) enrol(ctx context.Context, name string, d admin.NewDevice) (admin.MadeDevice, string, error) {
	wrong := func(err error) (admin.MadeDevice, string, error) {
		return admin.MadeDevice{}, "", &admin.Fault{Status: http.StatusBadRequest, What: err.Error(), Do: "go back and put it right; smarthost enroll --help says more"}
	}
	l, err := newLogin(d)
	if err != nil {
		return wrong(err)
	}
	clients, err := enroll.Clients()
	if err != nil {
		return admin.MadeDevice{}, "", err
	}
	client, err := findClient(clients, name)
	if err != nil {
		return wrong(err)
	}
	c := s.inForce.Load()
	if _, _, err := userfile.Read(c.userFile()); err != nil { // whose words are not for a page
		return admin.MadeDevice{}, "", err
	}
	env := &environment{Context: ctx, Stdout: io.Discard, Stderr: io.Discard}
	e, err := newEnrolment(env, c, client, &enrollFlags{user: l.Name, device: l.Device, expires: l.Expires, networks: l.Networks, senders: l.Senders})
	if err != nil {
		return wrong(err)
	}
	if err := e.apply(); err != nil {
		return wrong(err)
	}
	made := admin.MadeDevice{User: e.login.Name, Device: e.login.Device, Password: e.plan.Values.Secret}
	return made, e.plan.String(), nil
}
