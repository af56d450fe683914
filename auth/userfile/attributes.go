package userfile

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// ParseExpiry reads a day, at whose end in UTC a secret expires, or a time as in RFC 3339.
func ParseExpiry(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err == nil {
		t = t.AddDate(0, 0, 1)
	} else if t, err = time.Parse(time.RFC3339, s); err != nil {
		return time.Time{}, fmt.Errorf(`%q is not a date of expiry; it is a day such as 2027-01-31, at whose end (UTC) the password expires, or a time such as 2027-01-31T12:00:00Z`, s)
	}
	if t = t.UTC(); t.Year() < 2000 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("%q is not a date of expiry: the year is not from 2000 to 9999", s)
	}
	return t, nil
}

// FormatExpiry is the shortest form that ParseExpiry reads as t.
func FormatExpiry(t time.Time) string {
	if t = t.UTC(); t.Equal(t.Truncate(24 * time.Hour)) {
		return t.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return t.Format(time.RFC3339Nano)
}

// ParseNetwork reads a prefix such as 192.0.2.0/24, or a single address.
func ParseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if addr, single := netip.ParseAddr(s); single == nil && addr.Zone() == "" {
		p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return p, fmt.Errorf("%q is not a network; it is a prefix such as 192.0.2.0/24 or 2001:db8::/32, or an address", s)
	}
	if p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is a network of IPv4 addresses mapped into IPv6; write it as one of IPv4 addresses", s)
	}
	return p.Masked(), nil
}

// FormatNetwork is the shortest form that ParseNetwork reads as p.
func FormatNetwork(p netip.Prefix) string {
	return strings.TrimSuffix(p.String(), fmt.Sprintf("/%d", p.Addr().BitLen()))
}
