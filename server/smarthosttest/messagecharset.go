package smarthosttest

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// readable is text without a charset: UTF-8 if it is that, and windows-1252 if not.
func readable(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	s, _ = charmap.Windows1252.NewDecoder().String(s)
	return s
}

// decodeCharset returns octets as UTF-8. What it returns beside an error is the best that can be read.
func decodeCharset(octets []byte, charset string) (string, error) {
	switch strings.ToLower(charset) {
	case "", "us-ascii", "ascii":
		if ascii(octets) {
			return string(octets), nil
		}
		return readable(string(octets)), fmt.Errorf("octets over 127, and no charset that has them")
	case "utf-8", "utf8":
		s := strings.ToValidUTF8(string(octets), "\uFFFD")
		return s, unreadable(len(octets) > 0 && !utf8.Valid(octets), charset)
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		e, err = ianaindex.MIME.Encoding(charset)
	}
	if err != nil || e == nil || e == encoding.Replacement {
		return readable(string(octets)), fmt.Errorf("charset %q is not known", clip(charset))
	}
	s, err := e.NewDecoder().Bytes(octets)
	if err != nil {
		return readable(string(octets)), fmt.Errorf("charset %s: %w", charset, err)
	}
	return string(s), unreadable(strings.ContainsRune(string(s), utf8.RuneError), charset)
}

func unreadable(is bool, charset string) error {
	if is {
		return fmt.Errorf("octets that are not %s", charset)
	}
	return nil
}

func ascii(octets []byte) bool {
	for _, c := range octets {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
