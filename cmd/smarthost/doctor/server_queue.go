package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/auth/userfile"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

// Ages of the oldest mail in the queue.
const (
	ageNote    = time.Hour
	ageWarning = day
)

func (v *visit) queueFolder() string { return filepath.Join(v.Data, "queue") }

func (v *visit) checkQueue(ctx context.Context) []Finding {
	reader, err := sqlitespool.OpenReadOnly(v.queueFolder())
	if errors.Is(err, fs.ErrNotExist) {
		return []Finding{{Check: "queue", Level: Note, What: "there is none yet; the server makes it at its first start",
			Why: "if the server has run before, its mail is in another data folder", Do: "see data in " + v.configName()}}
	}
	if errors.Is(err, fs.ErrPermission) {
		return []Finding{notAllowed("queue", v.queueFolder())}
	}
	var stats spool.Stats
	if err == nil {
		defer reader.Close()
		stats, err = reader.Stats(ctx)
	}
	if err != nil {
		return []Finding{{Check: "queue", Level: Problem, What: clean(err.Error()), Why: "what cannot be read cannot be delivered",
			Do: "see what the server's log says about its queue"}}
	}
	return judgeQueue(stats, time.Now())
}

func judgeQueue(s spool.Stats, now time.Time) []Finding {
	f := Finding{Check: "queue", Detail: map[string]any{"messages": s.Messages, "octets": s.Bytes, "damaged": s.ByState[spool.Damaged], "held": s.ByState[spool.Held]}}
	if s.Messages == 0 {
		f.What = "it is empty"
		return []Finding{f}
	}
	age := now.Sub(s.Oldest)
	f.Detail["oldest_s"] = int64(age.Seconds())
	f.What = fmt.Sprintf("%s waiting (%s), the oldest for %s", count(s.Messages, "message"), octets(uint64(max(s.Bytes, 0))), age.Round(time.Second))
	if age > ageNote {
		f.Level, f.Why, f.Do = Note, "something keeps it from leaving", "see what the other servers say: smarthost queue"
	}
	if age > ageWarning {
		f.Level = Warning
	}
	found := []Finding{f}
	if n := s.ByState[spool.Damaged]; n > 0 {
		found = append(found, Finding{Check: "queue", Level: Problem, What: fmt.Sprintf("%s damaged and set aside", count(n, "delivery")),
			Why: "a disk or a file system that damages files does not do it once", Do: "see which: smarthost queue. Look after the disk (dmesg, smartctl), and restore what matters from a backup"})
	}
	return found
}

// A roll is the accounts as far as they can be read.
type roll struct {
	logins map[string][]auth.Login
	faults []error // damaged lines
	err    error
}

func (v *visit) readRoll() (r roll) {
	if _, r.err = os.Stat(v.Accounts); r.err != nil {
		return r
	}
	r.logins, r.faults, r.err = userfile.Read(v.Accounts)
	return r
}

// maxFaults is how many damaged lines are shown.
const maxFaults = 5

func (v *visit) checkAccounts(context.Context) []Finding {
	r := v.roll()
	var found []Finding
	switch {
	case errors.Is(r.err, fs.ErrNotExist):
		found = append(found, Finding{Check: "accounts", Level: Note, Where: v.Accounts, What: "the file is not there yet; the server makes it with one account at its first start",
			Why: "nobody can send without an account", Do: "start the server, or smarthost user add NAME"})
	case errors.Is(r.err, fs.ErrPermission):
		found = append(found, notAllowed("accounts", v.Accounts))
	case r.err != nil:
		found = append(found, Finding{Check: "accounts", Level: Problem, Where: v.Accounts, What: clean(r.err.Error()),
			Why: "while the server cannot read it, nobody can log in", Do: "put a readable file there, or see accounts.file in " + v.configName()})
	case len(r.logins) == 0:
		found = append(found, Finding{Check: "accounts", Level: Warning, Where: v.Accounts, What: "there is no account", Why: "nobody can send without one", Do: "smarthost user add NAME"})
	default:
		found = append(found, Finding{Check: "accounts", Where: v.Accounts, What: count(len(r.logins), "account"), Detail: map[string]any{"accounts": len(r.logins)}})
	}
	if n := len(r.faults); n > 0 {
		words := make([]string, min(n, maxFaults))
		for i := range words {
			words[i] = clean(r.faults[i].Error())
		}
		found = append(found, Finding{Check: "accounts", Level: Warning, Where: v.Accounts, What: fmt.Sprintf("%s damaged: %s", count(n, "line"), strings.Join(words, "; ")),
			Why: "a damaged line is left out: whoever it belongs to cannot log in", Do: "correct it, or write it anew with smarthost user"})
	}
	for _, file := range v.Exposed {
		found = append(found, Finding{Check: "secrets", Level: Warning, Where: file, What: "every user of this machine can read it, and it holds secrets",
			Why: "passwords, hashes and keys in other hands send mail in your name", Do: "chmod o-r " + file})
	}
	return found
}
