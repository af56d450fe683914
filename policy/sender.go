package policy

import (
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/idna"

	"github.com/seed-1397b510/smarthost/auth"
)

// maySendAs tells that one of the account's patterns covers the address. Without patterns it is the account's own
// name, if that is an address.
func maySendAs(acct auth.Account, address string) bool {
	patterns := acct.Senders
	if len(patterns) == 0 {
		if !strings.Contains(acct.Name, "@") {
			return false
		}
		patterns = []string{acct.Name}
	}
	local, domain := cut(address)
	for _, p := range patterns {
		if matches(p, local, domain) {
			return true
		}
	}
	return false
}

// matches compares without regard to case, and domains also between their A-label and U-label forms. "*" alone covers
// everything; in a local part one "*" stands for any run of signs.
func matches(pattern, local, domain string) bool {
	if pattern == "*" {
		return true
	}
	wantLocal, wantDomain := cut(pattern)
	if wantDomain != domain {
		return false
	}
	head, tail, wild := strings.Cut(wantLocal, "*")
	if !wild {
		return wantLocal == local
	}
	return len(local) >= len(head)+len(tail) && strings.HasPrefix(local, head) && strings.HasSuffix(local, tail)
}

// cut divides an address at its last @ and folds both parts for comparison.
func cut(address string) (local, domain string) {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return strings.ToLower(address), ""
	}
	return strings.ToLower(unquote(address[:i])), foldDomain(address[i+1:])
}

// unquote takes the quotes off a local part that would mean the same without (RFC 5321 §4.1.2).
func unquote(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	inner := local[1 : len(local)-1]
	if inner == "" || strings.ContainsAny(inner, "\"\\ ()<>[]:;@,") || inner[0] == '.' || inner[len(inner)-1] == '.' || strings.Contains(inner, "..") {
		return local
	}
	return inner
}

func foldDomain(domain string) string {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if isASCII(domain) {
		return domain
	}
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		return ascii
	}
	return domain
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// validDomain tells that a domain is one in DNS (RFC 1035 §2.3.1, with underscores, which exist).
func validDomain(domain string) bool {
	domain = foldDomain(domain)
	if len(domain) == 0 || len(domain) > 253 || !isASCII(domain) {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != "" // a number is the end of an IPv4 address
}

const (
	maxQuoted  = 128 // octets of an address in a reply
	maxAllowed = 5   // patterns that a refusal lists
)

// notTheAccounts is the refusal of a sender, which tells what would be allowed.
func notTheAccounts(acct auth.Account, from string) *smtp.SMTPError {
	allowed := acct.Senders
	if len(allowed) == 0 && strings.Contains(acct.Name, "@") {
		allowed = []string{acct.Name}
	}
	words := make([]string, 0, maxAllowed+1)
	for i, p := range allowed {
		if i == maxAllowed {
			words = append(words, "and others")
			break
		}
		words = append(words, quoted(p))
	}
	list := strings.Join(words, ", ")
	if list == "" {
		list = "nothing yet; the operator can add a sender to the account"
	}
	return refuse(550, smtp.EnhancedCode{5, 7, 1}, "%s is not an address of %s; allowed: %s", quoted(from), quoted(acct.Name), list)
}

// quoted makes text fit for a reply: printable ASCII, bounded.
func quoted(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(clean) > maxQuoted {
		clean = clean[:maxQuoted] + "..."
	}
	return clean
}

// checkFrom asks that every author is the account's (RFC 6409 §6.1, RFC 5322 §3.6.2).
func checkFrom(acct auth.Account, fields []string) error {
	if len(fields) > 1 {
		return refuse(550, smtp.EnhancedCode{5, 6, 0}, "the message has %d From fields; it must have one", len(fields))
	}
	for _, p := range acct.Senders {
		if p == "*" {
			return nil
		}
	}
	for _, f := range fields {
		authors, err := mail.ParseAddressList(f)
		if err != nil {
			return refuse(550, smtp.EnhancedCode{5, 6, 0}, "the From field of the message holds no address that can be read: %s", quoted(f))
		}
		for _, a := range authors {
			if !maySendAs(acct, a.Address) {
				refusal := notTheAccounts(acct, a.Address)
				refusal.Message = "From: " + refusal.Message
				return refusal
			}
		}
	}
	return nil
}
