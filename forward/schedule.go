package forward

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// Settings are what can change while the forwarder runs.
type Settings struct {
	Retry  []time.Duration // waits between attempts, the last one repeats; empty is 1m 5m 15m 1h
	GiveUp time.Duration   // age at which undelivered mail is returned; 0 is 5 days (RFC 5321 §4.5.4.1)
}

const (
	standardGiveUp = 5 * 24 * time.Hour
	delayAfter     = 4 * time.Hour // when a sender that asked for it is told of a delay (RFC 3461 §4.1)
	fewestAttempts = 5             // before mail is given up, however old it seems to be
	jitter         = 0.1           // of a wait, either way, so that mail that failed together does not come back together
)

var standardRetry = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}

func (f *Forwarder) current() Settings {
	s := Settings{}
	if p := f.settings.Load(); p != nil {
		s = *p
	}
	if len(s.Retry) == 0 {
		s.Retry = standardRetry
	}
	s.GiveUp = or(s.GiveUp, standardGiveUp)
	return s
}

// wait is the time until the next attempt after so many before this one.
func (s Settings) wait(attempts int) time.Duration {
	d := s.Retry[min(attempts, len(s.Retry)-1)]
	return d + time.Duration((2*rand.Float64()-1)*jitter*float64(d))
}

// givesUp tells that this attempt was the last. Age alone does not decide: a clock that jumps must not return
// everything at once.
func (s Settings) givesUp(d spool.Delivery, now time.Time) bool {
	return now.Sub(d.Arrived) >= s.GiveUp && d.Attempts+1 >= max(fewestAttempts, len(s.Retry))
}

// givenUp makes of a temporary result a final one. The words are ours and not the hop's.
func (s Settings) givenUp(last spool.Result) spool.Result {
	who := ""
	if last.Hop != "" {
		who = " of " + last.Hop
	}
	return spool.Result{Address: last.Address, Reply: smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 4, 7},
		Message: fmt.Sprintf("given up after %s; the last reply%s was: %d %s", words(s.GiveUp), who, last.Reply.Code, last.Reply.Message)}}
}

func words(d time.Duration) string {
	if d >= 48*time.Hour && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}
