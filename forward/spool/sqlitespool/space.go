package sqlitespool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

const (
	spacePeriod = time.Second // how long one look at the file system is believed, while there is plenty
	plenty      = 1 << 30     // octets above the floor; less can be gone before the next look
	reserveSize = 16 << 20    // octets of the reserve: as many as the log grows to before its space is used again
)

// space keeps free space for results, so that mail can be delivered when there is no room for more of it: a floor below which no mail is
// taken, and a file of its own that makes room when others have filled the disk.
type space struct {
	dir   string
	floor uint64 // octets
	log   zerolog.Logger

	mu      sync.Mutex
	looked  time.Time
	ample   bool
	reserve bool // the file is there
	err     error
}

// check returns spool.ErrFull while less than the floor is free.
func (s *space) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.ample && now.Sub(s.looked) < spacePeriod {
		return s.err
	}
	s.looked, s.err = now, nil
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		s.err = fmt.Errorf("free space of %s: %w", s.dir, err)
		return s.err
	}
	free := uint64(st.Bavail) * uint64(st.Bsize)
	s.ample = free >= s.floor+plenty
	switch {
	case free < s.floor:
		s.err = fmt.Errorf("%w: %d MiB free in %s, %d MiB are kept for results", spool.ErrFull, free>>20, s.dir, s.floor>>20)
	case st.Files > 0 && st.Ffree == 0:
		s.err = fmt.Errorf("%w: no inode is free in %s", spool.ErrFull, s.dir)
	case !s.reserve && free >= s.floor+reserveSize:
		s.hold()
	}
	return s.err
}

func (s *space) file() string { return filepath.Join(s.dir, "reserve") }

// hold makes the reserve. The lock is held. A file system that cannot set space aside goes without.
func (s *space) hold() {
	s.reserve = true
	f, err := os.OpenFile(s.file(), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err == nil {
		err = errors.Join(allocate(f, reserveSize), f.Close())
	}
	if err != nil {
		s.log.Warn().Err(err).Msg("no space could be set aside for a full disk")
	}
}

// release gives the reserve up; false: there is none.
func (s *space) release() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := os.Remove(s.file())
	s.reserve, s.ample = false, false
	if err == nil {
		s.log.Error().Str("folder", s.dir).Msg("the disk is full; the space that was set aside is used to write down what is delivered. No mail is taken until there is room: make some")
	} else if !errors.Is(err, fs.ErrNotExist) {
		s.log.Error().Err(err).Msg("the space that was set aside cannot be given up")
	}
	return err == nil
}

// fill writes n octets, where the file system cannot set them aside by itself.
func fill(f *os.File, n int64) error {
	var zeros [64 << 10]byte
	for at := int64(0); at < n; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:], at); err != nil {
			return err
		}
	}
	return nil
}
