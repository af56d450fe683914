package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func scan(t testing.TB, r io.Reader) (*Header, []byte, *Scanner) {
	s := NewScanner(r)
	all, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return s.Header(), all, s
}

// checklist 84, 86, 87, 90, 91: fields are found however the content is cut into reads, and the content is passed on unchanged.
func TestHeader(t *testing.T) {
	for _, test := range []struct {
		name    string
		content string
		want    Header
	}{
		{"usual", "From: a@b\r\nTo: c@d\r\nDATE: x\r\nMessage-Id: <1@b>\r\n\r\nFrom: not@this\r\n",
			Header{From: []string{"a@b"}, Date: true, MessageID: "<1@b>", HasMessageID: true}},
		{"folded", "Received: a\r\n\tb\r\nreceived: c\r\nFrom:\r\n a@b,\r\n\tc@d\r\nMessage-ID:\r\n <1@b>\r\n\r\n",
			Header{Received: 2, From: []string{"a@b,\tc@d"}, MessageID: "<1@b>", HasMessageID: true}},
		{"by", "Received: from x (y) by mx.example.org with ESMTPSA\r\n\tid 1; date\r\nReceived: BY\r\n b.example; date\r\nReceived: by\r\nX: by c\r\n\r\n",
			Header{Received: 3, By: []string{"mx.example.org", "b.example"}}},
		{"bcc", "To: c@d\r\nBcc: e@f,\r\n g@h\r\nBCC : i@j\r\nResent-Bcc: k@l\r\nSubject: Bcc: x\r\n\r\nBcc: m@n\r\n",
			Header{Bcc: []Span{{9, 26}, {26, 37}, {37, 54}}}},
		{"two From", "From: a@b\r\nFROM : c@d\r\n\r\n", Header{From: []string{"a@b", "c@d"}}},
		{"no header", "Hello,\r\nFrom: a@b\r\n\r\nx\r\n", Header{Empty: true}},
		{"no header, one line", "Hello\r\n", Header{Empty: true}},
		{"empty header", "\r\nFrom: a@b\r\n", Header{Empty: true}},
		{"empty", "", Header{Empty: true}},
		{"header only", "From: a@b\r\nDate: x\r\n", Header{From: []string{"a@b"}, Date: true}},
		{"junk amid", "Date: x\r\n>From junk\r\nFrom: a@b\r\n\r\n", Header{Date: true, From: []string{"a@b"}}},
		{"8 bit", "From: \xe4 <a@b>\r\n\r\n\xff\r\n", Header{From: []string{"\xe4 <a@b>"}}},
	} {
		for name, r := range map[string]func() io.Reader{
			"whole":  func() io.Reader { return strings.NewReader(test.content) },
			"octets": func() io.Reader { return iotest.OneByteReader(strings.NewReader(test.content)) },
			"halves": func() io.Reader { return iotest.HalfReader(strings.NewReader(test.content)) },
		} {
			h, passed, s := scan(t, r())
			if diff := cmp.Diff(&test.want, h, cmpopts.IgnoreFields(Header{}, "Sum")); diff != "" {
				t.Errorf("%s by %s (-want +got):\n%s", test.name, name, diff)
			}
			if string(passed) != test.content || s.Size() != int64(len(test.content)) {
				t.Errorf("%s by %s: the content was changed to %q", test.name, name, passed)
			}
		}
	}
}

// What identifies a message sent again: all but the Received fields and Date.
func TestSums(t *testing.T) {
	sums := func(content string, r func(io.Reader) io.Reader) string {
		h, _, s := scan(t, r(strings.NewReader(content)))
		return fmt.Sprintf("%x %x", h.Sum, s.Sum())
	}
	whole := func(r io.Reader) io.Reader { return r }
	same := sums("Received: 1\r\nSubject: a\r\n\r\nbody\r\n", whole)
	if got := sums("Received: 2\r\n x\r\nDate: now\r\nSubject: a\r\n\r\nbody\r\n", iotest.OneByteReader); got != same {
		t.Error("a Received field, the Date or the size of reads makes another message")
	}
	for _, other := range []string{"Subject: b\r\n\r\nbody\r\n", "Subject: a\r\n\r\nbody!\r\n", "Subject: a\r\n\r\n", "Subject: a\r\nbody\r\n"} {
		if sums(other, whole) == same {
			t.Errorf("%q counts as the same message", other)
		}
	}
}

func TestHeaderTooLarge(t *testing.T) {
	_, err := io.Copy(io.Discard, NewScanner(strings.NewReader(strings.Repeat("X: y\r\n", MaxHeader/6+1))))
	var reply *smtp.SMTPError
	if !errors.As(err, &reply) || reply.Code != 552 {
		t.Errorf("got %v, want 552", err)
	}
	if _, err := io.Copy(io.Discard, NewScanner(strings.NewReader(strings.Repeat("word ", MaxHeader)))); err != nil {
		t.Errorf("a large body without header: %v", err)
	}
}

// checklist 86, 88, 89
func TestFields(t *testing.T) {
	stamp := Stamp{
		Host: "mx.example.org", Hello: "laptop", With: "ESMTPSA", TLS: "TLS 1.3 TLS_AES_128_GCM_SHA256", Device: "alices-laptop", ID: "0123456789abcdef",
		For: "bob@example.net", Time: time.Date(2026, 11, 24, 10, 0, 0, 0, time.FixedZone("", 3600)), Date: true, MessageID: true,
	}
	want := "Received: from laptop by mx.example.org with ESMTPSA\r\n" +
		"\t(TLS 1.3 TLS_AES_128_GCM_SHA256) (device alices-laptop) id 0123456789abcdef\r\n" +
		"\tfor <bob@example.net>; Tue, 24 Nov 2026 09:00:00 +0000\r\n" +
		"Date: Tue, 24 Nov 2026 09:00:00 +0000\r\n" +
		"Message-ID: <0123456789abcdef@mx.example.org>\r\n"
	if diff := cmp.Diff(want, string(stamp.Fields())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// checklist 89: whatever the client calls itself, Received stays one field with balanced comments and short lines.
func TestHostileHello(t *testing.T) {
	for _, hello := range []string{"", "[10.0.0.5]", "a)(b", "x\r\nBcc: y@z", "\x00\x1b[31m", "ü.example", "a;b", strings.Repeat("x", 5000), "a..b_c", `"q\"`} {
		s := Stamp{Host: "h.example", Hello: hello, Device: hello, Addr: netip.MustParseAddr("2001:db8::1"), With: "ESMTPSA", ID: "1", For: "\"a>\r\nb\"@c", Time: time.Unix(0, 0)}
		fields := string(s.Fields())
		m, err := mail.ReadMessage(strings.NewReader(fields + "\r\n"))
		if err != nil || len(m.Header) != 1 || len(m.Header["Received"]) != 1 {
			t.Errorf("%q: %v %v", hello, err, m)
			continue
		}
		if value := m.Header.Get("Received"); strings.Count(value, "(") != strings.Count(value, ")") || strings.Count(value, ";") != 1 || strings.Contains(value, "for") {
			t.Errorf("%q: %q", hello, value)
		}
		for line := range strings.Lines(fields) {
			if len(line) > 998+2 {
				t.Errorf("%q: a line of %d octets", hello, len(line))
			}
		}
	}
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte("From: a@b\r\nBcc: c\r\n d\r\n\r\nbody\r\n"), 3)
	f.Add([]byte("\r\n"), 1)
	f.Fuzz(func(t *testing.T, content []byte, cut int) {
		whole, passed, s := scan(t, bytes.NewReader(content))
		if !bytes.Equal(passed, content) {
			t.Fatal("the content was changed")
		}
		if cut < 0 || cut > len(content) {
			return
		}
		parts, _, p := scan(t, io.MultiReader(bytes.NewReader(content[:cut]), bytes.NewReader(content[cut:])))
		if diff := cmp.Diff(whole, parts); diff != "" || s.Sum() != p.Sum() {
			t.Errorf("cut at %d (-whole +parts):\n%s", cut, diff)
		}
		for _, b := range whole.Bcc {
			if name := strings.ToLower(string(fieldName(content[b.From:b.To]))); name != "bcc" && name != "resent-bcc" {
				t.Errorf("span %v is %q", b, content[b.From:b.To])
			}
		}
	})
}
