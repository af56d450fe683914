package sqlitespool

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/spooltest"
)

const week = 7 * 24 * time.Hour

func TestMain(m *testing.M) {
	spooltest.Child(func(dir string) (spool.Store, error) {
		return Open(context.Background(), Config{Dir: dir, MinFree: 1, History: week})
	})
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	spooltest.Run(t, func(t *testing.T, dir string) spool.Store { return open(t, dir) })
}

// open opens the queue in dir; whoever calls it closes it, or does not mind.
func open(t testing.TB, dir string) *Spool {
	t.Helper()
	s, err := Open(context.Background(), Config{Dir: dir, MinFree: 1, History: week, Log: zerolog.New(os.Stderr).Level(zerolog.WarnLevel)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
