package web

import (
	"fmt"
	"time"

	template "github.com/DataDog/datadog-agent/pkg/template/html"
)

// Moment is a time in UTC as an element that programs can read too, shown as a layout says that is made of digits; "" for none.
func Moment(t time.Time, layout string) template.HTML {
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.Format(time.RFC3339), t.Format(layout)))
}

// WithDay is the layout of a Moment of any day.
const WithDay = "2006-01-02 15:04:05 UTC"

// Octets is a size in its unit, of thousands.
func Octets[N int | int64](n N) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	}
	return fmt.Sprintf("%d MB", n/1_000_000)
}
