package guard

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of RFC 5321 §4.5.3.1, in octets.
const (
	maxLocal  = 64
	maxDomain = 255
	maxPath   = 256 // with both brackets
	maxLabel  = 63
)

// What can be wrong with a path, in words for a stranger.
var (
	errBrackets = errors.New("the address must stand in angle brackets")
	errRoute    = errors.New("the source route is malformed")
	errLocal    = errors.New("the local part of the address is malformed")
	errDomain   = errors.New("the domain of the address is malformed")
	errLiteral  = errors.New("the address literal is malformed")
	errAt       = errors.New("the address has no domain")
	errLength   = errors.New("the address is too long")
	errUTF8     = errors.New("the address is not printable UTF-8")
)

// A Path is a reverse-path or forward-path taken apart (RFC 5321 §4.1.2, RFC 6531 §3.3), without its source route.
// The zero Path is the null reverse-path.
type Path struct {
	Local  string // as written, with its quotes if it has any
	Domain string // as written, with its brackets if it is an address literal; "" for <postmaster>
}

// String is the path without its angle brackets.
func (p Path) String() string {
	if p.Domain == "" {
		return p.Local
	}
	return p.Local + "@" + p.Domain
}

// Null tells whether p is the null reverse-path <>.
func (p Path) Null() bool { return p == Path{} }

// Quoted tells whether the local part is a quoted string.
func (p Path) Quoted() bool { return strings.HasPrefix(p.Local, `"`) }

// ASCII tells whether p can be used without SMTPUTF8 (RFC 6531).
func (p Path) ASCII() bool { return isASCII(p.Local) && isASCII(p.Domain) }

// ParsePath reads a path in angle brackets at the beginning of s (RFC 5321 §4.1.2) and returns what follows it.
// A source route is left out (§4.1.1.3). <> gives the null path, and <postmaster>, in any case of letters, is the one
// address that needs no domain (§4.5.1). Controls are refused everywhere, in quoted strings too. The error is words for a stranger.
func ParsePath(s string) (p Path, rest string, err error) {
	if !strings.HasPrefix(s, "<") {
		return Path{}, s, errBrackets
	}
	rest = s[1:]
	if strings.HasPrefix(rest, ">") {
		return Path{}, rest[1:], nil
	}
	if rest, err = skipRoute(rest); err != nil {
		return Path{}, s, err
	}
	if p, rest, err = readMailbox(rest); err != nil {
		return Path{}, s, err
	}
	if !strings.HasPrefix(rest, ">") {
		return Path{}, s, errBrackets
	}
	return p, rest[1:], nil
}

// ParseMailbox reads s as a mailbox without brackets, all of it (RFC 5321 §4.1.2). The error is words for a stranger.
func ParseMailbox(s string) (Path, error) {
	p, rest, err := readMailbox(s)
	switch {
	case err != nil:
		return Path{}, err
	case rest != "":
		return Path{}, errDomain
	}
	return p, nil
}

// skipRoute leaves out the "@one,@two:" of RFC 5321 §4.1.2.
func skipRoute(s string) (string, error) {
	if !strings.HasPrefix(s, "@") {
		return s, nil
	}
	for {
		if !strings.HasPrefix(s, "@") {
			return "", errRoute
		}
		domain, rest, err := readDomain(s[1:])
		if err != nil || domain == "" || rest == "" {
			return "", errRoute
		}
		switch s = rest[1:]; rest[0] {
		case ':':
			return s, nil
		case ',':
		default:
			return "", errRoute
		}
	}
}

func readMailbox(s string) (p Path, rest string, err error) {
	if p.Local, rest, err = readLocal(s); err != nil {
		return Path{}, s, err
	}
	if !strings.HasPrefix(rest, "@") {
		if strings.EqualFold(p.Local, "postmaster") {
			return p, rest, nil
		}
		return Path{}, s, errAt
	}
	if p.Domain, rest, err = readDomain(rest[1:]); err != nil {
		return Path{}, s, err
	}
	switch {
	case len(p.Local) > maxLocal, len(p.Domain) > maxDomain, len(p.Local)+1+len(p.Domain)+2 > maxPath:
		return Path{}, s, errLength
	case !isText(p.Local), !isText(p.Domain):
		return Path{}, s, errUTF8
	}
	return p, rest, nil
}

func readLocal(s string) (local, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		return readQuoted(s)
	}
	i := 0
	for i < len(s) && (isAtext(s[i]) || s[i] == '.') {
		i++
	}
	local = s[:i]
	if local == "" || local[0] == '.' || local[i-1] == '.' || strings.Contains(local, "..") {
		return "", s, errLocal
	}
	return local, s[i:], nil
}

// readQuoted reads a quoted string and keeps it as it is written.
func readQuoted(s string) (quoted, rest string, err error) {
	for i := 1; i < len(s); i++ {
		if isControl(s[i]) {
			return "", s, errLocal
		}
		switch s[i] {
		case '"':
			return s[:i+1], s[i+1:], nil
		case '\\':
			i++
			if i == len(s) || s[i] < ' ' || s[i] >= 0x7f {
				return "", s, errLocal
			}
		}
	}
	return "", s, errLocal
}

// readDomain reads a domain or an address literal. Underscores are let through: there are hosts with such names.
func readDomain(s string) (domain, rest string, err error) {
	if strings.HasPrefix(s, "[") {
		return readLiteral(s)
	}
	label, i := 0, 0
	for ; i < len(s); i++ {
		switch b := s[i]; {
		case b == '.':
			if label == 0 || s[i-1] == '-' {
				return "", s, errDomain
			}
			label = 0
		case b == '-' && label == 0:
			return "", s, errDomain
		case isAlnum(b), b == '-', b == '_', b >= 0x80:
			if label++; label > maxLabel {
				return "", s, errDomain
			}
		default:
			if label == 0 || s[i-1] == '-' {
				return "", s, errDomain
			}
			return s[:i], s[i:], nil
		}
	}
	if label == 0 || s[i-1] == '-' {
		return "", s, errDomain
	}
	return s, "", nil
}

// readLiteral reads [192.0.2.1] or [IPv6:2001:db8::1] (RFC 5321 §4.1.3). No other tag was ever registered.
func readLiteral(s string) (literal, rest string, err error) {
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return "", s, errLiteral
	}
	inner := s[1:end]
	const tag = "IPv6:"
	six := len(inner) > len(tag) && strings.EqualFold(inner[:len(tag)], tag)
	if six {
		inner = inner[len(tag):]
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Is4() == six || addr.Zone() != "" {
		return "", s, errLiteral
	}
	return s[:end+1], s[end+1:], nil
}

// appendQuoted appends s as a quoted string whose unquoting gives s again.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// isAtext is RFC 5322 §3.2.3, with the octets of UTF-8 (RFC 6531 §3.3).
func isAtext(b byte) bool {
	return isAlnum(b) || b >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", b) >= 0
}

func isAlnum(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}

func isControl(b byte) bool { return b < ' ' || b == 0x7f }

// isText tells whether s is valid UTF-8 in which nothing moves a cursor or breaks a line, as C1 controls and U+2028 would.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
