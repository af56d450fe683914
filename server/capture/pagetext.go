package capture

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	template "github.com/DataDog/datadog-agent/pkg/template/html"

	"github.com/seed-1397b510/smarthost/server/web"
)

const (
	maxSeen  = 600       // characters of one value of somebody else's on a page
	maxLines = 256 << 10 // octets of one text
	maxMarks = 4         // signs in a row that are written over the one before them
)

// seen is a value of somebody else's on one line: bounded, and with signs made visible that are not seen or turn the order of others.
func seen(s string) string {
	clipped := s
	if len(s) > 4*maxSeen {
		clipped = s[:4*maxSeen]
	}
	n := 0
	for i := range clipped {
		if n++; n > maxSeen {
			clipped = clipped[:i]
			break
		}
	}
	text := visible(clipped, false)
	if len(clipped) < len(s) {
		text += "…"
	}
	return text
}

// seenLines is the same for a text of many lines, which may be longer.
func seenLines(s string) string {
	clipped := strings.ReplaceAll(s[:min(len(s), maxLines)], "\r\n", "\n")
	text := visible(clipped, true)
	if len(s) > maxLines {
		text += "\n…"
	}
	return text
}

func visible(s string, lines bool) string {
	var b strings.Builder
	marks := 0
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		octet := s[0]
		s = s[size:]
		if marks++; !unicode.In(r, unicode.Mn, unicode.Me) {
			marks = 0
		}
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "⟨%02X⟩", octet)
		case lines && (r == '\n' || r == '\t'), marks == 0 && unicode.IsPrint(r), marks > 0 && marks <= maxMarks, r == '\u00a0':
			b.WriteRune(r)
		case marks > maxMarks+1:
		case marks > maxMarks:
			b.WriteRune('…')
		default:
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		}
	}
	return b.String()
}

// clock is the time of a moment as an element that programs can read too.
func clock(t time.Time) template.HTML { return web.Moment(t, "15:04:05") }

// stamp is the same with the day.
func stamp(t time.Time) template.HTML { return web.Moment(t, web.WithDay) }

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
