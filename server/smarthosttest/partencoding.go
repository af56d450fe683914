package smarthosttest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// decodeTransfer undoes a transfer encoding (RFC 2045 §6). What it returns beside an error is what could be read.
func decodeTransfer(octets []byte, encoding string) ([]byte, error) {
	switch strings.ToLower(encoding) {
	case "", "7bit", "8bit", "binary":
		return octets, nil
	case "base64":
		return decodeBase64(octets)
	case "quoted-printable":
		return decodeQuotedPrintable(octets)
	}
	return octets, fmt.Errorf("transfer encoding %q is not known", clip(encoding))
}

// decodeBase64 leaves out what is not base64 (RFC 2045 §6.8), and goes on behind padding, because some senders encode a file in pieces.
func decodeBase64(octets []byte) ([]byte, error) {
	var clean, out []byte
	junk, short := 0, false
	flush := func() {
		clean = clean[:len(clean)-trailing(len(clean))]
		at := len(out)
		out = append(out, make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))...)
		n, _ := base64.RawStdEncoding.Decode(out[at:], clean)
		out, clean = out[:at+n], clean[:0]
	}
	clean = make([]byte, 0, len(octets))
	for _, c := range octets {
		switch {
		case 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/':
			clean = append(clean, c)
		case c == '=':
			if len(clean) > 0 {
				short = short || len(clean)%4 == 0 || trailing(len(clean)) > 0
				flush()
			}
		case c != '\r' && c != '\n' && c != ' ' && c != '\t':
			junk++
		}
	}
	short = short || len(clean)%4 != 0
	flush()
	switch {
	case junk > 0:
		return out, fmt.Errorf("%d octets are not base64", junk)
	case short:
		return out, fmt.Errorf("the base64 ends amid a group of four")
	}
	return out, nil
}

// trailing is how many characters at the end of n are too few for an octet.
func trailing(n int) int {
	if n%4 == 1 {
		return 1
	}
	return 0
}

// decodeQuotedPrintable leaves what is not an escape as it is (RFC 2045 §6.7).
func decodeQuotedPrintable(octets []byte) ([]byte, error) {
	out := make([]byte, 0, len(octets))
	faults := 0
	for len(octets) > 0 {
		line, rest := cutLine(octets)
		octets = rest
		text := trimBreak(line)
		lineBreak := line[len(text):]
		text = bytes.TrimRight(text, " \t") // blanks at the end of a line were put there on the way
		if soft, ok := bytes.CutSuffix(text, []byte("=")); ok {
			text, lineBreak = soft, nil
		}
		var bad int
		out, bad = appendUnescaped(out, text)
		faults += bad
		out = append(out, lineBreak...)
	}
	if faults > 0 {
		return out, fmt.Errorf("%d times, = stands before what is not two hexadecimal digits", faults)
	}
	return out, nil
}

// appendUnescaped appends a line without its escapes, and tells how many of them are none.
func appendUnescaped(out, text []byte) ([]byte, int) {
	faults := 0
	for len(text) > 0 {
		i := bytes.IndexByte(text, '=')
		if i < 0 {
			return append(out, text...), faults
		}
		out = append(out, text[:i]...)
		text = text[i:]
		if len(text) < 3 || !isHex(text[1]) || !isHex(text[2]) {
			out, text = append(out, '='), text[1:]
			faults++
			continue
		}
		octet, _ := hex.DecodeString(string(text[1:3]))
		out, text = append(out, octet...), text[3:]
	}
	return out, faults
}
