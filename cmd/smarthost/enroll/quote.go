package enroll

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// quotes are the quoting functions, one for each syntax. None of them ever sees a control character: Values.check.
var quotes = map[string]any{
	"home":    func() string { return home },
	"sh":      shell,
	"colon":   colon,
	"exim":    colon,
	"postfix": colon,
	"opensmtpd": func(s string) (string, error) {
		return without("OpenSMTPD's table of credentials", s, " #:")
	},
	"nullmailer": func(s string) (string, error) {
		inner, err := without("nullmailer's remotes", s, "'")
		return "'" + inner + "'", err
	},
	"dma":     func(s string) (string, error) { return without("dma's auth.conf", s, " |:#") },
	"ssmtp":   func(s string) (string, error) { return without("ssmtp's configuration", s, " =#:") },
	"msmtp":   msmtp,
	"swaks":   swaks,
	"curl":    curl,
	"git":     curl,
	"url":     userinfo,
	"python":  strconv.QuoteToASCII,
	"golang":  strconv.QuoteToASCII,
	"js":      jsonString,
	"yaml":    jsonString, // YAML 1.2 contains JSON
	"compose": func(s string) (string, error) { q, err := jsonString(s); return strings.ReplaceAll(q, "$", "$$"), err },
	"env":     env,
	"indent":  indent,
	"comment": func(s string) string { return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n# ") },
	"domain":  func(address string) string { return address[strings.LastIndexByte(address, '@')+1:] },
	"ascii":   ascii,
}

// An unfitError tells of a value that a syntax cannot hold.
type unfitError struct{ where, value, signs string }

func (e *unfitError) Error() string {
	return fmt.Sprintf("%s cannot hold %q: the signs %s are not allowed there; choose another account or client", e.where, e.value, e.signs)
}

// without lets values pass that have none of the signs.
func without(where, s, signs string) (string, error) {
	if strings.ContainsAny(s, signs) {
		return "", &unfitError{where, s, strconv.Quote(signs)}
	}
	return s, nil
}

// colon is for user names in tables whose values are user:password, where the first colon divides and nothing else is special.
func colon(s string) (string, error) {
	if s != strings.TrimSpace(s) {
		return "", &unfitError{"a table of passwords", s, "blank at the ends"}
	}
	return without("a table of passwords", s, ":")
}

// shell makes one word of a POSIX shell.
func shell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// msmtp takes what stands between the first and the last quote of a line as it is.
func msmtp(s string) string { return `"` + s + `"` }

// swaks takes the rest of a line as it is.
func swaks(s string) (string, error) {
	if s != strings.TrimSpace(s) {
		return "", &unfitError{"swaks's configuration", s, "blank at the ends"}
	}
	return s, nil
}

// curl is a string in double quotes with backslashes, as curl's and git's configurations have it.
func curl(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// userinfo is a user name or a password in a URL: everything but letters, digits and -._~ as %XX (RFC 3986 §2.3).
func userinfo(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func jsonString(s string) (string, error) {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return strings.TrimSuffix(out.String(), "\n"), err
}

const plainSigns = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+,-"

// env is a value in a .env file. The programs that read those agree on nothing but this: plain signs stand for themselves,
// and between single quotes everything does.
func env(s string) (string, error) {
	switch {
	case s != "" && strings.Trim(s, plainSigns) == "":
		return s, nil
	case strings.ContainsAny(s, `'\`):
		return "", &unfitError{"a .env file", s, `' and \`}
	}
	return "'" + s + "'", nil
}

// ascii is for clients that cannot log in with a name that has other letters.
func ascii(s string) (string, error) {
	for _, r := range s {
		if r > unicode.MaxASCII {
			return "", &unfitError{"this client", s, "beyond ASCII"}
		}
	}
	return s, nil
}

// indent puts n blanks before each line but the first, for block scalars.
func indent(n int, s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+strings.Repeat(" ", n))
}
