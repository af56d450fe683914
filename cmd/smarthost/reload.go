package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-1397b510/smarthost/forward"
	"github.com/seed-1397b510/smarthost/policy"
	"github.com/seed-1397b510/smarthost/server"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// configure puts in force what can change while the service runs. An error means that nothing was changed.
func (s *service) configure(c *Config) error {
	router, err := newRouter(c)
	if err != nil {
		return err
	}
	roots, err := readRoots(c.Forward.CA)
	if err != nil {
		return err
	}
	if _, err := readAuthorities("tls.acme_ca", c.TLS.ACMECA); err != nil { // an order reads it; this is to say early what is wrong with it
		return err
	}
	if err := s.Server.Configure(serverSettings(c)); err != nil {
		return err
	}
	s.Routes.use(router)
	s.trust(roots)
	s.Limits.Configure(c.Limits)
	s.Policy.Configure(policy.Settings{ShowClient: c.Submission.ClientAddress})
	s.Forwarder.Configure(forward.Settings{Retry: c.Forward.Retry, GiveUp: c.Forward.GiveUp})
	return nil
}

func serverSettings(c *Config) server.Settings {
	return server.Settings{
		Unauthenticated: server.Mode(c.Submission.Unauthenticated),
		Help:            c.Submission.Help,
		MaxRecipients:   c.Submission.MaxRecipients,
		DuplicateWindow: window(c.Submission.DuplicateWindow),
	}
}

// trust lets the relay be judged by other authorities, if they are others.
func (s *service) trust(roots *x509.CertPool) {
	if !roots.Equal(s.relayRoots) {
		s.Deliverer.Trust(roots)
		s.relayRoots = roots
	}
}

// reload reads config, accounts and certificate again. Each of the three is taken whole or not at all. What is wrong is in the log
// and in the error.
func (s *service) reload(env *environment) error {
	files := s.unfinished()
	var written error
	if len(files) > 0 {
		written = fmt.Errorf("somebody writes %s at this moment; it is read by itself when that has ended", strings.Join(files, ", "))
	}
	if s.held(files) {
		s.Log.Error().Err(written).Msg("nothing is read again, and all that was in force goes on")
		return written
	}
	s.files.taken = s.look(env) // before they are read: what changes meanwhile is read again
	s.Certificates.Reload()
	fault := s.Certificates.Fault()
	accounts := written
	if accounts == nil {
		accounts = s.Users.Reload()
	}
	if accounts != nil {
		fault = errors.Join(fault, accounts)
		s.Log.Error().Err(accounts).Msg("the accounts cannot be read; the old ones stay in force")
	}
	c, err := loadConfig(env, s.Config.File)
	if err == nil {
		s.nowNamed(c, env)
		err = s.configure(c)
	}
	if err != nil {
		s.configFault.Store(true)
		s.Log.Error().Err(err).Msg("the config is wrong; the old one stays in force")
		return errors.Join(err, fault)
	}
	var waits []string
	for _, d := range changes(s.Config.values(s.Server.RequireTLS), c.values(honoursRequireTLS(c))) {
		if !d.Reloads {
			waits = append(waits, d.Key)
			s.Log.Warn().Str("key", d.Key).Str("in_force", d.Old).Str("new", d.New).Msg("this change of the config needs a restart")
		}
	}
	c.keepFixed(s.Config)
	s.Config = c
	s.inForce.Store(c)
	s.configWaits.Store(&waits)
	s.configFault.Store(false)
	s.warnOfExposed(env)
	s.Log.Info().Str("config", c.File).Msg("reloaded")
	return fault
}

// waiting says which changes of the config wait for a restart; "" if none do.
func (s *service) waiting() string {
	if keys := s.configWaits.Load(); keys != nil && len(*keys) > 0 {
		return fmt.Sprintf("changes of %s wait for a restart", strings.Join(*keys, ", "))
	}
	return ""
}

// configInForce tells every key.
func (s *service) configInForce(context.Context) (admin.ConfigInForce, error) {
	c := s.inForce.Load()
	return admin.ConfigInForce{File: c.File, Settings: c.values(s.Server.RequireTLS)}, nil
}
