package route

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// RelayDestination is the destination of all mail when a relay is set.
const RelayDestination = "relay"

// maxDomain is the longest domain in octets, RFC 5321 §4.5.3.1.2.
const maxDomain = 255

// Destination groups recipients into deliveries: it returns "relay" if a relay is set, else the domain of the address in
// A-labels and lower case. A domain that is none is returned as it is in lower case; Hops then refuses it.
func (r *Router) Destination(address string) string {
	if r.Relay != nil {
		return RelayDestination
	}
	domain := address[strings.LastIndexByte(address, '@')+1:]
	if !strings.Contains(address, "@") {
		return ""
	}
	if name, err := domainName(domain); err == nil {
		return name
	}
	return strings.ToLower(domain)
}

// domainName brings a domain into A-labels, lower case, without a final dot.
func domainName(s string) (string, error) {
	name := strings.TrimSuffix(s, ".")
	if a, err := idna.Lookup.ToASCII(name); err == nil {
		name = a
	} else {
		// Names with underscores and the like are not IDNA, yet they exist in DNS.
		name = strings.ToLower(name)
	}
	if name == "" || len(name) > maxDomain {
		return "", errors.New("not a domain")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return "", errors.New("not a domain")
		}
		for _, c := range []byte(label) {
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return "", errors.New("not a domain")
			}
		}
	}
	return name, nil
}

// addressLiteral reads "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 §4.1.3).
func addressLiteral(domain string) (netip.Addr, bool) {
	if !strings.HasPrefix(domain, "[") || !strings.HasSuffix(domain, "]") {
		return netip.Addr{}, false
	}
	s := domain[1 : len(domain)-1]
	six := len(s) > 5 && strings.EqualFold(s[:5], "IPv6:")
	if six {
		s = s[5:]
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" || addr.Is4() == six {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}
