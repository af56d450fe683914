//go:build e2e

package powercut

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth/userfile"
	"github.com/seed-1397b510/smarthost/e2e/lab"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
	"github.com/seed-1397b510/smarthost/policy/limit"
)

// A judge says what is wrong with what a power cut has left.
type judge struct {
	mails   []*mail
	devices []device
	taken   map[handed]time.Time // by the next hop
}

// took tells whether the next hop had taken something when the power was cut.
func (j *judge) took(what handed, l *left) bool {
	at, taken := j.taken[what]
	return taken && !at.After(l.at)
}

// A find is what a server would find when it starts after a power cut.
type find struct {
	left
	folder string
	faults []string

	undone   map[string]map[string]bool // recipients, by the mail's id
	reported map[string]bool            // ids of mails that reports in the queue speak of
}

func (f *find) fault(format string, a ...any) { f.faults = append(f.faults, fmt.Sprintf(format, a...)) }

func (j *judge) judge(f *find, thoroughly bool) {
	f.undone, f.reported = map[string]map[string]bool{}, map[string]bool{}
	if err := j.queue(f); err != nil {
		f.fault("the queue: %v", err)
	} else {
		j.answered(f)
	}
	j.accounts(f)
	j.state(f)
	if thoroughly {
		integrity(f)
	}
}

// queue opens the queue and reads all that is in it.
func (j *judge) queue(f *find) error {
	ctx, dir := context.Background(), filepath.Join(f.folder, "queue")
	if err := sqlitespool.Check(dir); err != nil {
		return err
	}
	store, err := sqlitespool.Open(ctx, sqlitespool.Config{Dir: dir, MinFree: 1, History: time.Hour, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	defer store.Close()
	deliveries := 0
	for e, err := range store.List(ctx, spool.Filter{}) {
		if err != nil {
			return err
		}
		deliveries++
		if f.undone[e.ID] == nil {
			f.undone[e.ID] = map[string]bool{}
			f.reported[e.Parent] = true
			if err := read(ctx, store, e.ID, e.From != ""); err != nil {
				f.fault("%s: %v", e.ID, err)
			}
		}
		if e.State == spool.Damaged || len(e.Recipients) == 0 {
			f.fault("%s is %s, for %d recipients", e.ID, e.State, len(e.Recipients))
		}
		for _, r := range e.Recipients {
			f.undone[e.ID][r.Address] = true
		}
	}
	counted, err := store.Stats(ctx)
	if err != nil {
		return err
	}
	all := 0
	for _, n := range counted.ByState {
		all += n
	}
	if all != deliveries || counted.Messages != len(f.undone) {
		f.fault("%d mails and %d deliveries are counted, and %d and %d are there", counted.Messages, all, len(f.undone), deliveries)
	}
	files, err := os.ReadDir(filepath.Join(dir, "body"))
	for _, file := range files {
		if f.undone[file.Name()] == nil {
			f.fault("the body %s belongs to no mail", file.Name())
		}
	}
	return err
}

// read reads a mail, which shows by its checksum, and if it is a client's by its content, whether it is whole.
func read(ctx context.Context, store *sqlitespool.Spool, id string, client bool) error {
	body, err := store.Body(ctx, id)
	if err != nil {
		return err
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if client && (!whole(content) || bytes.Contains(content, []byte("Bcc: "))) {
		return fmt.Errorf("torn: %.300q, %d octets", content, len(content))
	}
	return nil
}

// answered looks for what became of each recipient of each mail that was answered with 250 before the cut.
func (j *judge) answered(f *find) {
	for _, m := range j.mails {
		if m.answered >= f.line {
			continue
		}
		for _, to := range m.recipients {
			switch {
			case f.undone[m.id][to]:
			case to == known && j.took(handed{m.number, to}, &f.left):
			case to == unknown && (f.reported[m.id] || j.took(handed{m.number, ""}, &f.left)):
			default:
				f.fault("mail %d, %s, which was answered with 250 in line %d, is lost for %s", m.number, m.id, m.answered, to)
			}
		}
	}
}

// accounts looks for each device that the server has said is kept.
func (j *judge) accounts(f *find) {
	logins, faults, err := userfile.Read(filepath.Join(f.folder, "users"))
	if err != nil || len(faults) > 0 {
		f.fault("the accounts: %v %v", err, faults)
	}
	for _, d := range j.devices {
		if d.said.After(f.at) {
			continue
		}
		there := false
		for _, l := range logins[lab.User] {
			there = there || l.Device == d.name
		}
		if !there {
			f.fault("the device %s is lost", d.name)
		}
	}
}

// state looks whether the server can read what it has remembered, if it has.
func (j *judge) state(f *find) {
	text, err := os.ReadFile(filepath.Join(f.folder, "state.json"))
	if os.IsNotExist(err) {
		return
	}
	var parts map[string]json.RawMessage
	if err == nil {
		if err = json.Unmarshal(text, &parts); err == nil {
			err = new(limit.Limits).Restore(parts["limits"])
		}
	}
	if err != nil {
		f.fault("what the server remembers: %v", err)
	}
}

// integrity has SQLite look through tables and indexes.
func integrity(f *find) {
	db, err := sql.Open("sqlite", filepath.Join(f.folder, "queue", "queue.db"))
	if err != nil {
		f.fault("the database: %v", err)
		return
	}
	defer db.Close()
	var said string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&said); err != nil || said != "ok" {
		f.fault("the database: %s %v", said, err)
	}
}

// restart starts the server itself on what a cut has left, and waits until all that was answered with 250 has been handed on.
func (j *judge) restart(t *testing.T, s *lab.Smarthost, h *hop, l *left) {
	t.Helper()
	lab.Check(t, os.RemoveAll(s.Data))
	lab.Check(t, l.image.write(s.Data))
	h.forget()
	s.Start(t)
	missing := func() (all []handed) {
		for _, m := range j.mails {
			for _, to := range m.recipients {
				what := handed{m.number, to}
				if to == unknown {
					what.to = ""
				}
				if m.answered < l.line && to != busy && !j.took(what, l) && !h.took(what) {
					all = append(all, what)
				}
			}
		}
		return all
	}
	deadline := time.Now().Add(30 * time.Second)
	lab.Await(t, "the mail that was answered with 250", time.Minute, func() bool { return len(missing()) == 0 || time.Now().After(deadline) })
	if lost := missing(); len(lost) > 0 {
		t.Errorf("the power was cut before line %d, and the server was started: %d mails did not arrive, one of them is %+v", l.line+1, len(lost), lost[0])
	}
	s.Kill()
}
