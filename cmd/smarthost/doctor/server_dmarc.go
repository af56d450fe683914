package doctor

import (
	"context"
	"strings"
)

// A dmarc is what a domain asks of those who get mail in its name (RFC 7489).
type dmarc struct {
	policy string // "none", "quarantine" or "reject"
	at     string // the domain whose record it is: the sender's, or one above
	fault  string // why the record is void; "" = it is not
	absent bool
	err    error // DNS could not tell
}

// strict tells that mail without alignment gets into trouble.
func (d dmarc) strict() bool { return d.policy == "quarantine" || d.policy == "reject" }

// lookUpDMARC asks the domain and then those above it, down to two labels: no list of public suffixes is needed to find
// the record that the organizational domain (RFC 7489 §3.2) has.
func (v *visit) lookUpDMARC(ctx context.Context, domain string) dmarc {
	for at := domain; strings.Contains(at, "."); _, at, _ = strings.Cut(at, ".") {
		texts, err := v.Resolver.LookupTXT(ctx, "_dmarc."+at)
		if err != nil && !notFound(err) {
			return dmarc{at: at, err: err}
		}
		var records []string
		for _, text := range texts {
			if isDMARC(text) {
				records = append(records, text)
			}
		}
		switch len(records) {
		case 0:
			continue
		case 1:
			d := parseDMARC(records[0], at != domain)
			d.at = at
			return d
		}
		return dmarc{at: at, fault: "there is more than one record"} // RFC 7489 §6.6.3: then none is applied
	}
	return dmarc{absent: true}
}

// isDMARC is RFC 7489 §6.4: the version comes first.
func isDMARC(text string) bool {
	first, _, _ := strings.Cut(text, ";")
	key, value, _ := strings.Cut(first, "=")
	return strings.EqualFold(strings.TrimSpace(key), "v") && strings.TrimSpace(value) == "DMARC1"
}

// parseDMARC reads the policy of a record; below is for a subdomain of the one that has it (tag sp).
func parseDMARC(text string, below bool) dmarc {
	tags := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		key, value, ok := strings.Cut(part, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		switch {
		case !ok && key == "":
			continue
		case !ok:
			return dmarc{fault: "“" + clean(key) + "” has no value"}
		}
		if _, again := tags[key]; again {
			return dmarc{fault: "“" + clean(key) + "” stands there twice"}
		}
		tags[key] = strings.ToLower(strings.TrimSpace(value))
	}
	policy, ok := tags["p"]
	if sub, has := tags["sp"]; has && below {
		policy, ok = sub, true
	}
	switch {
	case !ok:
		return dmarc{fault: "it has no policy (p=)"}
	case policy != "none" && policy != "quarantine" && policy != "reject":
		return dmarc{fault: "its policy is “" + clean(policy) + "”; there are none, quarantine and reject"}
	}
	return dmarc{policy: policy}
}
