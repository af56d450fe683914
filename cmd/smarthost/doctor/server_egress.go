package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/route"
)

// A knock is one connection to port 25 of a mail server of somebody else: its greeting was read, and QUIT said.
type knock struct {
	host string
	addr netip.Addr
	said string // the first line of the greeting; "" if there was none
	err  error
}

func (k knock) String() string { return clean(k.host) + " [" + k.addr.String() + "]" }

// checkEgress knocks at the best mail server of each probe domain, at one address of each family.
func (v *visit) checkEgress(ctx context.Context) []Finding {
	knocks := make([][]knock, len(v.Probes))
	faults := make([]error, len(v.Probes))
	var all crew
	for i, domain := range v.Probes {
		all.Go(func() { knocks[i], faults[i] = v.probe(ctx, domain) })
	}
	all.Wait()
	together := slices.Concat(knocks...)
	if len(together) == 0 {
		words := []string{}
		for i, err := range faults {
			if err != nil {
				words = append(words, clean(v.Probes[i])+": "+dnsFault(err))
			}
		}
		return []Finding{{Check: "port 25", Level: Problem, What: "no mail server to try was found in DNS (" + strings.Join(words, "; ") + ")",
			Why: "the server finds the recipients' mail servers in DNS; without it all mail waits",
			Do:  "see that the name servers in /etc/resolv.conf answer, also for MX records"}}
	}
	var found []Finding
	for _, four := range []bool{true, false} {
		if f := v.judgeEgress(four, together); f.What != "" {
			found = append(found, f)
		}
	}
	return found
}

// probe finds the best mail server of a domain and knocks.
func (v *visit) probe(ctx context.Context, domain string) ([]knock, error) {
	records, err := v.Resolver.LookupMX(ctx, domain)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	best := slices.MinFunc(records, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
	host := strings.TrimSuffix(best.Host, ".")
	var found [2]addresses
	var both crew
	both.Go(func() { found[0] = v.lookUp(ctx, "ip4", host) })
	both.Go(func() { found[1] = v.lookUp(ctx, "ip6", host) })
	both.Wait()
	var knocks []knock
	for i, a := range found {
		if len(a.addrs) > 0 && v.leavesOn(i == 0) {
			knocks = append(knocks, knock{host: host, addr: a.addrs[0]})
		}
	}
	for i := range knocks {
		both.Go(func() { v.knock(ctx, &knocks[i]) })
	}
	both.Wait()
	return knocks, errors.Join(found[0].err, found[1].err)
}

// leavesOn tells that mail may leave on a family and the machine has it.
func (v *visit) leavesOn(four bool) bool {
	return v.at.source(four).IsValid() && v.uses(four)
}

// uses tells that forward.family lets mail leave on a family.
func (v *visit) uses(four bool) bool {
	return v.Family == route.AnyFamily || (v.Family == route.IPv4) == four
}

func (v *visit) knock(ctx context.Context, k *knock) {
	v.Progress.say("port 25 of %s", *k)
	conn, err := v.dial(ctx, netip.AddrPortFrom(k.addr, 25))
	if err != nil {
		k.err = err
		return
	}
	defer conn.Close()
	k.said, k.err = greeting(conn)
}

// greeting reads the first line that a server says, and says QUIT.
func greeting(conn net.Conn) (string, error) {
	conn.SetDeadline(time.Now().Add(stepTime))
	line, err := bufio.NewReader(io.LimitReader(conn, maxReplyLine)).ReadString('\n')
	if err != nil {
		return "", err
	}
	io.WriteString(conn, "QUIT\r\n")
	return clean(line), nil
}

// judgeEgress says how port 25 is on one family. No words mean that there is nothing to say.
func (v *visit) judgeEgress(four bool, all []knock) Finding {
	f := Finding{Check: "port 25", Where: familyName(four)}
	mine := slices.DeleteFunc(slices.Clone(all), func(k knock) bool { return k.addr.Is4() != four })
	open := slices.IndexFunc(mine, func(k knock) bool { return strings.HasPrefix(k.said, "220") })
	refusing := slices.IndexFunc(mine, func(k knock) bool { return k.said != "" })
	switch {
	case !v.uses(four):
		return Finding{}
	case !v.leavesOn(four) && four:
		f.Level, f.What = Warning, "this machine has no IPv4 that leads outwards"
		f.Why = "many mail servers have IPv4 only; mail to them waits and is returned"
		f.Do = `give the machine IPv4, or send through a relay: forward.relay = "smtp://user:password@relay.example.net:587"`
	case !v.leavesOn(four):
		f.Level, f.What = Note, "this machine has no IPv6 that leads outwards"
		f.Why, f.Do = "mail goes over IPv4, which nearly every mail server has", "nothing, unless you want IPv6"
	case len(mine) == 0:
		f.Level, f.What = Note, "none of the mail servers tried has an address of this family"
		f.Why, f.Do = "so it was not tried", "name a domain whose mail servers have one: smarthost doctor --probe DOMAIN"
	case open >= 0:
		f.Level, f.What = Good, fmt.Sprintf("open outwards: %s says %s", mine[open], mine[open].said)
	case refusing >= 0:
		f.Level, f.What = Warning, fmt.Sprintf("open outwards, but %s does not want this machine: %s", mine[refusing], mine[refusing].said)
		f.Why = "an address without reverse name or with a bad reputation gets its mail refused"
		f.Do = "read what it says, see to the reverse name, and look the address up in the usual block lists; or send through a relay (forward.relay)"
	case four:
		f.Level, f.What = Problem, "closed outwards: "+failures(mine)
		f.Why = "mail to the recipients' servers cannot leave; it waits, and is returned to its senders when forward.give_up is over"
		f.Do = `many providers block port 25 until asked: ask yours. Or send through a relay: forward.relay = "smtp://user:password@relay.example.net:587"`
	default:
		f.Level, f.What = Warning, "closed outwards: "+failures(mine)
		f.Why = "each delivery to a server with IPv6 tries it in vain first"
		f.Do = `let the provider open it, or leave on IPv4 only: forward.family = "ipv4"`
	}
	return f
}

func failures(knocks []knock) string {
	words := make([]string, len(knocks))
	for i, k := range knocks {
		words[i] = k.String() + ": " + errorText(k.err)
	}
	return strings.Join(words, "; ")
}

// checkRelay finds the relay and meets it at each of its addresses as the forwarder does, up to the login.
func (v *visit) checkRelay(ctx context.Context) []Finding {
	// The machine's own resolver, hosts file and all: the relay may have a name that only this machine knows.
	looking, cancel := context.WithTimeout(ctx, 2*stepTime)
	defer cancel()
	hops, err := (&route.Router{Relay: v.Relay, Family: v.Family, Resolver: v.RelayResolver}).Hops(looking, route.RelayDestination)
	if err != nil {
		return []Finding{{Check: "relay", Level: Problem, What: relayFault(err), Why: "all mail goes through the relay; until it is found everything waits",
			Do: "correct forward.relay in " + v.configName() + ", or the name servers in /etc/resolv.conf"}}
	}
	addrs := hops[0].Addrs
	if near := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return public(a) && !v.leavesOn(a.Is4()) }); len(near) > 0 {
		addrs = near // of a family that this machine does not have nothing can be said
	}
	addrs = addrs[:min(len(addrs), 8)]
	faults := make([]error, len(addrs))
	var all crew
	for i, a := range addrs {
		all.Go(func() { faults[i] = v.tryRelay(ctx, a) })
	}
	all.Wait()
	return v.judgeRelay(addrs, faults)
}

func (v *visit) tryRelay(ctx context.Context, a netip.Addr) error {
	r := v.Relay
	d := deliver.Deliverer{Hostname: v.Hostname, RootCAs: v.RelayRoots, Dial: v.Dial,
		Timeouts: deliver.Timeouts{Connect: stepTime, Greeting: stepTime, Hello: stepTime, TLS: stepTime, Quit: time.Second}}
	v.Progress.say("relay %s at %s", r.Host, a)
	return d.Try(ctx, route.Hop{Host: r.Host, Port: r.Port, Addrs: []netip.Addr{a}, Relay: true, TLS: r.TLS, User: r.User, Password: r.Password})
}

func (v *visit) judgeRelay(addrs []netip.Addr, faults []error) []Finding {
	r := v.Relay
	var found []Finding
	some := slices.Contains(faults, nil)
	for i, a := range addrs {
		f := Finding{Check: "relay", Where: netip.AddrPortFrom(a, r.Port).String()}
		switch {
		case faults[i] == nil:
			f.What = r.Host + " answers" + relayTerms(r)
		case some:
			f.Level, f.What = Warning, relayFault(faults[i])
			f.Why = "deliveries that try this address first lose time"
			f.Do = "if all addresses of one family fail, leave on the other: forward.family = \"ipv4\" (or \"ipv6\")"
		default:
			f.Level, f.What = Problem, relayFault(faults[i])
			f.Why = "all mail goes through the relay; as long as this lasts it waits, and is returned when forward.give_up is over"
			f.Do = "see forward.relay (and forward.relay_password_file, forward.ca) in " + v.configName() + "; a private CA's certificate belongs into forward.ca"
		}
		found = append(found, f)
	}
	if some && !r.TLS.Verified() {
		found = append(found, Finding{Check: "relay", Level: Note, What: "the way to the relay is not protected by verified TLS (" + r.TLS.String() + ")",
			Why: "whoever sits on the way can read the mail", Do: "unless the relay is on this machine or network, leave ?tls= out of forward.relay"})
	}
	return found
}

// relayFault is the words of the reply, which name the relay's address; its code says only that mail would wait.
func relayFault(err error) string {
	if reply, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return clean(reply.Message)
	}
	return errorText(err)
}

func relayTerms(r *route.Relay) string {
	switch {
	case r.User != "":
		return ", its certificate is right, and it takes our login"
	case r.TLS.Verified():
		return ", and its certificate is right"
	}
	return ""
}
