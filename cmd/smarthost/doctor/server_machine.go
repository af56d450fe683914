package doctor

import (
	"net"
	"net/netip"
	"slices"
)

// A machine is the addresses of this machine.
type machine struct {
	own     []netip.Addr // of its interfaces
	sources []netip.Addr // with which it leaves, at most one a family
}

// newMachine asks the system for what is nil.
func newMachine(own, sources []netip.Addr) machine {
	if own == nil {
		own = interfaceAddresses()
	}
	if sources == nil {
		// Addresses for documentation (RFC 5737, RFC 3849) take the default route.
		sources = chosenSources("192.0.2.1:25", "[2001:db8::1]:25")
	}
	return machine{own, sources}
}

func interfaceAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []netip.Addr
	for _, a := range all {
		if p, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(p.IP); ok {
				own = append(own, addr.Unmap())
			}
		}
	}
	return own
}

// chosenSources asks the kernel with which addresses it would leave for others. Connecting a UDP socket sends nothing.
func chosenSources(others ...string) []netip.Addr {
	var sources []netip.Addr
	for _, other := range others {
		conn, err := net.Dial("udp", other)
		if err != nil {
			continue
		}
		if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			sources = append(sources, local.AddrPort().Addr().Unmap().WithZone(""))
		}
		conn.Close()
	}
	return sources
}

// source is the address with which the machine leaves on a family; invalid if it has none that reaches beyond the link.
func (m machine) source(four bool) netip.Addr {
	for _, a := range m.sources {
		if a.Is4() == four && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsUnspecified() {
			return a
		}
	}
	return netip.Addr{}
}

// global tells that the machine has a public address of the family.
func (m machine) global(four bool) bool {
	return slices.ContainsFunc(m.own, func(a netip.Addr) bool { return a.Is4() == four && public(a) })
}

// carrierNAT is RFC 6598.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// public tells that an address can be reached from anywhere, so far as the address itself can tell.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !carrierNAT.Contains(a)
}

func familyName(four bool) string {
	if four {
		return "IPv4"
	}
	return "IPv6"
}

// An outgoing address is one with which the world sees this machine.
type outgoing struct {
	addr netip.Addr
	sure bool // it is an address of this machine; else the machine is behind a NAT and the address is what DNS says of its name
}

// outgoing lists them, at most one a family if they are sure.
func (v *visit) outgoing() []outgoing {
	var all []outgoing
	for _, four := range []bool{true, false} {
		if !v.uses(four) {
			continue
		}
		source := v.at.source(four)
		switch {
		case !source.IsValid():
		case public(source):
			all = append(all, outgoing{source, true})
		default:
			for _, a := range v.names.of(four).addrs {
				if public(a) && len(all) < maxShown {
					all = append(all, outgoing{a, false})
				}
			}
		}
	}
	return all
}
