package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// family is what the lookup of one kind of address gave.
type family struct {
	addrs []netip.Addr
	took  time.Duration
	err   error
}

// lookup finds the addresses of the server, IPv4 first.
func (c Client) lookup(ctx context.Context, report Report) []netip.Addr {
	if a, err := netip.ParseAddr(c.Host); err == nil {
		report(Finding{Check: "name", Level: Note, What: "an address was given, no name",
			Why: "certificates are for names; mail programs that check them want one", Do: "give the name that the mail programs use"})
		return []netip.Addr{a}
	}
	c.Progress.say("looking up %s", c.Host)
	r := c.Resolver
	if r == nil {
		r = net.DefaultResolver
	}
	ctx, cancel := context.WithTimeout(ctx, replyWait)
	defer cancel()
	name := c.Host
	if strings.Contains(name, ".") {
		name = strings.TrimSuffix(name, ".") + "." // no search domains
	}
	var four, six family
	canonical := ""
	var wg sync.WaitGroup
	wg.Go(func() { four = lookupFamily(ctx, r, "ip4", name) })
	wg.Go(func() { six = lookupFamily(ctx, r, "ip6", name) })
	wg.Go(func() { canonical, _ = r.LookupCNAME(ctx, name) })
	wg.Wait()
	if ctx.Err() != nil && four.err != nil && six.err != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return nil
	}
	for _, f := range judgeNames(c.Host, canonical, four, six) {
		report(f)
	}
	all := append(cut(four.addrs), cut(six.addrs)...)
	if n := len(four.addrs) + len(six.addrs) - len(all); n > 0 {
		report(Finding{Check: "name", Level: Note, What: fmt.Sprintf("%d more addresses are not examined", n)})
	}
	return all
}

func cut(addrs []netip.Addr) []netip.Addr { return addrs[:min(len(addrs), maxAddresses/2)] }

func lookupFamily(ctx context.Context, r *net.Resolver, network, name string) family {
	start := time.Now()
	addrs, err := r.LookupNetIP(ctx, network, name)
	f := family{took: time.Since(start), err: err}
	for _, a := range addrs {
		f.addrs = append(f.addrs, a.Unmap())
	}
	slices.SortFunc(f.addrs, netip.Addr.Compare)
	f.addrs = slices.Compact(f.addrs)
	return f
}

// nothing tells that there is no such address, which is an answer; other errors are none.
func (f family) nothing() bool {
	var e *net.DNSError
	var a *net.AddrError
	return f.err == nil && len(f.addrs) == 0 || errors.As(f.err, &e) && e.IsNotFound || errors.As(f.err, &a)
}

const slowLookup = 2 * time.Second

func judgeNames(host, canonical string, four, six family) []Finding {
	var all []Finding
	if len(four.addrs)+len(six.addrs) == 0 {
		f := Finding{Check: "name", Level: Problem, What: host + " has no address",
			Why: "mail programs keep the mail while the name cannot be resolved; some return it if the name does not exist",
			Do:  "check the spelling; the owner of the name has to publish an A record"}
		failed := four
		if four.nothing() {
			failed = six
		}
		if !failed.nothing() {
			f.What = fmt.Sprintf("the address of %s cannot be found out: %s", host, errorText(failed.err))
			f.Do = "check this machine's network and its DNS servers (/etc/resolv.conf)"
		}
		return append(all, f)
	}
	all = append(all, Finding{Check: "name", What: fmt.Sprintf("%s is at %s (lookup %s)", host, joinAddrs(append(slices.Clone(four.addrs), six.addrs...)),
		span(max(four.took, six.took))), Detail: map[string]any{"a_ms": four.took.Milliseconds(), "aaaa_ms": six.took.Milliseconds()}})
	for _, fam := range []struct {
		family
		record string
	}{{four, "A"}, {six, "AAAA"}} {
		switch {
		case len(fam.addrs) > 0:
		case !fam.nothing():
			all = append(all, Finding{Check: "name", Level: Warning, What: fmt.Sprintf("the lookup of the %s record fails: %s", fam.record, errorText(fam.err)),
				Why: "mail programs wait for it, and some put the mail off although the other record is there",
				Do:  "repair the name's DNS servers, or this machine's: a record that does not exist has to be answered too"})
		case fam.record == "AAAA":
			all = append(all, Finding{Check: "name", Level: Note, What: "no AAAA record", Why: "networks with IPv6 alone reach it only through a translator"})
		default:
			all = append(all, Finding{Check: "name", Level: Warning, What: "no A record", Why: "networks without IPv6 cannot reach it", Do: "publish an A record too"})
		}
	}
	if took := max(four.took, six.took); took > slowLookup {
		all = append(all, Finding{Check: "name", Level: Warning, What: fmt.Sprintf("the lookup took %s", span(took)),
			Why: "every mail waits for it", Do: "check the DNS servers in /etc/resolv.conf one by one: the first may be dead"})
	}
	canonical = strings.TrimSuffix(canonical, ".")
	if canonical != "" && strings.Contains(host, ".") && !strings.EqualFold(canonical, strings.TrimSuffix(host, ".")) {
		all = append(all, Finding{Check: "name", Level: Warning, What: fmt.Sprintf("%s is an alias (CNAME) of %s", host, clean(canonical)),
			Why: "Debian's Exim looks the password up by the other name: with this one in /etc/exim4/passwd.client it never logs in",
			Do:  fmt.Sprintf("write %s in /etc/exim4/passwd.client, or make %s an A record", clean(canonical), host)})
	}
	return all
}

// joinAddrs names the first of many.
func joinAddrs(addrs []netip.Addr) string {
	names := make([]string, min(len(addrs), maxNamed))
	for i := range names {
		names[i] = addrs[i].String()
	}
	text := strings.Join(names, ", ")
	if n := len(addrs) - len(names); n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// maxNamed is how many addresses are named in a row.
const maxNamed = 10
