package userfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/auth"
)

const (
	lookEvery = time.Second    // how often it is looked whether a login still is there, and a file that could not be read is tried again
	restless  = 30 * lookEvery // after which a file is read that is written in place without a second's rest
	maxFile   = 64 << 20       // octets; half a million accounts
)

// File is an [auth.Store] of the file at Path. Its methods may be called at the same time.
type File struct {
	Path    string                 // required
	Writing func(path string) bool // somebody has the file open and writes it; nil: that is not known
	Log     zerolog.Logger

	mu       sync.Mutex
	logins   map[string][]auth.Login // by name, each in the order of devices; nil until the file was read once
	unsure   map[string]error        // accounts of which it is not known what their devices may do; see parse
	looked   time.Time
	restless time.Time // since when it looks otherwise and was not read, because somebody writes it; zero: it does not
	seen     string    // what the file looked like when it was read
	err      error     // of the last reading
	damaged  int       // lines that it left out
}

// Logins returns the logins of the account. It fails if the file has never been readable, and for an account whose devices have what they
// may do from a line that is damaged: they wait until it is mended, rather than send without the account's limits.
//
// It looks at the file each time: who adds an account and logs in at once is known.
func (f *File) Logins(_ context.Context, name string) ([]auth.Login, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh(0)
	return f.find(name)
}

// Login returns the login of one device. It fails as Logins does, but knows always that a device is not there. A change of the file is
// seen within a second.
func (f *File) Login(_ context.Context, name, device string) (auth.Login, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh(lookEvery)
	return f.login(name, device)
}

// Recall is Login as long as the file need not be looked at.
func (f *File) Recall(name, device string) (l auth.Login, ok, known bool) {
	if !f.mu.TryLock() { // whoever has it may be waiting for the disk
		return auth.Login{}, false, false
	}
	defer f.mu.Unlock()
	if time.Since(f.looked) >= lookEvery {
		return auth.Login{}, false, false
	}
	l, ok, err := f.login(name, device)
	return l, ok, err == nil
}

func (f *File) login(name, device string) (auth.Login, bool, error) {
	of, err := f.find(name)
	i, ok := slices.BinarySearchFunc(of, device, compareDevice)
	switch {
	case ok && err == nil:
		return of[i], true, nil
	case !ok && device != "" && len(of) > 0:
		return auth.Login{}, false, nil
	}
	return auth.Login{}, false, err
}

// refresh reads the file if it has changed, unless that was looked at less than some time ago.
func (f *File) refresh(every time.Duration) {
	now := time.Now()
	if f.err != nil {
		every = lookEvery // what failed may go well now, though the file is the same; but not at once
	}
	if now.Sub(f.looked) < every {
		return
	}
	f.looked = now
	switch same := f.err == nil && f.look() == f.seen; {
	case same:
		f.restless = time.Time{}
	case f.restless.IsZero():
		f.restless = now
	}
	if !f.restless.IsZero() && !f.beingWritten(now) {
		f.restless = time.Time{}
		f.read()
	}
}

func (f *File) find(name string) ([]auth.Login, error) {
	if f.logins == nil {
		return nil, f.err
	}
	return f.logins[name], f.unsure[name]
}

// Sample returns the logins of at most n accounts, of those that were read last.
func (f *File) Sample(_ context.Context, n int) (some [][]auth.Login) {
	f.mu.Lock()
	all := f.logins // replaced as a whole, never changed
	f.mu.Unlock()
	for _, of := range all {
		if len(some) == n {
			break
		}
		some = append(some, of)
	}
	return some
}

func compareDevice(l auth.Login, device string) int { return strings.Compare(l.Device, device) }

// Reload reads the file now. On an error, which is returned and logged, the accounts stay as they were.
func (f *File) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read()
	return f.err
}

// Fault is what was wrong when the file was last read: that it could not be, so that the accounts of before are in force, or that lines
// of it are damaged. The log has said more.
func (f *File) Fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil && f.damaged > 0 {
		return fmt.Errorf("%s: %d damaged lines are left out", f.Path, f.damaged)
	}
	return f.err
}

// beingWritten tells that the file that was read is changed in place at this moment: half of it would be half of the accounts.
func (f *File) beingWritten(now time.Time) bool {
	if f.logins != nil && f.Writing != nil && f.Writing(f.Path) {
		return true
	}
	st, err := os.Stat(f.Path)
	return err == nil && f.logins != nil && now.Sub(f.restless) < restless && strings.HasSuffix(f.seen, fmt.Sprint(" ", inode(st))) && now.Sub(st.ModTime()).Abs() < lookEvery
}

func inode(st os.FileInfo) uint64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Ino
	}
	return 0
}

// look describes the file as it is now; it changes when the file does, also by a swapped symbolic link.
func (f *File) look() string {
	st, err := os.Stat(f.Path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(st.ModTime().UnixNano(), st.Size(), inode(st))
}

// fail keeps what is in force, and reports what is wrong if it was not so before.
func (f *File) fail(err, before error) {
	f.err = err
	if before == nil || before.Error() != err.Error() {
		f.Log.Error().Err(err).Bool("old_in_force", f.logins != nil).Msg("the accounts cannot be read")
	}
}

// read takes the file over, damaged lines aside. An error that lasts is reported once.
func (f *File) read() {
	f.seen = f.look()
	text, err := readBounded(f.Path)
	before := f.err
	if err != nil {
		f.fail(err, before)
		return
	}
	logins, unsure, faults := parse(f.Path, text)
	if len(logins) == 0 && len(faults) > 0 && len(f.logins) > 0 { // no accounts, but some other file that has their place
		f.fail(fmt.Errorf("no line of it can be read as an account, the first: %w", faults[0]), before)
		return
	}
	f.err = nil
	for _, fault := range faults {
		f.Log.Error().Err(fault).Msg("a damaged line of the accounts is left out")
	}
	for _, of := range logins {
		slices.SortFunc(of, func(a, b auth.Login) int { return compareDevice(a, b.Device) })
	}
	f.logins, f.unsure, f.damaged = logins, unsure, len(faults)
	f.Log.Info().Str("file", f.Path).Int("accounts", len(logins)).Int("damaged", len(faults)).Msg("accounts read")
}

func readBounded(path string) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return text, err
}

// parse reads all lines. Each fault names file and line; unsure has those of lines that devices would have had senders or class from.
func parse(path string, text []byte) (logins map[string][]auth.Login, unsure map[string]error, faults []error) {
	type device struct{ of, name string }
	logins, unsure = map[string][]auth.Login{}, map[string]error{}
	seen := map[device]bool{}
	for i, line := range bytes.Split(text, []byte("\n")) {
		content := strings.TrimRight(string(line), "\r \t")
		if content == "" || content[0] == '#' {
			continue
		}
		l, err := parseLine(content)
		if d := (device{l.Name, l.Device}); err == nil && seen[d] {
			err = errors.New("the account has this device already, or two lines without one")
		} else if err == nil {
			seen[d] = true
		}
		if err != nil {
			err = fmt.Errorf("%s:%d: %w", path, i+1, err)
			faults = append(faults, err)
			if deviceOf(content) == "" {
				unsure[nameOf(content)] = err
			}
			continue
		}
		logins[l.Name] = append(logins[l.Name], l)
	}
	maps.DeleteFunc(unsure, func(name string, _ error) bool {
		return seen[device{name, ""}] || !slices.ContainsFunc(logins[name], func(l auth.Login) bool { return l.Class == "" || len(l.Senders) == 0 })
	})
	for _, of := range logins {
		inherit(of)
	}
	return logins, unsure, faults
}

// inherit gives the devices of an account the senders and the class that its line without a device has, where they have none themselves.
func inherit(of []auth.Login) {
	i := slices.IndexFunc(of, func(l auth.Login) bool { return l.Device == "" })
	for n := range of {
		l := &of[n]
		l.OwnLimits = l.Device != "" && l.Class != ""
		if i >= 0 && l.Class == "" {
			l.Class = of[i].Class
		}
		if i >= 0 && len(l.Senders) == 0 {
			l.Senders = of[i].Senders
		}
	}
}

// Read returns all accounts of a file, and a fault for each damaged line. A file that is not there holds none.
func Read(path string) (map[string][]auth.Login, []error, error) {
	text, err := readBounded(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	logins, _, faults := parse(path, text)
	return logins, faults, nil
}
