package dsn

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// An Action is what became of a recipient (RFC 3464 §2.3.3).
type Action string

// The actions that a relay reports.
const (
	Failed  Action = "failed"
	Delayed Action = "delayed"
	Relayed Action = "relayed" // handed to a server that does not send reports of success
)

// A Recipient is one of those the report speaks of.
type Recipient struct {
	Address      string
	OriginalType smtp.DSNAddressType // of ORCPT; "" = none was given
	Original     string
	Hop          string // who answered, "" if nobody did
	Reply        smtp.SMTPError
}

// A Report is one notification. All recipients share its action.
type Report struct {
	ID         string // of the report itself
	Host       string // this server
	To         string // the reverse-path of the message
	Action     Action
	Time       time.Time
	Recipients []Recipient

	MessageID  string    // of the message that the report is about, as the queue calls it
	EnvelopeID string    // ENVID, decoded; "" = none was given
	Arrived    time.Time // when the message came
	RetryUntil time.Time // for Delayed: when delivery is given up

	Content []byte // of the message, or just its header; whole lines, CRLF
	Whole   bool   // Content is the whole message
	UTF8    bool   // the message needed SMTPUTF8 (RFC 6531), so that its header may be UTF-8
}

// Bytes is the report as a message, CRLF lines.
func (r *Report) Bytes() []byte {
	text, status := r.text(), r.status()
	kind := "delivery-status"
	if r.international() {
		kind = "global-delivery-status" // RFC 6533 §3
	}
	boundary := r.boundary()
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", line(r.Host))
	fmt.Fprintf(&b, "To: <%s>\r\n", address(r.To))
	fmt.Fprintf(&b, "Subject: %s\r\n", r.subject())
	fmt.Fprintf(&b, "Date: %s\r\n", formatDate(r.Time))
	fmt.Fprintf(&b, "Message-ID: <%s@%s>\r\n", line(r.ID), line(r.Host))
	if parent := originalID(r.Content); parent != "" {
		fmt.Fprintf(&b, "In-Reply-To: %s\r\nReferences: %s\r\n", parent, parent)
	}
	b.WriteString("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n")
	fmt.Fprintf(&b, "Content-Type: multipart/report; report-type=%s;\r\n\tboundary=\"%s\"\r\n", kind, boundary)
	if !ascii(text) || !ascii(status) || !ascii(r.Content) {
		b.WriteString("Content-Transfer-Encoding: 8bit\r\n")
	}
	b.WriteString("\r\n")
	part(&b, boundary, "text/plain; charset=utf-8", text)
	part(&b, boundary, "message/"+kind, status)
	part(&b, boundary, r.contentType(), r.Content)
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes()
}

// part writes one part of the report, its encoding as its octets need it (RFC 2045 §6).
func part(b *bytes.Buffer, boundary, kind string, content []byte) {
	fmt.Fprintf(b, "--%s\r\nContent-Type: %s\r\n", boundary, kind)
	if !ascii(content) {
		b.WriteString("Content-Transfer-Encoding: 8bit\r\n")
	}
	b.WriteString("\r\n")
	b.Write(content)
	if !bytes.HasSuffix(content, []byte("\r\n")) {
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n") // belongs to the boundary (RFC 2046 §5.1.1)
}

func (r *Report) contentType() string {
	switch {
	case r.Whole && (r.UTF8 || r.international()):
		return "message/global"
	case r.Whole:
		return "message/rfc822"
	case r.UTF8 || r.international():
		return "message/global-headers"
	}
	return "text/rfc822-headers"
}

// boundary stands in no line of the content, since it is the content's hash.
func (r *Report) boundary() string {
	sum := sha256.Sum256(append([]byte(r.ID+"\x00"), r.Content...))
	return "=_" + hex.EncodeToString(sum[:16])
}

// international tells that an address cannot be written in ASCII.
func (r *Report) international() bool {
	for _, to := range r.Recipients {
		if !ascii([]byte(to.Address)) || !ascii([]byte(to.Original)) {
			return true
		}
	}
	return !ascii([]byte(r.To))
}

func (r *Report) subject() string {
	switch r.Action {
	case Failed:
		return "Your message could not be delivered"
	case Delayed:
		return "Your message is delayed"
	}
	return "Your message has been handed on"
}

// text is the part for people.
func (r *Report) text() []byte {
	b := new(bytes.Buffer)
	fmt.Fprintf(b, "This is the mail system at %s.\r\n\r\n", line(r.Host))
	switch r.Action {
	case Failed:
		b.WriteString("Your message could not be delivered to:\r\n\r\n")
	case Delayed:
		b.WriteString("Your message could not be delivered yet. You need not send it again; it is tried on\r\n")
		fmt.Fprintf(b, "until %s. It waits for:\r\n\r\n", formatDate(r.RetryUntil))
	case Relayed:
		b.WriteString("Your message was handed to a server that does not report delivery, so that this is\r\nthe last that you hear of it, for:\r\n\r\n")
	}
	for _, to := range r.Recipients {
		fmt.Fprintf(b, "    <%s>\r\n", address(to.Address))
		if to.Hop != "" {
			fmt.Fprintf(b, "    %s answered:\r\n", line(to.Hop))
		}
		fmt.Fprintf(b, "    %s\r\n\r\n", line(replyText(to.Reply)))
	}
	if r.Action == Failed {
		b.WriteString("The answer above says why. If it names the address, check how it is spelt; if it names\r\n" +
			"the message, change that and send it again; else the recipient's postmaster can help.\r\n\r\n")
	}
	fmt.Fprintf(b, "Please quote %s when you ask about it.\r\n", line(r.MessageID))
	return b.Bytes()
}

// status is the part for programs (RFC 3464 §2): ASCII, unless an address is not (RFC 6533 §3).
func (r *Report) status() []byte {
	b := new(bytes.Buffer)
	line := line
	if !r.international() {
		line = asciiLine
	}
	fmt.Fprintf(b, "Reporting-MTA: dns; %s\r\n", line(r.Host))
	if r.EnvelopeID != "" {
		fmt.Fprintf(b, "Original-Envelope-Id: %s\r\n", line(r.EnvelopeID))
	}
	fmt.Fprintf(b, "Arrival-Date: %s\r\n", formatDate(r.Arrived))
	for _, to := range r.Recipients {
		b.WriteString("\r\n")
		if to.Original != "" {
			fmt.Fprintf(b, "Original-Recipient: %s; %s\r\n", addressType(to), line(to.Original))
		}
		kind := "rfc822"
		if !ascii([]byte(to.Address)) {
			kind = "utf-8"
		}
		fmt.Fprintf(b, "Final-Recipient: %s; %s\r\n", kind, address(to.Address))
		fmt.Fprintf(b, "Action: %s\r\n", r.Action)
		fmt.Fprintf(b, "Status: %s\r\n", statusCode(to.Reply))
		if to.Hop != "" {
			host, _, _ := strings.Cut(to.Hop, " ")
			fmt.Fprintf(b, "Remote-MTA: dns; %s\r\n", line(host))
			fmt.Fprintf(b, "Diagnostic-Code: smtp; %s\r\n", line(replyText(to.Reply)))
		} else {
			fmt.Fprintf(b, "Diagnostic-Code: X-smarthost; %s\r\n", line(to.Reply.Message))
		}
		fmt.Fprintf(b, "Last-Attempt-Date: %s\r\n", formatDate(r.Time))
		if r.Action == Delayed {
			fmt.Fprintf(b, "Will-Retry-Until: %s\r\n", formatDate(r.RetryUntil))
		}
	}
	return b.Bytes()
}

func addressType(to Recipient) string {
	if to.OriginalType == smtp.DSNAddressTypeUTF8 || !ascii([]byte(to.Original)) {
		return "utf-8"
	}
	return "rfc822"
}

func replyText(r smtp.SMTPError) string {
	if r.EnhancedCode == smtp.NoEnhancedCode || r.EnhancedCode == smtp.EnhancedCodeNotSet {
		return fmt.Sprintf("%d %s", r.Code, r.Message)
	}
	return fmt.Sprintf("%d %d.%d.%d %s", r.Code, r.EnhancedCode[0], r.EnhancedCode[1], r.EnhancedCode[2], r.Message)
}

// statusCode is the enhanced code, or what the class of the code says (RFC 3463).
func statusCode(r smtp.SMTPError) string {
	e := r.EnhancedCode
	if e == smtp.NoEnhancedCode || e == smtp.EnhancedCodeNotSet || e[0] != r.Code/100 {
		return fmt.Sprintf("%d.0.0", r.Code/100)
	}
	return fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2])
}

func formatDate(t time.Time) string { return t.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700") }
