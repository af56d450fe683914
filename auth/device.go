package auth

import (
	"net/netip"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// candidates are the logins of one account that a password can be of.
type candidates struct {
	logins []Login // with the password's tag, then without any; of each those first that are of use now
	blank  int     // bcrypt cost of the comparison that stands in for a tag that fits nobody's; 0: none does
}

// candidatesFor chooses by the tag, so that an account with ten thousand devices costs one comparison and not ten thousand. At most
// maxLogins with the same tag, and as many without one, are tried.
func candidatesFor(logins []Login, password []byte, from netip.Addr) (c candidates) {
	tag := Tag(string(password))
	var fitting, untagged []Login
	for i := range logins { // not by value: there can be thousands
		switch l := &logins[i]; {
		case l.Tag == "" && len(untagged) < maxLogins:
			untagged = append(untagged, *l)
		case l.Tag != "" && l.Tag == tag && len(fitting) < maxLogins:
			fitting = append(fitting, *l)
		}
	}
	if len(fitting) == 0 {
		c.blank = taggedCost(logins)
	}
	for _, some := range [][]Login{fitting, untagged} {
		for _, l := range some {
			if l.lapsed(from) == "" {
				c.logins = append(c.logins, l)
			}
		}
		for _, l := range some {
			if l.lapsed(from) != "" {
				c.logins = append(c.logins, l)
			}
		}
	}
	return c
}

// taggedCost is the bcrypt cost of the logins with a tag, as the first of them has it; 0 if there is none.
func taggedCost(logins []Login) int {
	for i := range logins {
		if l := &logins[i]; l.Tag != "" {
			if cost, err := bcrypt.Cost(l.Hash); err == nil {
				return cost
			}
		}
	}
	return 0
}

// lapsed is why a login is of no use now to a client at that address, in words for who has proved to know its secret; "": it is of use.
func (l *Login) lapsed(from netip.Addr) string {
	if !l.Expires.IsZero() && !time.Now().Before(l.Expires) {
		return "the password" + l.of() + " expired " + expiry(l.Expires)
	}
	if !l.allows(from) {
		return "the login" + l.of() + " is not allowed from " + from.Unmap().WithZone("").String() + ", which is in none of its networks"
	}
	return ""
}

func (l *Login) allows(from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	for _, n := range l.Networks {
		if n.Contains(from) {
			return true
		}
	}
	return len(l.Networks) == 0
}

// expiry is the last day of a time that is the end of a day, else the time itself.
func expiry(t time.Time) string {
	if t = t.UTC(); t.Equal(t.Truncate(24 * time.Hour)) {
		return "at the end of " + t.AddDate(0, 0, -1).Format(time.DateOnly) + " UTC"
	}
	return "on " + t.Format(time.DateTime) + " UTC"
}

// maxDevice is how many octets of a device's name a reply has room for.
const maxDevice = 64

// of names the device in a reply: printable ASCII, bounded.
func (l *Login) of() string {
	if l.Device == "" {
		return ""
	}
	return " of device " + strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, l.Device[:min(len(l.Device), maxDevice)])
}
