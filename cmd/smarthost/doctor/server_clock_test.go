package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestJudgeClock(t *testing.T) {
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, c := range map[string]struct {
		earliest time.Time
		kernel   kernelClock
	}{
		"good clock: a time service keeps it; wrong by at most 20 ms":                       {written, kernelClock{kept: true, maxError: 20 * time.Millisecond}},
		"warning clock: it shows 2027-01-02 03:04:05 UTC, and no time service keeps it":     {written, kernelClock{}},
		"warning clock: and may be wrong by 16 s":                                           {written, kernelClock{kept: true, maxError: 16 * time.Second}},
		"note clock: does not tell whether a time service keeps it (unsupported operation)": {written, kernelClock{err: errors.ErrUnsupported}},
		"problem clock: which is before this happened (2027-01-02 04:04:05 UTC)":            {now.Add(time.Hour), kernelClock{kept: true}},
		"good clock: a time service keeps it; wrong by at most 0 ms":                        {now.Add(time.Second), kernelClock{kept: true}},
	} {
		shows(t, []Finding{judgeClock(now, c.earliest, "this happened", c.kernel)}, want)
	}
}

// What was written at a later time than now shows that the clock has gone back.
func TestClockThatWentBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	v := visitTo(t, Server{Accounts: file}, zone{}, nil)
	shows(t, v.checkClock(t.Context()), "problem clock: which is before the accounts file was changed")
	cert := (*issuer)(nil).issue(t, "mx.example.org", false, time.Now().Add(2*time.Hour), time.Now().Add(3*time.Hour))
	v.Certificate, _ = writePair(t, cert)
	v.Accounts = filepath.Join(t.TempDir(), "none")
	shows(t, v.checkClock(t.Context()), "problem clock: which is before the certificate was made")
}
