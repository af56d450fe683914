package smarthosttest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func TestHiddenRecipients(t *testing.T) {
	t.Parallel()
	m := &Message{Raw: []byte("To: \"Bob\" <BOB@Example.net>, \"john doe\"@example.net,\n friends: jürgen@bücher.example;\nCc: =?utf-8?q?=C3=84?= <quoted@example.net>\n" +
		"To: second@example.net\nBcc: eve@example.org\n\n")}
	for _, address := range []string{"bob@example.NET", `"john doe"@example.net`, "jürgen@xn--bcher-kva.example", `"quoted"@example.net`, "second@example.net",
		"eve@example.org", "mallory@example.org"} {
		m.Envelope.Recipients = append(m.Envelope.Recipients, spool.Recipient{Address: address})
	}
	if diff := cmp.Diff([]string{"eve@example.org", "mallory@example.org"}, m.HiddenRecipients()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
