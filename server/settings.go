package server

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Mode says how mail of a client that has not logged in is refused. It is always refused.
type Mode string

// The modes. RFC 6409 §4.3 and RFC 4954 §6 name 530; Grace departs from it only where there is evidence of a passing trouble,
// because most clients return the mail to its author on 530 and keep it on 451.
const (
	Grace  Mode = "grace"  // 530; 451 after a TLS or AUTH trouble that will pass
	Reject Mode = "reject" // 530, whatever happened before
	Defer  Mode = "defer"  // 451, whatever happened before
)

// Settings are what can change while the server runs, see [Server.Configure]. Connections that are open see a change with their next command.
type Settings struct {
	// Unauthenticated is how mail without a login is refused; "" is Grace.
	Unauthenticated Mode
	// Help is a URL shown in refusals: http or https, at most 200 octets of ASCII; "" shows none.
	Help string
	// MaxRecipients of one message; 0 is 200. At least 100 (RFC 5321 §4.5.3.1.8).
	MaxRecipients int
	// DuplicateWindow is how long a message is remembered, so that the same message sent again is not queued twice; 0 is one hour, a negative one switches this off.
	DuplicateWindow time.Duration
}

const (
	maxHelp           = 200
	standardRcpts     = 200
	fewestRcpts       = 100 // RFC 5321 §4.5.3.1.8
	standardDuplicate = time.Hour
	longestDuplicate  = 30 * 24 * time.Hour
)

// Validate names every fault.
func (s Settings) Validate() error {
	var faults []error
	switch s.Unauthenticated {
	case "", Grace, Reject, Defer:
	default:
		faults = append(faults, fmt.Errorf("unauthenticated is %q; must be %q, %q or %q", s.Unauthenticated, Grace, Reject, Defer))
	}
	if s.Help != "" && !isHelp(s.Help) {
		faults = append(faults, fmt.Errorf("help is %q; must be a URL such as %q of at most %d ASCII signs", s.Help, "https://example.org/mail", maxHelp))
	}
	if s.MaxRecipients != 0 && s.MaxRecipients < fewestRcpts {
		faults = append(faults, fmt.Errorf("max recipients is %d; must be at least %d (RFC 5321 §4.5.3.1.8)", s.MaxRecipients, fewestRcpts))
	}
	if s.DuplicateWindow > longestDuplicate {
		faults = append(faults, fmt.Errorf("duplicate window is %s; must be at most %s", s.DuplicateWindow, longestDuplicate))
	}
	return errors.Join(faults...)
}

func isHelp(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && len(s) <= maxHelp &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// withDefaults fills in what is zero.
func (s Settings) withDefaults() Settings {
	if s.Unauthenticated == "" {
		s.Unauthenticated = Grace
	}
	if s.MaxRecipients == 0 {
		s.MaxRecipients = standardRcpts
	}
	if s.DuplicateWindow == 0 {
		s.DuplicateWindow = standardDuplicate
	}
	return s
}
