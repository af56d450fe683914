package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/seed-1397b510/smarthost/policy/limit"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// status tells how the service is.
func (s *service) status(ctx context.Context) (admin.Status, error) {
	c := s.inForce.Load()
	queue, err := s.Spool.Stats(ctx)
	if err != nil {
		return admin.Status{}, err
	}
	status := admin.Status{
		Version:     versionText(),
		Hostname:    c.Hostname,
		Started:     s.Started.UTC(),
		Uptime:      int64(time.Since(s.Started).Seconds()),
		Config:      s.configSummary(c),
		Connections: admin.ConnectionsInUse{Now: s.Server.Connections(), Most: s.Server.MaxConnections},
		Queue:       admin.QueueSize{Messages: queue.Messages, Bytes: queue.Bytes, ByState: map[string]int{}},
		Limits:      limitsInUse(c, s.Limits),
		Webhooks:    webhookStates(s.Notifier.Hooks.Names(), s.Notifier.Troubles(), s.Spool.Backlogs()),
	}
	for state, n := range queue.ByState {
		status.Queue.ByState[string(state)] = n
	}
	if !queue.Oldest.IsZero() {
		oldest := queue.Oldest.UTC()
		status.Queue.Oldest = &oldest
	}
	status.Certificate = admin.CertificateInForce{Names: []string{}, File: s.Certificates.CertFile, Private: s.Certificates.Private != nil}
	if config := s.Certificates.TLS(); config != nil && len(config.Certificates) > 0 {
		leaf := config.Certificates[0].Leaf
		status.Certificate.Names = append(status.Certificate.Names, leaf.DNSNames...)
		status.Certificate.Issuer = leaf.Issuer.String()
		status.Certificate.Begins, status.Certificate.Expires = leaf.NotBefore.UTC(), leaf.NotAfter.UTC()
	}
	return status, nil
}

func (s *service) configSummary(c *Config) admin.ConfigSummary {
	summary := admin.ConfigSummary{
		File: c.File, Data: c.Data, Doors: slices.Clone(s.DoorNames), Admin: slices.Clone(s.AdminNames),
		Unauthenticated: c.Submission.Unauthenticated, MaxMessageSize: c.Submission.MaxMessageSize, GiveUp: c.Forward.GiveUp.String(),
	}
	if relay := s.Router.Load().Relay; relay != nil {
		summary.Relay = net.JoinHostPort(relay.Host, strconv.Itoa(int(relay.Port))) // nothing else: there is a password
	}
	return summary
}

// limitsInUse reads what would be saved; accounts that have used nothing are left out.
func limitsInUse(c *Config, l *limit.Limits) []admin.LimitInUse {
	var snapshot struct {
		Accounts map[string]struct {
			Class string
			Used  [3]float64 // messages, recipients, bytes
		}
	}
	list := []admin.LimitInUse{}
	if err := json.Unmarshal(l.Snapshot(), &snapshot); err != nil {
		return list
	}
	for name, a := range snapshot.Accounts {
		class, ok := c.Limits[a.Class]
		if !ok {
			class = c.Limits[limit.Standard]
		}
		use := func(kind int, r limit.Rate) admin.Use {
			return admin.Use{Used: int64(a.Used[kind] + 0.5), Of: r.Amount, Per: r.Per.String()}
		}
		list = append(list, admin.LimitInUse{Account: name, Class: cmp.Or(a.Class, limit.Standard),
			Messages: use(0, class.Messages), Recipients: use(1, class.Recipients), Bytes: use(2, class.Bytes)})
	}
	slices.SortFunc(list, func(a, b admin.LimitInUse) int { return cmp.Compare(a.Account, b.Account) })
	return list
}

// doorNames are the doors for mail as people write them.
func doorNames(doors []*door) []string {
	names := []string{}
	for _, d := range doors {
		names = append(names, fmt.Sprint(d))
	}
	return names
}
