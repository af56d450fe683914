package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

func TestJudgeQueue(t *testing.T) {
	now := time.Now()
	waiting := func(age time.Duration, damaged int) spool.Stats {
		return spool.Stats{Messages: 3, Bytes: 5 << 20, Oldest: now.Add(-age), ByState: map[spool.State]int{spool.Damaged: damaged}}
	}
	for _, c := range []struct {
		stats spool.Stats
		want  []string
	}{
		{spool.Stats{}, []string{"good queue: it is empty"}},
		{waiting(time.Minute, 0), []string{"good queue: 3 messages waiting (5 MiB), the oldest for 1m0s"}},
		{waiting(2*time.Hour, 0), []string{"note queue: the oldest for 2h0m0s"}},
		{waiting(25*time.Hour, 0), []string{"warning queue: the oldest for 25h0m0s"}},
		{waiting(time.Minute, 1), []string{"good queue: 3 messages", "problem queue: 1 delivery damaged and set aside"}},
	} {
		shows(t, judgeQueue(c.stats, now), c.want...)
	}
}

// The queue is looked at while the server has it open, and not made where there is none.
func TestQueueIsRead(t *testing.T) {
	data := t.TempDir()
	v := visitTo(t, Server{Data: data}, zone{}, nil)
	shows(t, v.checkQueue(t.Context()), "note queue: there is none yet")
	if left, err := os.ReadDir(data); len(left) > 0 || err != nil {
		t.Error(left, err)
	}
	s, err := sqlitespool.Open(t.Context(), sqlitespool.Config{Dir: v.queueFolder(), MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	shows(t, v.checkQueue(t.Context()), "good queue: it is empty")
	d, err := s.Create(t.Context(), &spool.Envelope{ID: spool.NewID(), From: "a@b.example", Recipients: []spool.Recipient{{Address: "c@d.example", Destination: "d.example"}}})
	if err == nil {
		_, err = d.Write([]byte("Subject: x\r\n\r\n"))
	}
	if err = errors.Join(err, d.Commit(context.Background(), spool.Seal{Arrived: time.Now()})); err != nil {
		t.Fatal(err)
	}
	shows(t, v.checkQueue(t.Context()), "good queue: 1 message waiting")
}

func TestQueueThatCannotBeRead(t *testing.T) {
	v := visitTo(t, Server{Data: t.TempDir()}, zone{}, nil)
	if err := os.Mkdir(v.queueFolder(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(v.queueFolder(), "queue.db"), []byte("this is no database, and long enough to show it as such to everybody"), 0o600); err != nil {
		t.Fatal(err)
	}
	shows(t, v.checkQueue(t.Context()), "problem queue: queue.db")
}

func TestAccounts(t *testing.T) {
	good := accountsFile(t, []string{"*"}, nil)
	damaged := accountsFile(t, []string{"*"})
	text, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, append(text, "bob:plain\nno colon\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server Server
		want   []string
	}{
		"good":    {Server{Accounts: good}, []string{"good accounts: 2 accounts"}},
		"none":    {Server{Accounts: empty}, []string{"warning accounts: there is no account"}},
		"no file": {Server{Accounts: empty + "x"}, []string{"note accounts: the file is not there yet"}},
		"folder":  {Server{Accounts: filepath.Dir(empty)}, []string{"problem accounts: is a directory"}},
		"damaged": {Server{Accounts: damaged}, []string{"good accounts: 1 account", "warning accounts: 2 lines damaged: " + damaged + ":2: "}},
		"exposed": {Server{Accounts: good, Exposed: []string{good, "/k"}}, []string{"good accounts: ", "warning secrets: " + good, "warning secrets: /k"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := visitTo(t, c.server, zone{}, nil)
			shows(t, v.checkAccounts(t.Context()), c.want...)
		})
	}
}
