package dsn

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
)

func sample() *Report {
	return &Report{
		ID: "0123456789abcdef", Host: "mx.example.org", To: "alice@example.org", Action: Failed,
		Time: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC), MessageID: "fedcba9876543210", EnvelopeID: "QQ314159",
		Arrived: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), RetryUntil: time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC),
		Recipients: []Recipient{{Address: "bob@example.net", OriginalType: smtp.DSNAddressTypeRFC822, Original: "bob+x@example.com",
			Hop: "mail.example.net [192.0.2.1]:25", Reply: smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}}},
		Content: []byte("Subject: s\r\nMessage-ID: <1@example.org>\r\n\r\nbody\r\n"), Whole: true,
	}
}

// parts takes a report apart with other people's readers.
func parts(t testing.TB, r *Report) (mail.Header, []string, []textproto.MIMEHeader) {
	raw := r.Bytes()
	for l := range bytes.Lines(raw) {
		if !bytes.HasSuffix(l, []byte("\r\n")) || bytes.ContainsAny(l[:len(l)-2], "\r\n") && r.Whole == false {
			t.Fatalf("a line does not end in CRLF: %q", l)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" {
		t.Fatalf("Content-Type is %q (%v)", m.Header.Get("Content-Type"), err)
	}
	var bodies []string
	var headers []textproto.MIMEHeader
	reader := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := reader.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		bodies, headers = append(bodies, string(body)), append(headers, p.Header)
	}
	if len(bodies) != 3 {
		t.Fatalf("the report has %d parts: %q", len(bodies), raw)
	}
	return m.Header, bodies, headers
}

// checklist 105: the frame and the fields.
func TestFailure(t *testing.T) {
	h, bodies, headers := parts(t, sample())
	if h.Get("Auto-Submitted") != "auto-replied" || h.Get("To") != "<alice@example.org>" || h.Get("In-Reply-To") != "<1@example.org>" {
		t.Errorf("header is %v", h)
	}
	want := "Reporting-MTA: dns; mx.example.org\r\nOriginal-Envelope-Id: QQ314159\r\nArrival-Date: Tue, 24 Nov 2026 09:00:00 +0000\r\n\r\n" +
		"Original-Recipient: rfc822; bob+x@example.com\r\nFinal-Recipient: rfc822; bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n" +
		"Remote-MTA: dns; mail.example.net\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\nLast-Attempt-Date: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
	if diff := cmp.Diff(want, bodies[1]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(bodies[0], "<bob@example.net>") || !strings.Contains(bodies[0], "no such user") || !strings.Contains(bodies[0], "fedcba9876543210") {
		t.Errorf("text is %q", bodies[0])
	}
	if headers[2].Get("Content-Type") != "message/rfc822" || bodies[2] != string(sample().Content) {
		t.Errorf("%v: %q", headers[2], bodies[2])
	}
}

// checklist 107, 108
func TestVariants(t *testing.T) {
	r := sample()
	r.Action, r.Whole, r.Content = Delayed, false, []byte("Subject: s\r\n")
	r.Recipients[0].Reply = smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 4, 3}, Message: "DNS gave no answer"}
	r.Recipients[0].Hop = ""
	_, bodies, headers := parts(t, r)
	if headers[2].Get("Content-Type") != "text/rfc822-headers" || !strings.Contains(bodies[1], "Will-Retry-Until: Sun, 29 Nov 2026") ||
		!strings.Contains(bodies[1], "Action: delayed\r\nStatus: 4.4.3\r\nDiagnostic-Code: X-smarthost;") {
		t.Errorf("%v %q", headers, bodies)
	}
	r = sample()
	r.Action, r.Recipients[0].Reply = Relayed, smtp.SMTPError{Code: 250, EnhancedCode: smtp.NoEnhancedCode, Message: "ok"}
	if _, bodies, _ := parts(t, r); !strings.Contains(bodies[1], "Action: relayed\r\nStatus: 2.0.0\r\n") {
		t.Errorf("%q", bodies[1])
	}
	r = sample() // RFC 6533
	r.Recipients[0].Address = "jürgen@example.net"
	_, bodies, headers = parts(t, r)
	if headers[1].Get("Content-Type") != "message/global-delivery-status" || headers[2].Get("Content-Type") != "message/global" ||
		!strings.Contains(bodies[1], "Final-Recipient: utf-8; jürgen@example.net\r\n") {
		t.Errorf("%v %q", headers, bodies)
	}
}

// What is not ASCII is declared, and stays out of the part for programs (RFC 3464 §2.1).
func TestForeignLettersInAReply(t *testing.T) {
	r := sample()
	r.Recipients[0].Reply.Message = "Empfänger unbekannt"
	h, bodies, headers := parts(t, r)
	if h.Get("Content-Transfer-Encoding") != "8bit" || headers[0].Get("Content-Transfer-Encoding") != "8bit" || !strings.Contains(bodies[0], "Empfänger") {
		t.Errorf("%v %v %q", h, headers[0], bodies[0])
	}
	if headers[1].Get("Content-Type") != "message/delivery-status" || !ascii([]byte(bodies[1])) || !strings.Contains(bodies[1], "Empf?nger") {
		t.Errorf("%v %q", headers[1], bodies[1])
	}
	r = sample()
	r.UTF8 = true
	if _, _, headers := parts(t, r); headers[2].Get("Content-Type") != "message/global" {
		t.Errorf("a message that needed SMTPUTF8 is returned as %v", headers[2])
	}
}

// Nothing that others said gets out of its line: the report keeps its parts and its fields.
func FuzzHostile(f *testing.F) {
	for _, s := range []string{"ok", "x\r\n.\r\nMAIL FROM:<a@b>", "a\r\nAction: delivered", "\x00\x1b[31m\u202e", "\xff\xfe", strings.Repeat("x", 5000), "a> SIZE=1 <b", "\r\n\r\n--=_"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := sample()
		r.To, r.EnvelopeID = s, s
		r.Recipients[0] = Recipient{Address: s, Original: s, Hop: s, Reply: smtp.SMTPError{Code: 550, Message: s}}
		r.Content, r.Whole = []byte("Subject: s\r\n"), false
		h, bodies, _ := parts(t, r)
		if len(h) > 10 {
			t.Errorf("header is %v", h)
		}
		fields := textproto.NewReader(bufio.NewReader(strings.NewReader(bodies[1] + "\r\n")))
		perMessage, err := fields.ReadMIMEHeader()
		if err != nil || len(perMessage) > 3 {
			t.Errorf("per-message fields are %v (%v)", perMessage, err)
		}
		perRecipient, err := fields.ReadMIMEHeader()
		if err != nil && err != io.EOF || len(perRecipient) > 7 || perRecipient.Get("Action") != "failed" {
			t.Errorf("per-recipient fields are %v (%v)", perRecipient, err)
		}
		for l := range bytes.Lines(r.Bytes()) {
			if len(l) > 1000 {
				t.Errorf("a line of %d octets", len(l))
			}
		}
	})
}
