//go:build e2e

package peers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const clientStop = 20 * time.Second

// pythonMails are the message files of CPython's email tests, from Debian's libpython3.11-testsuite.
const pythonMails = "/usr/lib/python3.11/test/test_email/data/msg_*.txt"

type sample struct {
	name             string
	content          []byte
	from, parameters string
}

const header = "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nFrom: alice@client.test\r\nTo: bob@dest.test\r\nMessage-ID: <%s@client.test>\r\nSubject: %[1]s\r\n\r\n"

// generated are mails with everything that is easily changed on the way.
func generated() []sample {
	bodies := []struct{ name, body string }{
		{"empty-body", ""},
		{"one-empty-line", "\r\n"},
		{"many-empty-lines", "\r\n\r\n\r\n\r\n"},
		{"dots", ".\r\n..\r\n...\r\n.a\r\n..b\r\n \r\n.\r\n"},
		{"dot-first-and-last", ".\r\nx\r\n."},
		{"no-final-line-end", "the end"},
		{"blanks-at-line-ends", "a \r\nb\t\r\n \r\n\t\r\n"},
		{"from-line", "From here on\r\n>From there\r\n"},
		{"line-998", strings.Repeat("x", 998) + "\r\n"},
		{"line-999", strings.Repeat("y", 999) + "\r\n"},
		{"line-5000", strings.Repeat("z", 5000) + "\r\n"},
		{"line-998-dots", strings.Repeat(".", 998) + "\r\n"},
		{"line-100000", strings.Repeat("w", 100000) + "\r\n"},
		{"commands", "QUIT\r\nMAIL FROM:<x@y.test>\r\nRSET\r\n"},
		{"not-utf8", "\xff\xfe\xe4\xf6\xfc\r\n"},
		{"all-octets", octets() + "\r\n"},
	}
	var all []sample
	for _, b := range bodies {
		all = append(all, sample{name: b.name, content: []byte(fmt.Sprintf(header, b.name) + b.body), from: "alice@client.test", parameters: " BODY=8BITMIME"})
	}
	return append(all,
		sample{name: "utf8-addresses", content: []byte(fmt.Sprintf(header, "utf8") + "grüße\r\n"), from: "jürgen@dömäin.test", parameters: " BODY=8BITMIME SMTPUTF8"},
		sample{name: "quoted-sender", content: []byte(fmt.Sprintf(header, "quoted") + "x\r\n"), from: `"a b\"c"@client.test`},
		sample{name: "null-sender", content: []byte(fmt.Sprintf(header, "null") + "x\r\n")},
		sample{name: "50MiB", content: []byte(fmt.Sprintf(header, "large") + strings.Repeat(strings.Repeat("m", 98)+"\r\n", 50<<20/100)), from: "alice@client.test"},
	)
}

// octets is every octet but NUL, CR and LF.
func octets() string {
	var all []byte
	for i := 1; i < 256; i++ {
		if i != '\r' && i != '\n' {
			all = append(all, byte(i))
		}
	}
	return string(all)
}

func fromPython(t *testing.T) []sample {
	files, err := filepath.Glob(pythonMails)
	lab.Check(t, err)
	if len(files) < 40 {
		t.Fatalf("%d files match %s, want the 46 and more of libpython3.11-testsuite", len(files), pythonMails)
	}
	var all []sample
	for _, f := range files {
		text, err := os.ReadFile(f)
		lab.Check(t, err)
		all = append(all, sample{name: filepath.Base(f), content: text, from: "alice@client.test", parameters: " BODY=8BITMIME"})
	}
	return all
}

// bare tells whether CR or LF stands alone.
func bare(content []byte) bool {
	rest := bytes.ReplaceAll(content, []byte("\r\n"), nil)
	return bytes.ContainsAny(rest, "\r\n")
}

func crlf(content []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// TestCorpus: what is sent arrives octet for octet, below what was put on top (checklist 75, 79, 87, 91).
func TestCorpus(t *testing.T) {
	upstream := lab.StartSink(t, "127.0.0.1:2525", false)
	s := lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`)
	s.Start(t)
	d, err := s.Dial()
	lab.Check(t, err)
	for _, m := range append(generated(), fromPython(t)...) {
		t.Run(m.name, func(t *testing.T) {
			content := crlf(m.content)
			if bare(content) { // a CR that ends no line
				t.Logf("holds a bare CR, which is refused by design")
				refuse(t, s, m, content)
				return
			}
			_, err := d.Send(m.from, "bob@dest.test", m.parameters, content, "250 2.0.0")
			lab.Check(t, err)
			got := upstream.Wait(t, 1, time.Minute)[0]
			upstream.Take()
			if got.From != m.from {
				t.Errorf("sender %q arrived as %q", m.from, got.From)
			}
			if !bytes.HasSuffix(content, []byte("\r\n")) {
				content = append(content, "\r\n"...)
			}
			compare(t, got.Content, content)
		})
	}
	t.Run("every kind of bare line end is refused", func(t *testing.T) {
		for _, body := range []string{"a\nb\r\n", "a\rb\r\n", "a\n", "a\r\r\n", "\n.\n\r\n", "\r.\r\r\n", "a\n\rb\r\n"} {
			m := sample{name: fmt.Sprintf("%q", body), from: "alice@client.test"}
			refuse(t, s, m, []byte(fmt.Sprintf(header, "bare")+body))
		}
	})
}

// refuse sends what holds bare CR or LF and wants 550 5.6.0 (RFC 5321 §2.3.8).
func refuse(t *testing.T, s *lab.Smarthost, m sample, content []byte) {
	t.Helper()
	d, err := s.Dial()
	lab.Check(t, err)
	defer d.Close()
	if _, err := d.Send(m.from, "bob@dest.test", m.parameters, content, "550 5.6.0"); err != nil {
		t.Errorf("%s: %v", m.name, err)
	}
}

// compare wants got to be sent with nothing but header fields on top. Bcc fields may have been left out.
func compare(t *testing.T, got, sent []byte) {
	t.Helper()
	sent = withoutBcc(sent)
	if !bytes.HasSuffix(got, sent) {
		i := 0
		for i < min(len(got), len(sent)) && got[len(got)-1-i] == sent[len(sent)-1-i] {
			i++
		}
		t.Errorf("differs %d octets before the end: got …%.200q, sent …%.200q", i, got[max(0, len(got)-i-80):], sent[max(0, len(sent)-i-80):])
		return
	}
	for rest := got[:len(got)-len(sent)]; len(rest) > 0; rest = lab.AfterField(rest) {
		if string(rest) == "\r\n" && !beginsWithField(sent) {
			break // a body without a header has to be kept apart from what was put on top
		}
		name, _, found := bytes.Cut(rest, []byte(":"))
		if !found || !strings.Contains(" Received Date Message-ID From ", " "+string(name)+" ") {
			t.Errorf("put on top: %.200q", rest)
			return
		}
	}
	if !bytes.HasPrefix(got, []byte("Received: ")) {
		t.Errorf("no Received field on top: %.200q", got)
	}
}

// withoutBcc leaves out the Bcc fields of the header.
func withoutBcc(content []byte) []byte {
	var kept []byte
	for rest := content; len(rest) > 0 && !bytes.HasPrefix(rest, []byte("\r\n")); {
		after := lab.AfterField(rest)
		if len(rest) < 4 || !strings.EqualFold(string(rest[:4]), "Bcc:") {
			kept = append(kept, rest[:len(rest)-len(after)]...)
		}
		rest = after
		if len(rest) == 0 || bytes.HasPrefix(rest, []byte("\r\n")) {
			return append(kept, rest...)
		}
	}
	return content
}

// TestCorpusByPostfix sends the generated mails on to Postfix and reads them in its Maildir.
func TestCorpusByPostfix(t *testing.T) {
	ca := lab.NewAuthority(t)
	lab.StartDNS(t, "127.0.0.1", lab.PostfixNames...)
	p := lab.StartPostfix(t, ca)
	s := lab.NewSmarthost(t, "allow_loopback = true")
	s.Start(t)
	d, err := s.Dial()
	lab.Check(t, err)
	for _, m := range generated() {
		if m.from == "jürgen@dömäin.test" {
			m.from = "jürgen@client.test"
		}
		t.Run(m.name, func(t *testing.T) {
			_, err := d.Send(m.from, "bob@dest.test", m.parameters, m.content, "250 2.0.0")
			lab.Check(t, err)
			got := p.Mailbox(t, 1)[0]
			want := m.content
			if !bytes.HasSuffix(want, []byte("\r\n")) {
				want = append(bytes.Clone(want), "\r\n"...)
			}
			compare(t, crlf(got), want)
		})
	}
}

// beginsWithField tells whether there is a header at all (RFC 5322 §2.2).
func beginsWithField(content []byte) bool {
	name, _, found := bytes.Cut(content, []byte(":"))
	return found && len(name) > 0 && !bytes.ContainsAny(name, " \t\r\n")
}
