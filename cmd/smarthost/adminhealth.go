package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/server/admin"
)

const (
	writeEvery  = 10 * time.Second // how often a health check may cost a durable write
	scarceSpace = 512 << 20        // octets, below which somebody should look
	leastSpace  = 64 << 20         // below which no mail is taken
)

// healthChecks look at everything that this server needs. What they say can be read without a token: no address, no secret.
func (s *service) healthChecks() []admin.Check {
	checks := []admin.Check{
		{Name: "listeners", Every: time.Second, Look: s.checkListeners},
		{Name: "connections", Look: s.checkConnections},
		{Name: "spool", Every: writeEvery, Look: s.checkSpool},
		{Name: "volume", Every: time.Minute, Look: s.checkVolume},
		{Name: "space", Look: s.checkSpace},
		{Name: "certificate", Look: s.checkCertificate},
		{Name: "accounts", Look: s.checkAccounts},
		{Name: "config", Look: s.checkConfig},
		{Name: "route", Look: s.checkRoute},
	}
	if len(s.Notifier.Hooks) > 0 {
		checks = append(checks, admin.Check{Name: "webhooks", Look: s.checkWebhooks})
	}
	return checks
}

func (s *service) checkListeners(ctx context.Context) (admin.State, string) {
	if err := s.Server.Probe(ctx); err != nil {
		return admin.Failed, err.Error()
	}
	return admin.OK, "all of them greet"
}

func (s *service) checkConnections(context.Context) (admin.State, string) {
	now, most := s.Server.Connections(), s.Server.MaxConnections
	why := fmt.Sprintf("%d of %d", now, most)
	if most == 0 {
		why = fmt.Sprintf("%d", now)
	}
	if most > 0 && now >= most {
		return admin.Degraded, why + ": more clients are told to come back later (listen.max_connections)"
	}
	return admin.OK, why
}

// checkSpool writes, syncs and reads, where the mail is.
func (s *service) checkSpool(ctx context.Context) (admin.State, string) {
	began := time.Now()
	file := filepath.Join(queueFolder(s.inForce.Load()), "health")
	if err := writeFile(file, []byte(began.UTC().Format(time.RFC3339Nano)+"\n"), 0o600); err != nil {
		return admin.Failed, fmt.Sprintf("the queue's folder cannot be written: %v", err)
	}
	took := time.Since(began)
	if _, err := s.Spool.Stats(ctx); err != nil {
		return admin.Failed, "the queue cannot be read; the log says why"
	}
	return admin.OK, fmt.Sprintf("a durable write took %s", took.Round(10*time.Microsecond))
}

func (s *service) checkVolume(context.Context) (admin.State, string) {
	switch system := fileSystem(s.inForce.Load().Data); system {
	case "overlay", "fuse.fuse-overlayfs", "aufs":
		return admin.Degraded, "the data folder lies in the container itself (" + system + "), and its mail goes when the container is replaced; mount a volume there"
	case "tmpfs", "ramfs":
		return admin.Degraded, "the data folder lies in memory (" + system + "), and its mail goes when the power does; put it on a disk"
	case "":
		return admin.OK, "of a kind that is not known"
	default:
		return admin.OK, system
	}
}

func (s *service) checkSpace(context.Context) (admin.State, string) {
	var st unix.Statfs_t
	if err := unix.Statfs(queueFolder(s.inForce.Load()), &st); err != nil {
		return admin.Failed, fmt.Sprintf("the queue's file system does not tell: %v", err)
	}
	free := uint64(st.Bavail) * uint64(st.Bsize)
	why := fmt.Sprintf("%d MiB are free", free>>20)
	switch {
	case free < leastSpace || st.Files > 0 && st.Ffree == 0:
		return admin.Failed, fmt.Sprintf("%s, and %d inodes: no mail is taken", why, st.Ffree)
	case free < scarceSpace:
		return admin.Degraded, why + fmt.Sprintf("; below %d MiB no mail is taken", leastSpace>>20)
	}
	return admin.OK, why
}

// isFull tells of a disk on which not even an empty queue has room.
func isFull(folder string) bool {
	var st unix.Statfs_t
	return unix.Statfs(folder, &st) == nil && (uint64(st.Bavail)*uint64(st.Bsize) < 1<<20 || st.Files > 0 && st.Ffree == 0)
}

func (s *service) checkCertificate(context.Context) (admin.State, string) {
	config := s.Certificates.TLS()
	if config == nil || len(config.Certificates) == 0 || config.Certificates[0].Leaf == nil {
		return admin.Failed, "there is none yet; clients are told to come back later"
	}
	leaf, now := config.Certificates[0].Leaf, time.Now()
	switch until := leaf.NotAfter.UTC().Format("2006-01-02 15:04 UTC"); {
	case now.Before(leaf.NotBefore):
		return admin.Failed, "it is valid from " + leaf.NotBefore.UTC().Format("2006-01-02 15:04 UTC") + " on; look whether the clock is right"
	case now.After(leaf.NotAfter):
		return admin.Failed, "it expired at " + until
	case s.unwrittenText(s.isCertificate) != "":
		return admin.Degraded, s.unwrittenText(s.isCertificate)
	case s.Certificates.Fault() != nil:
		return admin.Degraded, "its files cannot be loaded again, the log says why; the one in force is valid until " + until
	case leaf.NotAfter.Sub(now) < min(certificateWarn, leaf.NotAfter.Sub(leaf.NotBefore)/5) && s.Certificates.Private == nil:
		return admin.Degraded, "it expires at " + until
	default:
		return admin.OK, "valid until " + until
	}
}

func (s *service) checkAccounts(ctx context.Context) (admin.State, string) {
	if _, err := s.Users.Logins(ctx, "nobody"); err != nil {
		return admin.Failed, "the accounts cannot be read; the log says why"
	}
	if len(s.Users.Sample(ctx, 1)) == 0 {
		return admin.Degraded, "there are none, and nobody can log in: smarthost user add NAME"
	}
	if why := s.unwrittenText(s.isAccounts); why != "" {
		return admin.Degraded, why
	}
	if s.Users.Fault() != nil {
		return admin.Degraded, "the file cannot be read again or has damaged lines, the log says which; all others are in force"
	}
	return admin.OK, "loaded"
}

func (s *service) checkConfig(context.Context) (admin.State, string) {
	if s.configFault.Load() {
		return admin.Degraded, "the last reload found it wrong, and the one before goes on; smarthost config check says what is wrong"
	}
	if why := s.unwrittenText(s.isConfig); why != "" {
		return admin.Degraded, why
	}
	if waits := s.waiting(); waits != "" {
		return admin.OK, "in force; " + waits
	}
	return admin.OK, "in force"
}

// checkRoute judges by the mail that there was, and by what a relay says that was dead; it sends nothing.
func (s *service) checkRoute(ctx context.Context) (admin.State, string) {
	queue, err := s.Spool.Stats(ctx)
	n := queue.ByState
	return s.Routes.check(err != nil || n[spool.Queued]+n[spool.Leased]+n[spool.Waiting] > 0)
}
