package route

import (
	"fmt"
	"net/netip"

	"github.com/emersion/go-smtp"
)

// Family says over which address families mail leaves.
type Family int

const (
	AnyFamily Family = iota // both, the one that answers first (RFC 8305)
	IPv4
	IPv6
)

// ParseFamily reads "any", "ipv4" or "ipv6".
func ParseFamily(s string) (Family, error) {
	switch s {
	case "any":
		return AnyFamily, nil
	case "ipv4":
		return IPv4, nil
	case "ipv6":
		return IPv6, nil
	}
	return 0, fmt.Errorf(`%q is not one of "any", "ipv4", "ipv6"`, s)
}

func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	default:
		return "any"
	}
}

func (f Family) has(a netip.Addr) bool {
	return f == AnyFamily || (f == IPv4) == a.Unmap().Is4()
}

// otherFamily is the refusal for a host that has addresses, but none that may be used. It is temporary: the operator may
// think better of it before the mail is given up.
func (r *Router) otherFamily(who string) error {
	return refuse(451, smtp.EnhancedCode{4, 4, 4}, "%s no address that may be used here: forward.family is %s", who, r.Family)
}
