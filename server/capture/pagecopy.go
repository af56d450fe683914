package capture

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// curlFor is a command that waits for a message like this one and prints it.
func curlFor(base string, m *smarthosttest.Message) string {
	q := url.Values{"subject": {m.Subject()}, "wait": {"10s"}}
	if len(m.Envelope.Recipients) > 0 {
		q.Set("to", m.Envelope.Recipients[0].Address)
	}
	return fmt.Sprintf("curl -sS %s", quoted(base+"/api/t/v1/messages?"+q.Encode()))
}

// quoted is a word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// goFor is the body of a test in Go that waits for a message like this one.
func goFor(m *smarthosttest.Message) string {
	var b strings.Builder
	match := fmt.Sprintf("smarthosttest.Subject(%+q)", m.Subject())
	if len(m.Envelope.Recipients) > 0 {
		match = fmt.Sprintf("smarthosttest.To(%+q), %s", m.Envelope.Recipients[0].Address, match)
	}
	fmt.Fprintf(&b, "m, err := srv.Inbox(%+q).WaitFor(t.Context(),\n\t%s)\nif err != nil {\n\tt.Fatal(err)\n}\n", m.User, match)
	if from := m.Envelope.From; from != "" {
		fmt.Fprintf(&b, "if m.Envelope.From != %+q {\n\tt.Errorf(\"sent by <%%s>\", m.Envelope.From)\n}\n", from)
	}
	if hidden := m.HiddenRecipients(); len(hidden) > 0 {
		fmt.Fprintf(&b, "if got := len(m.HiddenRecipients()); got != %d {\n\tt.Errorf(\"%%d hidden recipients\", got)\n}\n", len(hidden))
	}
	return b.String()
}
