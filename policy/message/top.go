package message

import (
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
)

// A Stamp is what the fields that the server adds say.
type Stamp struct {
	Host      string     // this server
	Hello     string     // what the client called itself; anything
	Addr      netip.Addr // of the client; the zero Addr is left out
	With      string     // ESMTPSA or UTF8SMTPSA (RFC 3848, RFC 6531)
	TLS       string     // version and suite; "" is left out
	Device    string     // which of its author's devices sent it; "" is left out
	ID        string
	For       string // the only recipient; "" if there are several
	Time      time.Time
	Date      bool // add Date
	MessageID bool // add Message-ID
	Blank     bool // end with an empty line, because the message has no header
}

// maxLine is the length of a line, without CRLF, that RFC 5322 §2.1.1 recommends not to exceed.
const maxLine = 78

// Fields are the fields that go on top of the message, CRLF lines: Received (RFC 5321 §4.4), and Date and Message-ID if asked for
// (RFC 6409 §8.2, §8.3). Who logged in is not told, but for the
// name of the device.
func (s *Stamp) Fields() []byte {
	date := s.Time.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700")
	var b folder
	b.WriteString("Received:")
	b.word("from " + atom(s.Hello))
	if s.Addr.IsValid() {
		b.word("([" + literal(s.Addr) + "])")
	}
	b.word("by " + atom(s.Host))
	b.word("with " + s.With)
	if s.TLS != "" {
		words := strings.Fields(s.TLS)
		for i, w := range words {
			words[i] = atom(w)
		}
		b.word("(" + strings.Join(words, " ") + ")")
	}
	if s.Device != "" {
		b.word("(device " + atom(s.Device) + ")")
	}
	b.word("id " + s.ID)
	if s.For != "" && len(s.For) <= maxLine-8 && plain(s.For) {
		b.word("for <" + s.For + ">")
	}
	b.WriteString(";")
	b.word(date)
	b.WriteString("\r\n")
	if s.Date {
		b.WriteString("Date: " + date + "\r\n")
	}
	if s.MessageID {
		b.WriteString("Message-ID: <" + s.ID + "@" + atom(s.Host) + ">\r\n")
	}
	if s.Blank {
		b.WriteString("\r\n")
	}
	return []byte(b.String())
}

// folder writes words and folds before one that does not fit into the line.
type folder struct {
	strings.Builder
	line int // where the current line begins
}

func (f *folder) word(w string) {
	const room = 1 // for the semicolon
	if f.Len()-f.line+1+len(w)+room > maxLine {
		f.WriteString("\r\n\t")
		f.line = f.Len() - 1
		f.WriteString(w)
		return
	}
	f.WriteString(" " + w)
}

const maxAtom = 64

// atom makes a word that ends neither a comment nor a line: of anything but letters, digits and a few signs stays "?".
func atom(s string) string {
	if s == "" {
		return "unknown"
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune(".-_:[]/", r):
			return r
		}
		return '?'
	}, s)
	return clean[:min(len(clean), maxAtom)]
}

// literal is an address in the form of RFC 5321 §4.1.3.
func literal(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return "IPv6:" + a.String()
	}
	return a.String()
}

// plain tells that an address can stand between < and > as it is.
func plain(address string) bool {
	return utf8.ValidString(address) && !strings.ContainsFunc(address, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == '<' || r == '>' || r == '(' || r == ')' || r == '\\' || r == '"'
	})
}
