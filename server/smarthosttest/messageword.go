package smarthosttest

import (
	"encoding/hex"
	"regexp"
	"strings"
)

// encodedWord is charset, encoding and text of a word of RFC 2047 §2, with the blanks before it; the language is RFC 2231 §5.
// Blanks inside of the text are against the rules, and common.
var encodedWord = regexp.MustCompile(`(\s*)=\?([^\s?*]+)(?:\*[^\s?]*)?\?([bBqQ])\?([^?]*)\?=`)

// decodeWords reads the encoded words of a field's body. Words of one charset that follow each other are read together, because many senders cut characters
// in two. What is not an encoded word stays as it is.
func decodeWords(s string) string {
	var out strings.Builder
	var charset string
	var pending []byte
	flush := func() {
		text, _ := decodeCharset(pending, charset)
		out.WriteString(text)
		pending = nil
	}
	end := 0
	for _, at := range encodedWord.FindAllStringSubmatchIndex(s, -1) {
		between, blank := s[end:at[0]], s[at[2]:at[3]]
		of, octets := s[at[4]:at[5]], decodeWord(s[at[6]:at[7]], s[at[8]:at[9]])
		follows := end > 0 && between == ""
		if !follows || !strings.EqualFold(of, charset) || strings.HasPrefix(strings.ToLower(of), "iso-2022-") {
			flush() // ISO-2022 begins each word in ASCII, and a missing return to it must not spoil the next
		}
		if !follows { // blanks between two encoded words are not text, RFC 2047 §6.2
			out.WriteString(readable(between + blank))
		}
		charset, end = of, at[1]
		pending = append(pending, octets...)
	}
	flush()
	out.WriteString(readable(s[end:]))
	return out.String()
}

// decodeWord undoes the encoding of one word.
func decodeWord(encoding, text string) []byte {
	if strings.EqualFold(encoding, "b") {
		octets, _ := decodeBase64([]byte(text))
		return octets
	}
	var octets []byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '_':
			octets = append(octets, ' ')
		case c == '=' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			octet, _ := hex.DecodeString(text[i+1 : i+3])
			octets = append(octets, octet...)
			i += 2
		default:
			octets = append(octets, c)
		}
	}
	return octets
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
