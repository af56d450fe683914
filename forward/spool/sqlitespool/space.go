package sqlitespool

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// spacePeriod is how long one look at the file system is believed.
const spacePeriod = time.Second

// space keeps a floor of free space, so that results can be written when there is no room for mail.
type space struct {
	dir   string
	floor uint64 // octets

	mu     sync.Mutex
	looked time.Time
	err    error
}

// check returns spool.ErrFull while less than the floor is free.
func (s *space) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !s.looked.IsZero() && now.Sub(s.looked) < spacePeriod {
		return s.err
	}
	s.looked, s.err = now, nil
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		s.err = fmt.Errorf("free space of %s: %w", s.dir, err)
	} else if free := uint64(st.Bavail) * uint64(st.Bsize); free < s.floor {
		s.err = fmt.Errorf("%w: %d MiB free in %s, %d MiB are kept for results", spool.ErrFull, free>>20, s.dir, s.floor>>20)
	} else if st.Files > 0 && st.Ffree == 0 {
		s.err = fmt.Errorf("%w: no inode is free in %s", spool.ErrFull, s.dir)
	}
	return s.err
}
