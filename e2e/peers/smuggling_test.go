//go:build e2e

package peers

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// ends are octets that some servers take for the end of the content. Only CRLF.CRLF is it (RFC 5321 §4.1.1.4).
var ends = []string{
	"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n", "\n\n.\r\n",
	"\r\r\n.\r\r\n", "\r\r\n.\r\n", "\r\n.\r\r\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n",
	"\r\n\v.\r\n", "\r\n\u0085.\r\n", "\r\n\u2028.\r\n", "\u2028.\u2028", "\v.\v",
}

const inner = "MAIL FROM:<smuggled@client.test>\r\nRCPT TO:<victim@dest.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"

// TestSmuggling sends each of them with a second mail behind it, by DATA and by BDAT, to a next hop that takes every one of them
// for the end: at most one mail arrives, and never the inner one (checklist 14, 75, 77, 82).
func TestSmuggling(t *testing.T) {
	upstream := lab.StartSink(t, "127.0.0.1:2525", true)
	s := lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`)
	s.Start(t)
	taken := 0
	for _, end := range append(ends, "\r\n.\r\n") {
		for _, verb := range []string{"DATA", "BDAT"} {
			if end == "\r\n.\r\n" && verb == "DATA" {
				continue // that is the end, and what follows are commands of one who has logged in
			}
			t.Run(fmt.Sprintf("%s %q", verb, end), func(t *testing.T) {
				reply := smuggle(t, s, verb, end)
				mails := upstream.Take()
				if strings.HasPrefix(reply, "250") {
					taken++
					mails = append(mails, upstream.Wait(t, 1-len(mails), 10*time.Second)...)
					upstream.Take()
				}
				// A mail sent afterwards over the same way has to be the only one beside it.
				d, err := s.Dial()
				lab.Check(t, err)
				defer d.Close()
				_, err = d.Send("marker@client.test", "bob@dest.test", "", hashed(fmt.Sprintf("marker-%d@client.test", rand.Uint64())), "250 2.0.0")
				lab.Check(t, err)
				mails = append(mails, upstream.Wait(t, 1, 10*time.Second)...)
				upstream.Take()
				for _, m := range mails {
					if m.From == "smuggled@client.test" {
						t.Errorf("smuggled: %q", m.Content)
					}
				}
			})
		}
	}
	if n := count(upstream.Heard(), "MAIL FROM:<smuggled@"); n > 0 {
		t.Errorf("the next hop heard the inner MAIL %d times", n)
	}
	t.Logf("%d variants, %d taken as content, the others refused", 2*len(ends)+1, taken)
}

// smuggle sends one mail with an inner one and returns the reply to it.
func smuggle(t *testing.T, s *lab.Smarthost, verb, end string) string {
	t.Helper()
	d, err := s.Dial()
	lab.Check(t, err)
	defer d.Close()
	d.SetDeadline(time.Now().Add(10 * time.Second))
	content := fmt.Sprintf(header, fmt.Sprintf("outer-%d", rand.Uint64())) + "text" + end + inner
	for _, line := range []string{"MAIL FROM:<alice@client.test> BODY=8BITMIME", "RCPT TO:<bob@dest.test>"} {
		_, err = d.Say(line, "250")
		lab.Check(t, err)
	}
	if verb == "DATA" {
		_, err = d.Say("DATA", "354")
		lab.Check(t, err)
		_, err = io.WriteString(d, content+"\r\n.\r\n")
	} else {
		_, err = io.WriteString(d, fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content))
	}
	lab.Check(t, err)
	reply, err := d.Reply("")
	lab.Check(t, err)
	if !strings.HasPrefix(reply, "250 2.") && !strings.HasPrefix(reply, "55") {
		t.Errorf("got %q, want 250 or 55x", reply)
	}
	io.WriteString(d, "NOOP\r\n")
	rest, _ := io.ReadAll(io.LimitReader(d.R, 4)) // of NOOP, or of an end
	if len(rest) == 4 && string(rest) != "250 " && string(rest) != "421 " {
		t.Errorf("after the reply %q came %q: content was taken for commands", reply, rest)
	}
	return reply
}

func count(lines []string, prefix string) (n int) {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}
