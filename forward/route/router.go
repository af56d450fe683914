package route

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	smtpPort    = 25               // RFC 5321 §4.5.4.2
	maxMX       = 20               // MX records that are looked at, best first
	maxAddrs    = 50               // addresses of all hops together
	maxLookups  = 4                // address lookups of one call at the same time
	lookupLimit = 30 * time.Second // for each question to the resolver
)

// A Resolver asks DNS. *net.Resolver is one.
// Methods may be called from many goroutines at once. A *net.DNSError with IsNotFound means that DNS has no such name or
// no such record; any other error means that it could not tell.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A Router finds hops. Its methods may be called from many goroutines at once; its fields do not change meanwhile.
type Router struct {
	Hostname     string       // an MX of this name is this server; "" = none is
	Own          []netip.Addr // an MX with one of these addresses is this server
	Relay        *Relay       // takes all mail; nil = the MX hosts of each domain
	Resolver     Resolver     // nil = net.DefaultResolver
	AllowPrivate bool         // go to MX hosts with loopback and link-local addresses too, for tests and closed networks
	Port         uint16       // of MX hosts; 0 = 25
	Family       Family       // of the addresses of hops; the zero value is any
}

// Hops returns the hops of a destination in the order in which to try them, at least one.
// The error is always a *smtp.SMTPError that holds for all recipients of the destination:
//
//	451 4.4.3  DNS gave no answer
//	451 4.4.4  the relay's name has no address, or no host has one of the family that is set; a fault of the set-up, not of the mail
//	451 4.3.5  the destination is "relay" but no relay is set any more
//	550 5.1.2  there is no such domain, or it is no domain at all
//	550 5.4.4  there are MX records, but none leads to a usable address
//	554 5.4.6  the best MX is this server
//	556 5.1.10 the domain takes no mail (RFC 7505)
func (r *Router) Hops(ctx context.Context, destination string) ([]Hop, error) {
	if r.Relay != nil {
		return r.relayHops(ctx)
	}
	if destination == RelayDestination {
		return nil, refuse(451, smtp.EnhancedCode{4, 3, 5}, "this mail waits for a relay, but none is configured")
	}
	if strings.HasPrefix(destination, "[") {
		return r.literalHops(destination)
	}
	domain, err := domainName(destination)
	if err != nil {
		return nil, refuse(550, smtp.EnhancedCode{5, 1, 2}, "%q is not a domain", clip(destination))
	}
	return r.mxHops(ctx, domain)
}

// RelayHops returns the hop of a relay that is not the router's own. Its errors are those of Hops about a relay.
func (r *Router) RelayHops(ctx context.Context, relay Relay) ([]Hop, error) {
	other := *r
	other.Relay = &relay
	return other.relayHops(ctx)
}

func (r *Router) relayHops(ctx context.Context) ([]Hop, error) {
	relay := r.Relay
	hop := Hop{Host: relay.Host, Port: relay.Port, Relay: true, TLS: relay.TLS, User: relay.User, Password: relay.Password}
	addrs, err := r.addresses(ctx, relay.Host, false)
	// Whatever is wrong with the relay is wrong with the set-up: no mail bounces for it.
	if err != nil && !notFound(err) {
		return nil, refuse(451, smtp.EnhancedCode{4, 4, 3}, "DNS gave no answer about the relay %s", relay.Host)
	}
	left := 0
	for _, a := range addrs {
		switch {
		case a.IsUnspecified() || a.IsMulticast() || len(hop.Addrs) == maxAddrs:
		case !r.Family.has(a):
			left++
		default:
			hop.Addrs = append(hop.Addrs, a)
		}
	}
	if len(hop.Addrs) == 0 && left > 0 {
		return nil, r.otherFamily("the relay " + relay.Host + " has")
	}
	if len(hop.Addrs) == 0 {
		return nil, refuse(451, smtp.EnhancedCode{4, 4, 4}, "the relay %s has no address in DNS", relay.Host)
	}
	return []Hop{hop}, nil
}

func (r *Router) literalHops(destination string) ([]Hop, error) {
	addr, ok := addressLiteral(destination)
	if !ok {
		return nil, refuse(550, smtp.EnhancedCode{5, 1, 2}, "%q is not an address literal", clip(destination))
	}
	if slices.Contains(r.Own, addr) {
		return nil, refuse(554, smtp.EnhancedCode{5, 4, 6}, "%s is this server itself", addr)
	}
	if !r.usable(addr) {
		return nil, refuse(550, smtp.EnhancedCode{5, 4, 4}, "mail is not sent to %s from here", addr)
	}
	if !r.Family.has(addr) {
		return nil, r.otherFamily(destination + " is")
	}
	return []Hop{{Host: addr.String(), Port: r.port(), Addrs: []netip.Addr{addr}}}, nil
}

func (r *Router) mxHops(ctx context.Context, domain string) ([]Hop, error) {
	records, err := r.mx(ctx, domain)
	implicit := err == nil && len(records) == 0
	switch {
	case err != nil:
		return nil, refuse(451, smtp.EnhancedCode{4, 4, 3}, "DNS gave no answer about %s (MX)", domain)
	case implicit:
		// RFC 5321 §5.1: without an MX the domain itself is the host.
		records = []*net.MX{{Host: domain}}
	case slices.ContainsFunc(records, func(m *net.MX) bool { return m.Host == "" }):
		if len(records) == 1 {
			return nil, refuse(556, smtp.EnhancedCode{5, 1, 10}, "%s takes no mail (null MX)", domain)
		}
		// RFC 7505 §3: a null MX beside others is against the rules and says nothing.
		records = slices.DeleteFunc(records, func(m *net.MX) bool { return m.Host == "" })
	}
	found := r.resolve(ctx, records)
	if implicit && notFound(found[0].err) {
		return nil, refuse(550, smtp.EnhancedCode{5, 1, 2}, "there is no such domain as %s, or it has neither MX nor address", domain)
	}
	if i := slices.IndexFunc(found, r.isSelf); i >= 0 {
		// RFC 5321 §5.1: drop ourselves and all that are not better, or two servers pass mail back and forth.
		pref := found[i].mx.Pref
		found = slices.DeleteFunc(found, func(f target) bool { return f.mx.Pref >= pref })
		if len(found) == 0 {
			return nil, refuse(554, smtp.EnhancedCode{5, 4, 6}, "mail for %s would come back here: its best MX is this server", domain)
		}
	}
	return r.usableHops(domain, found)
}

// mx returns the MX records, best first, equally good ones in random order, hosts in lower case without the final dot.
func (r *Router) mx(ctx context.Context, domain string) ([]*net.MX, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	// The final dot keeps the machine's search list out.
	records, err := r.resolver().LookupMX(ctx, domain+".")
	if notFound(err) {
		return nil, nil
	}
	// With records and an error some were malformed and left out; the others are good.
	if err != nil && len(records) == 0 {
		return nil, err
	}
	clean := make([]*net.MX, 0, len(records))
	for _, m := range records {
		clean = append(clean, &net.MX{Host: strings.ToLower(strings.TrimSuffix(m.Host, ".")), Pref: m.Pref})
	}
	rand.Shuffle(len(clean), func(i, j int) { clean[i], clean[j] = clean[j], clean[i] })
	slices.SortStableFunc(clean, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
	return clean[:min(len(clean), maxMX)], nil
}

// A target is an MX record and what DNS says of its host.
type target struct {
	mx    *net.MX
	addrs []netip.Addr
	err   error
}

func (r *Router) resolve(ctx context.Context, records []*net.MX) []target {
	found := make([]target, len(records))
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxLookups)
	for i, m := range records {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			addrs, err := r.addresses(ctx, m.Host, true)
			found[i] = target{m, addrs, err}
		})
	}
	wg.Wait()
	return found
}

// addresses looks a host up; an IP address stands for itself, as some domains have one for MX.
func (r *Router) addresses(ctx context.Context, host string, rooted bool) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	if rooted {
		host += "."
	}
	return Addresses(ctx, r.resolver(), host)
}

// Addresses asks for a host's addresses, IPv6 first. It fails if one family cannot be told and the other has nothing.
// It asks for each family by itself: asked for both at once, Go's resolver says "not found" when one family has no record and the
// other's question failed, and a passing trouble of DNS would return mail.
func Addresses(ctx context.Context, dns Resolver, host string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	var missing, failed error
	for _, network := range []string{"ip6", "ip4"} {
		found, err := dns.LookupNetIP(ctx, network, host)
		for _, a := range found {
			addrs = append(addrs, a.Unmap())
		}
		switch {
		case err == nil:
		case notFound(err):
			missing = err
		default:
			failed = err
		}
	}
	switch {
	case len(addrs) > 0:
		return addrs, nil
	case failed != nil:
		return nil, failed
	}
	return nil, missing
}

func (r *Router) usableHops(domain string, found []target) ([]Hop, error) {
	var hops []Hop
	var unsure, forbidden, other bool
	left := maxAddrs
	for _, f := range found {
		hop := Hop{Host: f.mx.Host, Port: r.port()}
		for _, a := range f.addrs {
			switch {
			case !r.usable(a):
				forbidden = true
			case !r.Family.has(a):
				other = true
			case left > 0:
				hop.Addrs = append(hop.Addrs, a)
				left--
			}
		}
		if len(hop.Addrs) > 0 {
			hops = append(hops, hop)
		}
		unsure = unsure || f.err != nil && !notFound(f.err)
	}
	switch {
	case len(hops) > 0:
		return hops, nil
	case unsure:
		return nil, refuse(451, smtp.EnhancedCode{4, 4, 3}, "DNS gave no answer about the mail hosts of %s", domain)
	case other:
		return nil, r.otherFamily("the mail hosts of " + domain + " have")
	case forbidden:
		return nil, refuse(550, smtp.EnhancedCode{5, 4, 4}, "the mail hosts of %s have no address on the Internet", domain)
	default:
		return nil, refuse(550, smtp.EnhancedCode{5, 4, 4}, "the mail hosts of %s have no address", domain)
	}
}

// usable keeps connections that strangers can cause through DNS away from this machine and its link.
func (r *Router) usable(a netip.Addr) bool {
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return false
	case a.IsLoopback(), a.IsLinkLocalUnicast(), a.Is4() && a.As4()[0] == 0:
		return r.AllowPrivate
	default:
		return true
	}
}

func (r *Router) isSelf(t target) bool {
	if r.Hostname != "" && strings.EqualFold(t.mx.Host, strings.TrimSuffix(r.Hostname, ".")) {
		return true
	}
	return slices.ContainsFunc(t.addrs, func(a netip.Addr) bool { return slices.Contains(r.Own, a) })
}

func (r *Router) resolver() Resolver {
	if r.Resolver == nil {
		return net.DefaultResolver
	}
	return r.Resolver
}

func (r *Router) port() uint16 {
	if r.Port == 0 {
		return smtpPort
	}
	return r.Port
}

func notFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

// clip keeps text from a client short in a reply.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

func refuse(code int, enhanced smtp.EnhancedCode, format string, a ...any) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: fmt.Sprintf(format, a...)}
}
