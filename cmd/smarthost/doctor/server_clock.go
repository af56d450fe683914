package doctor

import (
	"context"
	"fmt"
	"os"
	"time"
)

// A kernelClock is what the kernel says of its clock.
type kernelClock struct {
	kept     bool          // a time service keeps it (STA_UNSYNC is not set)
	maxError time.Duration // how far off it may be
	err      error         // the kernel does not tell
}

// written is about when this was written: no clock that is right shows an earlier time.
var written = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

// clockError is how far off the clock may be without a word. Certificates and Date fields do not mind a second.
const clockError = time.Second

func (v *visit) checkClock(context.Context) []Finding {
	earliest, because := written, "this program was written"
	if cert, err := readChain(v.Certificate); err == nil && cert[0].NotBefore.After(earliest) {
		earliest, because = cert[0].NotBefore, "the certificate was made"
	}
	if st, err := os.Stat(v.Accounts); err == nil && st.ModTime().After(earliest) {
		earliest, because = st.ModTime(), "the accounts file was changed"
	}
	return []Finding{judgeClock(time.Now(), earliest, because, readKernelClock())}
}

func judgeClock(now, earliest time.Time, because string, k kernelClock) Finding {
	f := Finding{Check: "clock", Why: "with a wrong clock certificates look expired, mail bears wrong dates, and retries and limits go astray",
		Do: "run a time service (apt install systemd-timesyncd or chrony) and see it with timedatectl. In a container the host's clock counts"}
	shown := now.UTC().Format("2006-01-02 15:04:05 UTC")
	switch {
	case now.Add(time.Minute).Before(earliest):
		f.Level, f.What = Problem, fmt.Sprintf("it shows %s, which is before %s (%s)", shown, because, earliest.UTC().Format("2006-01-02 15:04:05 UTC"))
	case k.err != nil:
		f.Level, f.What = Note, fmt.Sprintf("it shows %s; the kernel does not tell whether a time service keeps it (%v)", shown, k.err)
	case !k.kept:
		f.Level, f.What = Warning, fmt.Sprintf("it shows %s, and no time service keeps it", shown)
	case k.maxError > clockError:
		f.Level, f.What = Warning, fmt.Sprintf("it shows %s, and may be wrong by %.0f s", shown, k.maxError.Seconds())
	default:
		return Finding{Check: "clock", What: fmt.Sprintf("a time service keeps it; wrong by at most %d ms", k.maxError.Milliseconds())}
	}
	return f
}
