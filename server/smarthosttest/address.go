package smarthosttest

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// From are the addresses in From, names decoded. What is in the envelope is in Envelope.From.
func (m *Message) From() []mail.Address { return m.Addresses("From") }

// To are the addresses in To, those in groups too.
func (m *Message) To() []mail.Address { return m.Addresses("To") }

// Cc are the addresses in Cc.
func (m *Message) Cc() []mail.Address { return m.Addresses("Cc") }

// ReplyTo are the addresses in Reply-To.
func (m *Message) ReplyTo() []mail.Address { return m.Addresses("Reply-To") }

// Addresses are those in all fields of this name. Of a field that breaks the rules, it is those that can be read; [Message.Err] says what is wrong.
func (m *Message) Addresses(name string) []mail.Address {
	all, _ := m.Headers().addresses(name)
	return all
}

// HiddenRecipients are the addresses in the envelope that are neither in To nor in Cc: those of blind copies. Addresses are the same if they differ only in
// the case of letters, in needless quotes, or in the form of an international domain.
func (m *Message) HiddenRecipients() []string {
	h := m.Headers()
	seen := map[string]bool{}
	for _, name := range []string{"To", "Cc"} {
		of, _ := h.addresses(name)
		for _, a := range of {
			seen[sameForm(a.Address)] = true
		}
	}
	var hidden []string
	for _, r := range m.Envelope.Recipients {
		if !seen[sameForm(r.Address)] {
			hidden = append(hidden, r.Address)
		}
	}
	return hidden
}

// sameForm is the form in which addresses are compared.
func sameForm(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return strings.ToLower(address)
	}
	local, domain := address[:at], address[at+1:]
	if len(local) > 1 && strings.HasPrefix(local, `"`) && strings.HasSuffix(local, `"`) {
		local = unquoted(local)
	}
	if a, err := idna.Lookup.ToASCII(domain); err == nil {
		domain = a
	}
	return norm.NFC.String(strings.ToLower(local)) + "@" + strings.ToLower(domain)
}

var addressParser = mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
	octets, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	s, _ := decodeCharset(octets, charset)
	return strings.NewReader(s), nil
}}}

// addresses reads all fields of a name.
func (h Headers) addresses(name string) (all []mail.Address, err error) {
	var faults []error
	for _, f := range h {
		if !strings.EqualFold(f.Name, name) {
			continue
		}
		body := readable(f.Body())
		of, err := addressParser.ParseList(body)
		if err != nil {
			var found []mail.Address
			found, err = looseAddresses(body)
			all = append(all, found...)
			if err == nil {
				err = errors.New("it is no list of addresses of RFC 5322")
			}
			faults = append(faults, fmt.Errorf("%s %q: %w", f.Name, clip(body), err))
			continue
		}
		for _, a := range of {
			all = append(all, mail.Address{Name: decodeWords(a.Name), Address: a.Address}) // encoded words in quotes are against RFC 2047 §5, and common
		}
	}
	return all, errors.Join(faults...)
}

// looseAddresses finds addresses in a list that is none: what stands between commas, if it has an @.
func looseAddresses(list string) (all []mail.Address, err error) {
	var bad []string
	for _, item := range splitOutside(list, ",;") {
		if a, err := addressParser.Parse(item); err == nil {
			all = append(all, *a)
			continue
		}
		name, address := looseAddress(item)
		switch {
		case strings.Contains(address, "@") && !strings.ContainsAny(address, " \t"):
			all = append(all, mail.Address{Name: decodeWords(unquoted(name)), Address: address})
		case strings.TrimSpace(item) != "":
			bad = append(bad, strings.TrimSpace(item))
		}
	}
	if len(bad) > 0 {
		err = fmt.Errorf("%q has no address", clip(strings.Join(bad, ", ")))
	}
	return all, err
}

// looseAddress takes what stands in angle brackets, of which the second may be missing, or the last word.
func looseAddress(item string) (name, address string) {
	item = strings.TrimSpace(item)
	if before, in, ok := strings.Cut(item, "<"); ok {
		address, _, _ = strings.Cut(in, ">")
		return before, strings.TrimSpace(address)
	}
	if i := strings.LastIndexAny(item, " \t:"); i >= 0 {
		return strings.TrimSuffix(item[:i], ":"), item[i+1:]
	}
	return "", item
}
