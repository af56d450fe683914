package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// newAdmin introduces the operator's side to everyone.
func (s *service) newAdmin() *admin.Server {
	return &admin.Server{
		Hostname: s.Config.Hostname,
		Token:    s.Config.tokens().Caller,
		Health:   s.Health,
		Status:   s.status,
		Config:   s.configInForce,
		Queue:    adminQueue{s},
		Accounts: adminAccounts{s},
		Refusals: s.Refusals,
		Reload:   s.reloadNow,
		Examine:  s.examine,
		Metrics:  metricsPage(s.Metrics, facts{s}),
		Log:      s.Log,

		Counts: s.counts, Enrolment: s.adminEnrolment(),
	}
}

// noteRefusal keeps what a client was told.
func (s *service) noteRefusal(r server.Refusal) {
	s.Refusals.Add(admin.Refusal{At: r.At.UTC(), Session: r.Session, Address: r.Address, Stage: r.Stage, Account: r.Account, Device: r.Device,
		Hello: r.Hello, From: r.From, Code: r.Code, Reply: r.Reply})
}

// runAdmin answers operators until ctx ends. That it cannot is no reason to take no mail.
func (s *service) runAdmin(ctx context.Context) {
	if len(s.AdminDoors) == 0 {
		return
	}
	c := s.inForce.Load()
	for _, d := range s.AdminDoors {
		s.Log.Info().Str("address", adminDoorText(c, d)).Msg("listening for operators")
	}
	if err := s.Admin.Run(ctx, s.AdminDoors); err != nil {
		s.Log.Error().Err(err).Msg("health and API are gone until a restart; mail goes on")
	}
	os.Remove(c.adminSocket())
	if path, ok := strings.CutPrefix(c.Listen.Admin, "unix:"); ok {
		os.Remove(path)
	}
}

// adminToKeep are the operators' listeners that the next program cannot open by itself while this one has them, or was not asked to.
// Sockets in folders are made anew.
func (s *service) adminToKeep() (list []net.Listener) {
	for _, d := range s.AdminDoors {
		_, made := d.Listener.(*net.UnixListener)
		if !d.Trusted && (!made || slices.Contains(s.AdminPassed, d.Listener)) {
			list = append(list, d.Listener)
		}
	}
	return list
}

// reloadNow reloads as SIGHUP does, and waits for the end of it.
func (s *service) reloadNow(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case s.reloads <- done:
	case <-ctx.Done():
		return reloadHangs()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return reloadHangs()
	}
}

func reloadHangs() error {
	return &admin.Fault{Status: http.StatusServiceUnavailable, What: "a reload is under way and does not end", Do: "look at the disk that the config and the accounts are on"}
}

// drain waits until this server shall stop or has to, and lets health say so. Those who ask it have listen.drain to send their
// clients elsewhere before the doors close.
func (s *service) drain(stop, broken context.Context) {
	select {
	case <-stop.Done():
	case <-broken.Done():
	}
	s.Health.Drain()
	grace := s.inForce.Load().Listen.Drain
	if grace == 0 || broken.Err() != nil {
		return
	}
	s.Log.Info().Dur("drain", grace).Msg("stopping; the doors stay open for a while")
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-broken.Done():
	}
}
