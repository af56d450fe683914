package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"blitiri.com.ar/go/spf"
)

// spfTime bounds the evaluation of one record, which may take ten questions to DNS (RFC 7208 §4.6.4).
const spfTime = 3 * stepTime

// An spfResult is what the domain's SPF record says of one address.
type spfResult struct {
	addr   netip.Addr
	result spf.Result
	err    error
}

// anyAddress stands for an address that no record names, to find what is wrong with the record itself.
var anyAddress = netip.MustParseAddr("192.0.2.255")

func (v *visit) evaluateSPF(ctx context.Context, addr netip.Addr, domain string) spfResult {
	ctx, cancel := context.WithTimeout(ctx, spfTime)
	defer cancel()
	result, err := spf.CheckHostWithSender(addr.AsSlice(), v.Hostname, "postmaster@"+domain, spf.WithContext(ctx), spf.WithResolver(v.Resolver))
	return spfResult{addr, result, err}
}

// passesAll tells that every outgoing address passes, and that there is one.
func passesAll(results []spfResult) bool {
	for _, r := range results {
		if r.result != spf.Pass {
			return false
		}
	}
	return len(results) > 0
}

// judgeSPF says what the results mean. Without a relay they are those of the outgoing addresses.
func (v *visit) judgeSPF(domain string, results []spfResult, policy dmarc) []Finding {
	var found []Finding
	for _, r := range results {
		f := v.judgeSPFResult(domain, r, policy)
		found = append(found, f)
		if r.result == spf.None || r.result == spf.PermError || r.result == spf.TempError || v.Relay != nil {
			break // it is the same for every address
		}
	}
	return found
}

func (v *visit) judgeSPFResult(domain string, r spfResult, policy dmarc) Finding {
	f := Finding{Check: "spf", Where: r.addr.String(), Level: Problem, Detail: map[string]any{"domain": domain, "result": string(r.result)}}
	f.Why = "receivers put mail as @" + domain + " from this server into the spam folder or refuse it"
	f.Do = fmt.Sprintf(`let the TXT record of %s name this server: "v=spf1 a:%s -all" (beside whoever else sends for it)`, domain, v.Hostname)
	if v.Relay != nil {
		f.Where = ""
		f.Do = fmt.Sprintf("let the TXT record of %s name the relay as its operator says (usually an include:)", domain)
	}
	switch r.result {
	case spf.None:
		f.Where, f.What = "", domain+" has no SPF record"
		if !policy.strict() {
			f.Level = Warning
		}
	case spf.PermError:
		f.Where, f.What = "", fmt.Sprintf("the SPF record of %s is void: %s", domain, spfFault(r.err))
	case spf.TempError:
		f.alike = noAnswer
		f.Where, f.Level, f.What = "", Warning, fmt.Sprintf("the SPF record of %s could not be evaluated (%s)", domain, dnsFault(r.err))
		f.Do = "run it again; if it stays like that, see that the name servers of " + domain + " and of what its record includes answer"
	case spf.Pass:
		if errors.Is(r.err, spf.ErrMatchedAll) {
			f.Level, f.What = Warning, fmt.Sprintf("the SPF record of %s lets every address in the world send (+all)", domain)
			f.Why = "such a record protects nobody, and receivers take it for a sign of spam"
			break
		}
		return Finding{Check: f.Check, Where: f.Where, Detail: f.Detail, What: domain + " lets this server send (pass)"}
	default:
		if v.Relay != nil {
			return Finding{Check: f.Check, Level: Note, Detail: f.Detail, What: domain + " has an SPF record in good order; whether it names the relay's addresses cannot be told from here",
				Why: f.Why, Do: f.Do}
		}
		f.What = fmt.Sprintf("%s does not let this server send (%s)", domain, r.result)
		if r.result != spf.Fail && !policy.strict() {
			f.Level = Warning
		}
	}
	return f
}

func spfFault(err error) string {
	switch {
	case errors.Is(err, spf.ErrMultipleRecords):
		return "there is more than one (RFC 7208 §4.5)"
	case errors.Is(err, spf.ErrLookupLimitReached):
		return "it takes more than ten questions to DNS (RFC 7208 §4.6.4)"
	case errors.Is(err, spf.ErrVoidLookupLimitReached):
		return "more than two of the names in it do not exist (RFC 7208 §4.6.4)"
	case err == nil:
		return "it cannot be read"
	}
	return clean(err.Error())
}
