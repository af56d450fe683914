package policy

import (
	"io"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/idna"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/policy/message"
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
		return lower(address), ""
	}
	return lower(unquote(address[:i])), foldDomain(address[i+1:])
}

// lower folds ASCII only: letters of other scripts that fold to an ASCII one make another address.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
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

// checkAuthors asks that every author, and the sender if one is named, is the account's (RFC 6409 §6.1, RFC 5322 §3.6.2).
func checkAuthors(acct auth.Account, h *message.Header) error {
	if len(h.From) > 1 || len(h.Sender) > 1 {
		return refuse(550, smtp.EnhancedCode{5, 6, 0}, "the message has %d From and %d Sender fields; it must have one of each at most", len(h.From), len(h.Sender))
	}
	if slices.Contains(acct.Senders, "*") {
		return nil
	}
	for _, field := range []struct {
		name   string
		bodies []string
	}{{"From", h.From}, {"Sender", h.Sender}} {
		for _, body := range field.bodies {
			authors, ok := addresses(body)
			if !ok {
				return refuse(550, smtp.EnhancedCode{5, 6, 0}, "the %s field of the message holds no address that can be read: %s", field.name, quoted(body))
			}
			for _, a := range authors {
				if !maySendAs(acct, a) {
					refusal := notTheAccounts(acct, a)
					refusal.Message = field.name + ": " + refusal.Message
					return refusal
				}
			}
		}
	}
	return nil
}

// addresses are those in the body of an address field. How names are encoded does not matter here, so that neither
// charsets that are not known nor octets that are no UTF-8 make it fail.
func addresses(body string) (all []string, ok bool) {
	if !utf8.ValidString(body) {
		plain := []byte(body)
		for i, b := range plain {
			if b >= utf8.RuneSelf {
				plain[i] = '?'
			}
		}
		body = string(plain)
	}
	anyCharset := func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: anyCharset}}
	list, err := parser.ParseList(body)
	if err != nil {
		return nil, false
	}
	for _, a := range list {
		all = append(all, a.Address)
	}
	return all, true
}
