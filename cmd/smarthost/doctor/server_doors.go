package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A place is one address that the server should answer at.
type place struct {
	door   Door
	at     netip.AddrPort
	second netip.AddrPort // where it answers instead if it may not open that; invalid if there is none
}

// places are where the doors can be reached from this machine.
func (v *visit) places() []place {
	var all []place
	for _, d := range v.Doors {
		if at, ok := fromHere(d.Address); ok {
			second, _ := fromHere(d.Substitute)
			all = append(all, place{d, at, second})
		}
	}
	return all
}

// fromHere is where a listener can be reached from this machine: one for all addresses, on loopback. A name is left out:
// which address it meant when the server began is not known here.
func fromHere(listener string) (at netip.AddrPort, ok bool) {
	host, port, err := net.SplitHostPort(listener)
	n, numeric := strconv.ParseUint(port, 10, 16)
	if err != nil || numeric != nil {
		return at, false
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "localhost" || host == "" || err == nil && addr.IsUnspecified() && addr.Is4():
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case err == nil && addr.IsUnspecified():
		addr = netip.IPv6Loopback()
	case err != nil:
		return at, false
	}
	return netip.AddrPortFrom(addr, uint16(n)), true
}

func (v *visit) checkDoors(ctx context.Context) []Finding {
	places := v.places()
	found := make([]Finding, len(places))
	var all crew
	for i, p := range places {
		all.Go(func() { found[i] = v.judgeDoor(ctx, p) })
	}
	all.Wait()
	silent := 0
	for _, f := range found {
		if f.Level == Problem {
			silent++
		}
	}
	if silent > 0 && silent == len(found) {
		words := make([]string, len(places))
		for i, p := range places {
			words[i] = p.at.String()
		}
		return []Finding{{Check: "listeners", Level: Warning, What: "no server answers at " + strings.Join(words, ", ") + ": it does not run, or runs with another config",
			Why: "no client can send while it does not run", Do: "start it: smarthost serve, or systemctl start smarthost; its log says what keeps it from starting"}}
	}
	return found
}

// judgeDoor connects and reads the greeting, or makes the handshake of a door with implicit TLS.
func (v *visit) judgeDoor(ctx context.Context, p place) Finding {
	f := Finding{Check: "listeners", Where: p.at.String(), Level: Problem, Why: "clients that use this port cannot send",
		Do: "see the server's log, and whether it was started with this config; a change of listen needs a restart"}
	// A connection of this machine to itself comes from the address that it goes to.
	if slices.ContainsFunc(v.Proxies, func(proxy netip.Prefix) bool { return proxy.Contains(p.at.Addr()) }) {
		return Finding{Check: f.Check, Where: f.Where, Level: Note, What: "not tried, since connections from this address have to begin with a PROXY protocol header (listen.proxies)",
			Why: "without the header the server does not answer", Do: "examine it through the load balancer, from another machine: smarthost doctor " + v.Hostname}
	}
	v.Progress.say("our own port %d", p.at.Port())
	t, r, err := v.meet(ctx, p.at, p.door.Implicit)
	if err != nil && p.second.IsValid() {
		if t, r, err = v.meet(ctx, p.second, p.door.Implicit); err == nil {
			f.Where = p.second.String()
		}
	}
	if err != nil {
		f.What = "nothing answers as it should: " + errorText(err)
		return f
	}
	defer t.quit()
	name, _, _ := strings.Cut(r.lines[0], " ")
	switch {
	case !r.ok():
		f.What = "the server answers, but takes nobody: " + r.text()
	case !strings.EqualFold(name, v.Hostname):
		f.Level, f.What = Warning, fmt.Sprintf("another server answers, or with another config: it greets as %q, not %q", clean(name), v.Hostname)
	case v.showsAnother(t):
		f.Level, f.What = Warning, "the server shows another certificate than that in "+v.Certificate
		f.Why = "a new one comes into force within a minute, unless the server cannot read it; the old one goes on until it expires"
		f.Do = "wait a minute and run this again; then see what the server's log says about its certificate"
	default:
		return Finding{Check: f.Check, Where: f.Where, What: "the server answers"}
	}
	return f
}

// showsAnother compares what was shown in TLS, if there is TLS, with the certificate of the config, if that can be read.
func (v *visit) showsAnother(t *talk) bool {
	conn, ok := t.conn.(*tls.Conn)
	chain, err := readChain(v.Certificate)
	return ok && err == nil && !conn.ConnectionState().PeerCertificates[0].Equal(chain[0])
}
