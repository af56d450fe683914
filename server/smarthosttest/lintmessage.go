package smarthosttest

import (
	"bytes"
	"slices"
	"strings"

	"github.com/emersion/go-smtp"
)

// maxTextLine is the longest line of a message without its CRLF (RFC 5322 §2.1.1).
const maxTextLine = 998

// onlyOnce are the fields of which a message has at most one (RFC 5322 §3.6).
var onlyOnce = []string{"date", "from", "sender", "reply-to", "to", "cc", "message-id", "in-reply-to", "references", "subject"}

// lintMessage looks at a message by itself.
func lintMessage(m *Message) []Finding {
	var found []Finding
	add := func(is bool, f fault, format string, args ...any) {
		if is {
			found = append(found, f.of(m, format, args...))
		}
	}
	header, body := split(m.Raw)
	count := map[string]int{}
	for _, name := range fieldNames(header) {
		count[name]++
	}
	add(count["bcc"]+count["resent-bcc"] > 0, bccField, "there is a Bcc field")
	add(count["date"] == 0, noDate, "there is no Date field")
	add(count["message-id"] == 0, noMessageID, "there is no Message-ID field")
	add(count["from"] == 0, noFrom, "there is no From field")
	add(count["return-path"] > 0, returnPathField, "there is a Return-Path field")
	for _, name := range onlyOnce {
		add(count[name] > 1, fieldTwice, "there are %d %s fields", count[name], name)
	}
	for line := range bytes.Lines(m.Raw) {
		if n := len(bytes.TrimRight(line, "\r\n")); n > maxTextLine {
			add(true, longLine, "a line has %d octets", n)
			break
		}
	}
	declared := slices.Contains([]smtp.BodyType{smtp.Body8BitMIME, smtp.BodyBinaryMIME}, m.Envelope.Body)
	add(is8bit(header) && !m.Envelope.UTF8, undeclaredUTF8, "the header has octets above ASCII")
	add(is8bit(body) && !declared && !m.Envelope.UTF8, undeclared8bit, "the text has octets above ASCII")
	return found
}

// split takes header and body apart at the first empty line (RFC 5322 §2.1).
func split(raw []byte) (header, body []byte) {
	if bytes.HasPrefix(raw, []byte("\r\n")) {
		return nil, raw[2:]
	}
	if i := bytes.Index(raw, []byte("\r\n\r\n")); i >= 0 {
		return raw[:i+2], raw[i+4:]
	}
	return raw, nil
}

// fieldNames are the names of the fields, in lower case. A line that is no field is passed over.
func fieldNames(header []byte) []string {
	var names []string
	for line := range bytes.Lines(header) {
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		if name, _, ok := bytes.Cut(line, []byte(":")); ok {
			names = append(names, strings.ToLower(string(bytes.TrimRight(name, " \t"))))
		}
	}
	return names
}

func is8bit(b []byte) bool {
	return slices.ContainsFunc(b, func(c byte) bool { return c >= 0x80 })
}
