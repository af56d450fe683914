package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// addresses are what DNS says of a name in one family.
type addresses struct {
	addrs []netip.Addr
	err   error // DNS could not tell; that there is none is no error
}

// selfNames are what DNS says of the host name.
type selfNames struct{ four, six addresses }

func (n selfNames) of(four bool) addresses {
	if four {
		return n.four
	}
	return n.six
}

func (n selfNames) all() []netip.Addr { return slices.Concat(n.four.addrs, n.six.addrs) }

func (v *visit) lookUpSelf(ctx context.Context) (n selfNames) {
	if !fullName(v.Hostname) {
		return n
	}
	var both crew
	both.Go(func() { n.four = v.lookUp(ctx, "ip4", v.Hostname) })
	both.Go(func() { n.six = v.lookUp(ctx, "ip6", v.Hostname) })
	both.Wait()
	return n
}

func (v *visit) lookUp(ctx context.Context, network, host string) addresses {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	addrs, err := v.Resolver.LookupNetIP(ctx, network, host)
	if notFound(err) {
		err = nil
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addresses{addrs, err}
}

// fullName tells that a name can stand in the public DNS.
func fullName(name string) bool {
	_, err := netip.ParseAddr(name)
	dot := strings.LastIndexByte(name, '.')
	return err != nil && dot > 0 && !slices.Contains([]string{"local", "localdomain", "localhost", "lan", "home", "internal"}, name[dot+1:])
}

func (v *visit) checkHostname(context.Context) []Finding {
	const name = "hostname"
	if !fullName(v.Hostname) {
		level := Problem
		if v.Relay != nil {
			level = Warning
		}
		return []Finding{{Check: name, Level: level, What: fmt.Sprintf("%q is not a full name in DNS", v.Hostname),
			Why: "clients find the server by its name and check its certificate against it, and other servers distrust one that greets them with such a name",
			Do:  `set hostname = "mx.example.org" (the server's name in DNS) in ` + v.configName()}}
	}
	n := v.names
	var found []Finding
	if err := cmp.Or(n.four.err, n.six.err); err != nil {
		which := "addresses"
		if n.four.err == nil || n.six.err == nil {
			which = familyName(n.four.err != nil) + " addresses"
		}
		found = append(found, Finding{Check: name, Level: Warning, What: fmt.Sprintf("DNS gave no answer about the %s of %s (%s)", which, v.Hostname, dnsFault(err)),
			Why: "without DNS, clients do not find this server, and it does not find the recipients' servers; mail waits",
			Do:  "see that the name servers in /etc/resolv.conf answer: dig " + v.Hostname})
	}
	all := n.all()
	if len(all) == 0 && len(found) == 0 {
		return []Finding{{Check: name, Level: Problem, What: v.Hostname + " has no address in DNS",
			Why: "no client finds the server by this name, and other servers distrust one whose name leads nowhere",
			Do:  "add an A record (and an AAAA record if IPv6 works) for " + v.Hostname + ", or set hostname to the name that has one"}}
	}
	for _, a := range all[:min(len(all), maxShown)] {
		found = append(found, v.judgeAddress(a))
	}
	if n := len(all) - maxShown; n > 0 {
		found = append(found, Finding{Check: name, Level: Note, What: fmt.Sprintf("%d more addresses were not looked at", n),
			Why: "clients try one after the other; each that does not answer costs time", Do: "leave those in DNS that lead here: dig " + v.Hostname})
	}
	return found
}

// maxShown is how many addresses of the host name are looked at.
const maxShown = 8

// judgeAddress says whose an address of the host name is.
func (v *visit) judgeAddress(a netip.Addr) Finding {
	four := a.Is4()
	record := "A"
	if !four {
		record = "AAAA"
	}
	f := Finding{Check: "hostname", Where: a.String()}
	switch {
	case a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast():
		f.Level, f.What = Problem, fmt.Sprintf("%s has the %s record %s, which means another machine to everybody", v.Hostname, record, a)
		f.Why = "whoever follows it connects to itself"
		f.Do = "put the public address into DNS"
	case slices.Contains(v.at.own, a):
		f.Level, f.What = Good, fmt.Sprintf("the %s record of %s is an address of this machine", record, v.Hostname)
	case !four && !v.at.source(false).IsValid():
		f.Level, f.What = Warning, fmt.Sprintf("%s has an AAAA record, but this machine has no IPv6", v.Hostname)
		f.Why = "clients try IPv6 first; where it leads nowhere each of their mails waits for half a minute to two minutes"
		f.Do = "set IPv6 up here, or remove the AAAA record. If a NAT or a container host takes IPv6 for this machine, test from another machine: smarthost doctor " + v.Hostname
	case v.at.global(four):
		f.Level, f.What = Warning, fmt.Sprintf("the %s record of %s is no address of this machine, which has public ones (%s)", record, v.Hostname, v.ownPublic(four))
		f.Why = "clients may be led to another machine"
		f.Do = "correct the record, unless a load balancer or a NAT with that address passes connections on to this machine"
	default:
		f.Level, f.What = Note, fmt.Sprintf("the %s record of %s is not an address of this machine, which is behind a NAT or in a container", record, v.Hostname)
		f.Why = "the ports of the server have to be passed on to it from there"
		f.Do = "test it from another machine: smarthost doctor " + v.Hostname
	}
	return f
}

func (v *visit) ownPublic(four bool) string {
	var words []string
	for _, a := range v.at.own {
		if a.Is4() == four && public(a) && len(words) < 5 {
			words = append(words, a.String())
		}
	}
	return strings.Join(words, ", ")
}

// checkReverse follows the reverse name of each outgoing address back (forward-confirmed reverse DNS).
func (v *visit) checkReverse(ctx context.Context) []Finding {
	out := v.outgoing()
	if len(out) == 0 {
		return []Finding{{Check: "reverse name", Level: Note, What: "the public address of this machine is not known from here, so its reverse name was not looked at",
			Why: "servers that get mail from an address without a reverse name often refuse it",
			Do:  "give " + v.Hostname + " an address in DNS, or look the reverse name of the public address up by hand: dig -x ADDRESS"}}
	}
	found := make([]Finding, len(out))
	var all crew
	for i, o := range out {
		all.Go(func() { found[i] = v.judgeReverse(ctx, o) })
	}
	all.Wait()
	return found
}

func (v *visit) judgeReverse(ctx context.Context, o outgoing) Finding {
	f := Finding{Check: "reverse name", Where: o.addr.String(), Level: Problem}
	names, err := v.Resolver.LookupAddr(ctx, o.addr.String())
	names = names[:min(len(names), 5)]
	for i := range names {
		names[i] = strings.ToLower(strings.TrimSuffix(names[i], "."))
	}
	leadsBack := slices.ContainsFunc(names, func(name string) bool {
		if strings.EqualFold(name, v.Hostname) {
			return slices.Contains(v.names.all(), o.addr)
		}
		return slices.Contains(v.lookUp(ctx, network(o.addr), name).addrs, o.addr)
	})
	shown := clean(strings.Join(names, ", "))
	switch {
	case err != nil && !notFound(err):
		f.Level, f.What = Warning, "DNS gave no answer about the reverse name ("+dnsFault(err)+")"
	case len(names) == 0:
		f.What = "the address has no reverse name"
	case leadsBack && slices.Contains(names, strings.ToLower(v.Hostname)):
		return Finding{Check: f.Check, Where: f.Where, Level: Good, What: "leads to " + v.Hostname + " and back"}
	case leadsBack:
		f.Level, f.What = Warning, fmt.Sprintf("the reverse name is %s, which leads back, but the server greets as %s", shown, v.Hostname)
	default:
		f.What = fmt.Sprintf("the reverse name is %s, which does not lead back to the address", shown)
	}
	f.Why = "large mail providers refuse mail from an address whose reverse name does not lead back to it"
	f.Do = fmt.Sprintf("let whoever provides the address set its reverse name (PTR) to %s, and give that name this address in DNS", v.Hostname)
	if v.Relay != nil {
		f.Level, f.Why = min(f.Level, Note), "it matters only for delivery without a relay"
	}
	return f
}

func network(a netip.Addr) string {
	if a.Is4() {
		return "ip4"
	}
	return "ip6"
}
