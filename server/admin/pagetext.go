package admin

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	template "github.com/DataDog/datadog-agent/pkg/template/html"

	"github.com/seed-1397b510/smarthost/server/web"
)

const maxShown = 600 // characters of one value of somebody else's on a page

// shown makes a value fit for a page: bounded, and without signs that are not seen or turn the order of others.
func shown(v any) string {
	var b strings.Builder
	n := 0
	for _, r := range fmt.Sprint(v) {
		if n++; n > maxShown {
			b.WriteString("…")
			break
		}
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			b.WriteRune('\uFFFD')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// stamp is a moment as an element that programs can read too.
func stamp(t any) template.HTML {
	at, ok := moment(t)
	if !ok {
		return "never"
	}
	return web.Moment(at, web.WithDay)
}

// ago says how long a moment is past, or to come.
func ago(t any) string {
	at, ok := moment(t)
	if !ok {
		return ""
	}
	d := time.Since(at)
	if d < 0 {
		return "in " + span(-d)
	}
	return span(d) + " ago"
}

func moment(t any) (time.Time, bool) {
	switch t := t.(type) {
	case time.Time:
		return t, !t.IsZero()
	case *time.Time:
		if t != nil {
			return *t, true
		}
	}
	return time.Time{}, false
}

// span is a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// replyClass is the class of a reply for its colour, which never says anything that the text does not.
func replyClass(code int) string {
	switch code / 100 {
	case 2:
		return "good"
	case 4:
		return "later"
	}
	return "bad"
}

const mostRecipients = 20 // of one message on a page

// few is the beginning of a list of recipients or tries.
func few(list any) any {
	v := reflect.ValueOf(list)
	return v.Slice(0, min(v.Len(), mostRecipients)).Interface()
}

// left is how many few leaves out.
func left(list any) int { return max(0, reflect.ValueOf(list).Len()-mostRecipients) }

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// grouped is a whole number with a comma before each three digits.
func grouped(n any) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
