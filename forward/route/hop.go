package route

import (
	"fmt"
	"net/netip"
)

// A Hop is one host that may take the mail of a destination. Its addresses are all equally good.
type Hop struct {
	Host     string       // A-labels, lower case, no final dot; or an IP address without brackets
	Port     uint16       // TCP
	Addrs    []netip.Addr // of Host, without those that policy forbids; never empty when it comes from a Router
	Relay    bool         // set by the operator, not found in DNS
	TLS      TLSMode      // what the connection owes
	User     string       // "" = do not log in
	Password Secret
}

// TLSMode says how much TLS a hop must have.
type TLSMode int

const (
	// Opportunistic: STARTTLS when offered, any certificate, otherwise clear text (RFC 7435). For MX hosts.
	Opportunistic TLSMode = iota
	// Required: STARTTLS with a certificate that verifies for Host, or no mail (RFC 3207).
	Required
	// Implicit: TLS from the first octet with a certificate that verifies for Host (RFC 8314 §3.3).
	Implicit
	// Clear: never STARTTLS. Only an operator can ask for it, for a relay on the same machine or network.
	Clear
)

func (m TLSMode) String() string {
	switch m {
	case Opportunistic:
		return "opportunistic"
	case Required:
		return "required"
	case Implicit:
		return "implicit"
	case Clear:
		return "none"
	default:
		return fmt.Sprintf("TLSMode(%d)", int(m))
	}
}

// Verified tells whether the mode asks for a certificate that verifies.
func (m TLSMode) Verified() bool { return m == Required || m == Implicit }

// A Secret is text that never shows when it is printed, logged or marshalled.
type Secret string

const hidden = "***"

// String returns three asterisks.
func (Secret) String() string { return hidden }

// Format writes three asterisks for every verb.
func (Secret) Format(f fmt.State, _ rune) { f.Write([]byte(hidden)) }

// MarshalText returns three asterisks.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
