package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/forward/route"
)

const (
	maxDomains     = 40 // sender domains that are looked at
	domainsAtATime = 10
	sendersTime    = 40 * time.Second // all of them
)

// senderDomains are the domains that accounts may send as, in the order of the alphabet, and how many accounts may send as anybody.
func (v *visit) senderDomains() (domains []string, anybody int) {
	seen := map[string]bool{}
	var names route.Router // makes A-labels of domains
	for name, logins := range v.roll().logins {
		free := false
		for _, l := range logins {
			patterns := l.Senders
			if len(patterns) == 0 {
				patterns = []string{name}
			}
			for _, p := range patterns {
				free = free || p == "*"
				if at := strings.LastIndexByte(p, '@'); at >= 0 {
					seen[names.Destination("x"+p[at:])] = true
				}
			}
		}
		if free {
			anybody++
		}
	}
	for d := range seen {
		domains = append(domains, d)
	}
	slices.Sort(domains)
	return domains, anybody
}

func (v *visit) checkSenders(ctx context.Context) []Finding {
	const name = "sender domain"
	if err := v.roll().err; err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []Finding{{Check: name, Level: Note, What: "not looked at, since the accounts, which say what they are, cannot be read",
			Why: "mail as a domain whose SPF record does not name this server ends in spam folders", Do: "see the finding about the accounts"}}
	}
	domains, anybody := v.senderDomains()
	total := len(domains)
	domains = domains[:min(total, maxDomains)]
	ctx, cancel := context.WithTimeout(ctx, sendersTime)
	defer cancel()
	found := make([][]Finding, len(domains))
	var all crew
	slots := make(chan struct{}, domainsAtATime)
	for i, d := range domains {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			found[i] = v.checkDomain(ctx, d)
		})
	}
	all.Wait()
	together := summarize(domains, found)
	if anybody > 0 {
		together = append(together, Finding{Check: name, Level: Note, What: count(anybody, "account") + " may send as anybody (sender *), so their domains could not be looked at",
			Why: "mail as a domain whose SPF record does not name this server ends in spam folders", Do: "give each the domains that it needs: sender=*@example.org in its lines of " + v.Accounts})
	}
	if total > maxDomains {
		together = append(together, Finding{Check: name, Level: Note, What: fmt.Sprintf("of %d sender domains the first %d were looked at", total, maxDomains),
			Why: "more would take too long", Do: "see to it that the SPF record of each of the others names this server"})
	}
	if total == 0 && anybody == 0 {
		together = append(together, Finding{Check: name, Level: Note, What: "no account may send as an address in a domain, so there was no SPF, DMARC or MX record to look at",
			Why: "only accounts with senders can send", Do: "smarthost user add NAME --sender '*@example.org'"})
	}
	return together
}

// noAnswer marks findings that DNS could not tell.
const noAnswer = "no answer"

// summarize makes one finding of all if DNS said nothing about any of several domains, and else one of those that are the
// same but for the domain, if they are many.
func summarize(domains []string, found [][]Finding) []Finding {
	all := slices.Concat(found...)
	if len(domains) < 2 || slices.ContainsFunc(all, func(f Finding) bool { return f.alike != noAnswer }) {
		return gather(domains, found)
	}
	return []Finding{{Check: "sender domain", Level: Warning, What: fmt.Sprintf("DNS gave no answer about any of the %d domains that are sent as, such as this: %s", len(domains), all[0].What),
		Why: "receivers may put mail as these domains into the spam folder or refuse it, and it could not be seen whether they do", Do: "see that the name servers in /etc/resolv.conf answer, then run it again"}}
}

const (
	fewDomains   = 3 // of which each is told by itself
	namedDomains = 5 // of more
)

// gather makes one finding of each that more than a few domains have in common.
func gather(domains []string, found [][]Finding) []Finding {
	having := map[string][]string{}
	key := func(f Finding, domain string) string {
		return strings.ReplaceAll(strings.Join([]string{f.Check, f.Level.String(), f.Where, f.What, f.Why, f.Do}, "\n"), domain, "\t")
	}
	for i, d := range domains {
		for _, f := range found[i] {
			having[key(f, d)] = append(having[key(f, d)], d)
		}
	}
	var all []Finding
	for i, d := range domains {
		for _, f := range found[i] {
			same := having[key(f, d)]
			if len(same) > fewDomains {
				if d != same[0] {
					continue
				}
				others := same[1:]
				f.What += "; the same goes for " + strings.Join(others[:min(len(others), namedDomains)], ", ")
				if n := len(others) - namedDomains; n > 0 {
					f.What += fmt.Sprintf(" and %d more", n)
				}
				f.Detail = map[string]any{"domains": same}
			}
			all = append(all, f)
		}
	}
	return all
}

// dnsDomain is a domain in the public DNS, in the form that is asked for.
var dnsDomain = regexp.MustCompile(`^([a-z0-9_-]{1,63}\.)+[a-z0-9-]{2,63}$`)

// checkDomain looks at what DNS says of a domain that mail is sent as.
func (v *visit) checkDomain(ctx context.Context, domain string) []Finding {
	if !dnsDomain.MatchString(domain) {
		return []Finding{{Check: "sender domain", Level: Warning, What: fmt.Sprintf("%q is no domain in DNS", clean(domain)),
			Why: "receivers refuse mail from a sender whose domain does not exist", Do: "correct the senders of the accounts that have it: smarthost user list"}}
	}
	v.Progress.say("SPF, DMARC and MX of %s", domain)
	addrs := []netip.Addr{anyAddress}
	if v.Relay == nil {
		addrs = addrs[:0]
		for _, o := range v.outgoing() {
			addrs = append(addrs, o.addr)
		}
	}
	unknown := len(addrs) == 0
	if unknown {
		addrs = append(addrs, anyAddress)
	}
	results := make([]spfResult, len(addrs))
	var policy dmarc
	var bounces []Finding
	var all crew
	for i, a := range addrs {
		all.Go(func() { results[i] = v.evaluateSPF(ctx, a, domain) })
	}
	all.Go(func() { policy = v.lookUpDMARC(ctx, domain) })
	all.Go(func() { bounces = v.checkBounces(ctx, domain) })
	all.Wait()
	var found []Finding
	if unknown && !slices.Contains([]string{"none", "permerror", "temperror"}, string(results[0].result)) {
		found = append(found, Finding{Check: "spf", Level: Note, What: domain + " has an SPF record in good order; whether it names this server cannot be told, since its public address is not known from here",
			Why: "receivers put mail from servers that the record does not name into the spam folder or refuse it",
			Do:  fmt.Sprintf(`see that it names this server: "v=spf1 a:%s -all" (beside whoever else sends for it)`, v.Hostname)})
		results = nil
	}
	found = append(found, v.judgeSPF(domain, results, policy)...)
	found = append(found, v.judgeDMARC(domain, policy, results))
	return append(found, bounces...)
}

// judgeDMARC also says plainly what it means that mail is not signed here.
func (v *visit) judgeDMARC(domain string, d dmarc, results []spfResult) Finding {
	f := Finding{Check: "dmarc", Detail: map[string]any{"domain": domain, "policy": d.policy}}
	switch {
	case d.err != nil:
		f.alike = noAnswer
		f.Level, f.What = Warning, fmt.Sprintf("DNS gave no answer about the DMARC record of %s (%s)", domain, dnsFault(d.err))
		f.Why, f.Do = "receivers cannot tell either, and may let mail wait", "run it again; if it stays like that, see that the name servers of "+domain+" answer"
	case d.fault != "":
		f.Level, f.What = Warning, fmt.Sprintf("the DMARC record at _dmarc.%s is void: %s", d.at, d.fault)
		f.Why, f.Do = "a void record protects nobody", fmt.Sprintf(`leave one TXT record at _dmarc.%s, such as "v=DMARC1; p=none"`, d.at)
	case d.absent:
		f.Level, f.What = Note, domain+" has no DMARC record"
		f.Why, f.Do = "large mail providers ask for one from those who send many mails", fmt.Sprintf(`add a TXT record at _dmarc.%s, to begin with "v=DMARC1; p=none"`, domain)
	case !d.strict():
		f.What = fmt.Sprintf("the DMARC policy of %s is none (record at _dmarc.%s)", domain, d.at)
	case passesAll(results):
		f.Level, f.What = Note, fmt.Sprintf("the DMARC policy of %s is %s, and SPF alone carries it", domain, d.policy)
		f.Why = "this version does not sign with DKIM: mail that is forwarded by its receivers loses SPF, and gets refused or marked as spam"
		f.Do = "to be sure of forwarded mail, send through a relay that signs (forward.relay)"
	case v.Relay != nil || len(results) == 0:
		f.Level, f.What = Warning, fmt.Sprintf("the DMARC policy of %s is %s, and this version does not sign with DKIM", domain, d.policy)
		f.Why = "receivers treat mail as @" + domain + " as the policy says unless SPF passes for the address that it comes from, or somebody on the way signs it"
		f.Do = "see that the SPF record names whoever delivers the mail, or that the relay signs for " + domain
	default:
		f.Level, f.What = Problem, fmt.Sprintf("the DMARC policy of %s is %s, SPF does not pass for this server, and this version does not sign with DKIM", domain, d.policy)
		f.Why = "receivers refuse mail as @" + domain + " from this server, or put it into the spam folder"
		f.Do = "make SPF pass (see the finding about it), or send through a relay that signs for the domain (forward.relay)"
	}
	return f
}

// checkBounces sees whether reports about undeliverable mail have somewhere to go.
func (v *visit) checkBounces(ctx context.Context, domain string) []Finding {
	f := Finding{Check: "sender domain", Level: Problem, Detail: map[string]any{"domain": domain},
		Why: "reports about mail that could not be delivered have nowhere to go, and many receivers refuse mail from such a domain",
		Do:  "give " + domain + " an MX record that leads to a mail server"}
	records, err := v.Resolver.LookupMX(ctx, domain)
	switch {
	case err != nil && !notFound(err):
		return []Finding{unknownBounces(f, fmt.Sprintf("the MX of %s (%s)", domain, dnsFault(err)))}
	case len(records) == 1 && strings.TrimSuffix(records[0].Host, ".") == "":
		f.What = domain + " says that it takes no mail (null MX)" // RFC 7505
	case len(records) > 0:
		return []Finding{{Check: f.Check, Detail: f.Detail, What: fmt.Sprintf("%s takes mail at %s", domain, clean(strings.TrimSuffix(records[0].Host, ".")))}}
	default:
		four, six := v.lookUp(ctx, "ip4", domain), v.lookUp(ctx, "ip6", domain)
		switch {
		case len(four.addrs)+len(six.addrs) > 0:
			f.Level, f.What = Note, domain+" has no MX record; mail to it goes to the address of the domain itself"
		case cmp.Or(four.err, six.err) != nil:
			f = unknownBounces(f, fmt.Sprintf("the addresses of %s, which has no MX record (%s)", domain, dnsFault(cmp.Or(four.err, six.err))))
		default:
			f.What = domain + " has neither an MX record nor an address: it does not exist for mail"
		}
	}
	return []Finding{f}
}

// unknownBounces is for when DNS could not tell something.
func unknownBounces(f Finding, what string) Finding {
	f.alike = noAnswer
	f.Level, f.What, f.Why = Warning, "DNS gave no answer about "+what, "receivers cannot tell either, and may let mail wait"
	f.Do = "run it again; if it stays like that, see that the name servers of the domain answer"
	return f
}
