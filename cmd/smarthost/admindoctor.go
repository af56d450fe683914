package main

import (
	"context"
	"os"

	"github.com/seed-1397b510/smarthost/cmd/smarthost/doctor"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// examine is smarthost doctor without HOST and without flags, from within: of the config in force, as the server's own user.
func (s *service) examine(ctx context.Context, found func(admin.Finding), doing func(string)) error {
	e, err := newServerDoctor(&environment{Getenv: os.Getenv}, s.inForce.Load(), new(doctorFlags), doing)
	if err != nil {
		return err
	}
	return e.Run(ctx, func(f doctor.Finding) {
		found(admin.Finding{Check: f.Check, Level: f.Level.String(), Where: f.Where, What: f.What, Why: f.Why, Do: f.Do})
	})
}
