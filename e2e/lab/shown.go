//go:build e2e

package lab

import (
	"regexp"
	"strings"
	"unicode"
)

// noise is what a person can do without, or what is different each time.
var noise = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?m)^(===| ->| ~>|<- |<~ ).*`), ""}, // swaks' record of the conversation
	{regexp.MustCompile(`(?m)^s-nail:  ( subject| notBefore| notAfter| issuer|Certificate depth).*`), ""},
	{regexp.MustCompile(`(?m)^msmtp: could not send mail .*`), ""},
	{regexp.MustCompile(`(?ms)^More details here: https://curl.se.*`), ""},
	{regexp.MustCompile(`(?m) at /usr/\S+ line \d+\.$| \(_ssl\.c:\d+\)| \d+/\d+$`), ""},
	{regexp.MustCompile(`\b[0-9A-F]{16}:error`), "error"}, // OpenSSL's, with its thread
	{regexp.MustCompile(`\d+ milliseconds`), "… milliseconds"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+->`), "127.0.0.1->"},
	{regexp.MustCompile(`, affected message ID: <\S+>`), ""},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:]+Z`), "…"},
	{regexp.MustCompile(`\[[a-z0-9]{12}\]`), "[…]"},
	{regexp.MustCompile(`(192\.0\.2\.2|2001:db8::2\]):\d+`), "$1"},
	{regexp.MustCompile(`\s*\n\s*`), " / "},
}

// Shown is what a program has said, in one line that is the same each time.
func Shown(text string) string {
	for _, n := range noise {
		text = strings.TrimSpace(n.what.ReplaceAllString(text, n.with))
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) || c == unicode.ReplacementChar {
			return '?'
		}
		return c
	}, text)
}
