package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// A trouble is why a connection did not come about.
type trouble int

const (
	none    trouble = iota
	silent          // nothing came back
	refused         // an answer, and it was no
	noRoute         // this machine has no way there
)

func troubleOf(err error) trouble {
	var timeout net.Error
	switch {
	case err == nil:
		return none
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return noRoute
	case errors.As(err, &timeout) && timeout.Timeout():
		return silent
	}
	return refused
}

// How long a client waits for a dead address before it tries the next one: measured with Debian 12's clients.
const (
	deadFirst = "a mail program that tries this address first waits for it each time: Exim and msmtp 2 min 15 s, git 2 min, Postfix 30 s; curl, swaks, nodemailer and Go at most 2 s"
	deadIPv6  = "remove the AAAA record until IPv6 works, or make it work: look for a firewall that drops port %s, a missing route, a host that is down"
)

// reach says which addresses can be connected to, and what it costs that others cannot. With both it is about 587 and 465.
func reach(doors []*door, both bool) []Finding {
	var all []Finding
	tried := slices.DeleteFunc(slices.Clone(doors), func(d *door) bool { return d.skipped })
	if len(tried) == 0 {
		return nil
	}
	if !slices.ContainsFunc(tried, func(d *door) bool { return d.open }) {
		return []Finding{judgeUnreachable(tried)}
	}
	for _, group := range byAddress(tried) {
		all = append(all, reachAddress(group))
	}
	if both {
		all = append(all, reachPorts(tried)...)
	}
	return all
}

func byAddress(doors []*door) [][]*door {
	var groups [][]*door
	for i, d := range doors {
		if i == 0 || d.addr.Addr() != doors[i-1].addr.Addr() {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], d)
	}
	return groups
}

func judgeUnreachable(doors []*door) Finding {
	var each []string
	for _, d := range doors {
		each = append(each, d.where()+": "+errorText(d.err))
	}
	f := Finding{Check: "connect", Level: Problem, What: "no address of the server can be connected to: " + strings.Join(each, "; "),
		Why: "no mail leaves this machine; mail programs with a queue keep it, the others fail",
		Do:  "find out whether other networks reach it. If so, this network blocks the ports; if not, the server is down or its firewall closed"}
	if !slices.ContainsFunc(doors, func(d *door) bool { return troubleOf(d.err) != noRoute }) {
		f.Do = "connect this machine to a network: it has no route there"
	}
	return f
}

// reachAddress is about one address of several, of which at least one works.
func reachAddress(doors []*door) Finding {
	addr := doors[0].addr.Addr()
	detail := map[string]any{}
	var times, ports []string
	worst := none
	for _, d := range doors {
		port := fmt.Sprint(d.addr.Port())
		ports = append(ports, port)
		if d.open {
			times = append(times, fmt.Sprintf("port %s in %s", port, span(d.connect)))
			detail[port] = map[string]any{"connect_ms": d.connect.Milliseconds()}
			continue
		}
		detail[port] = map[string]any{"error": errorText(d.err)}
		if worst == none || troubleOf(d.err) < worst {
			worst = troubleOf(d.err)
		}
	}
	f := Finding{Check: "connect", Where: addr.String(), Detail: detail}
	if len(times) > 0 {
		f.What = strings.Join(times, ", ")
		return f
	}
	return judgeDead(f, addr, worst, strings.Join(ports, " and "))
}

// judgeDead is about an address that does not work although others do.
func judgeDead(f Finding, addr netip.Addr, why trouble, ports string) Finding {
	f.Level = Warning
	switch why {
	case noRoute:
		f.Level = Note
		f.What = "this machine has no route there"
		f.Why = "mail programs notice that at once and take another address"
	case silent:
		f.What = fmt.Sprintf("no answer on port %s within %s", ports, span(connectWait))
		f.Why = deadFirst
		f.Do = "take the address out of DNS, or find out what drops the packets"
		if addr.Is6() {
			f.Do = fmt.Sprintf(deadIPv6, ports)
		}
	default:
		f.What = "connections to port " + ports + " are refused"
		f.Why = "mail programs take another address at once, but this one is of no use"
		f.Do = "take the address out of DNS, or have the server listen there"
	}
	return f
}

// reachPorts is about a port that no address, or not every address, answers on.
func reachPorts(doors []*door) []Finding {
	var all []Finding
	for _, port := range []uint16{submissionPort, submissionsPort} {
		var open, closed []string
		for _, group := range byAddress(doors) {
			if !slices.ContainsFunc(group, func(d *door) bool { return d.open }) {
				continue // told already
			}
			for _, d := range group {
				switch {
				case d.addr.Port() != port:
				case d.open:
					open = append(open, d.where())
				default:
					closed = append(closed, d.where()+": "+errorText(d.err))
				}
			}
		}
		f := Finding{Check: "connect", What: fmt.Sprintf("port %d is closed (%s)", port, strings.Join(closed, "; "))}
		switch {
		case len(closed) == 0:
			continue
		case len(open) > 0:
			f.Level = Warning
			f.What = fmt.Sprintf("port %d works at %s, but not everywhere: %s", port, strings.Join(open, ", "), strings.Join(closed, "; "))
			f.Why = "a mail program that tries the other address fails now and then"
			f.Do = "have the server listen on all its addresses, and open the firewall alike for IPv4 and IPv6"
		case port == submissionPort:
			f.Level = Note
			f.Why = "mail programs that are set up for STARTTLS (most, as they come) cannot be used; set them up for TLS on port 465"
		default:
			f.Level = Note
			f.Why = "port 465 (TLS from the start) is the safer way: there is no clear text to fall back to when TLS fails (RFC 8314)"
		}
		all = append(all, f)
	}
	return all
}
