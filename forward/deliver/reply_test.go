package deliver

import (
	"bufio"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
)

// checklist 102; attacks 11, 34, 54: what a hop says is bounded and printable, or no reply at all.
func TestReply(t *testing.T) {
	e := func(code, a, b, c int, text string) smtp.SMTPError {
		return smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: text}
	}
	for in, want := range map[string]smtp.SMTPError{
		"250 2.1.5 ok\r\n": e(250, 2, 1, 5, "ok"),
		"250 ok\n":         e(250, 2, 0, 0, "ok"),
		"250\r\n":          e(250, 2, 0, 0, ""),
		"250 \r\n":         e(250, 2, 0, 0, ""),
		"550-5.1.1 no such\r\n550-5.1.1\r\n550 5.1.1 user\r\n": e(550, 5, 1, 1, "no such user"),
		"550 4.1.1 odd class\r\n":                              e(550, 5, 0, 0, "4.1.1 odd class"),
		"550 5.1.1234 long\r\n":                                e(550, 5, 0, 0, "5.1.1234 long"),
		"550 5.7.999\r\n":                                      e(550, 5, 7, 999, ""),
		"550 a\tb\x1b[31m\x00\x7f\xff\u2028\u202eé\r\n":        e(550, 5, 0, 0, "a b?[31m?????é"),
		"550 a\rb\r\r\n":                                       e(550, 5, 0, 0, "a?b"),
		"550 " + strings.Repeat("x", 4000) + "\r\n":            e(550, 5, 0, 0, strings.Repeat("x", 508)),
	} {
		r, err := readReply(bufio.NewReader(strings.NewReader(in)))
		if diff := cmp.Diff(want, r.smtpError()); diff != "" || err != nil {
			t.Errorf("%.80q: %v %s", in, err, diff)
		}
	}
	for _, in := range []string{"25 x\r\n", "150 x\r\n", "650 x\r\n", "2x0 x\r\n", "250x\r\n", "\r\n", " 250 x\r\n", "250-a\r\n251 b\r\n",
		strings.Repeat("250-x\r\n", 101), "250-" + strings.Repeat("x", 70000)} {
		if r, err := readReply(bufio.NewReader(strings.NewReader(in))); !errors.Is(err, errReply) {
			t.Errorf("%.80q: %v %v", in, r, err)
		}
	}
	if _, err := readReply(bufio.NewReader(strings.NewReader("250 cut o"))); err == nil || errors.Is(err, errReply) {
		t.Error(err)
	}
}

func FuzzReply(f *testing.F) {
	f.Add("250-2.0.0 a\r\n250 2.0.0 b\r\n")
	f.Add("550 \xff\x00\x1b\r\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := readReply(bufio.NewReader(strings.NewReader(in)))
		if err != nil {
			return
		}
		e := r.smtpError()
		if e.Code < 200 || e.Code > 599 || e.EnhancedCode[0] != e.Code/100 || len(e.Message) > maxReplyText+4 || !utf8.ValidString(e.Message) {
			t.Errorf("%q: %#v", in, e)
		}
		if strings.ContainsFunc(e.Message, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("%q: %q is not printable", in, e.Message)
		}
	})
}

func FuzzWritable(f *testing.F) {
	f.Add(`"a> <b"@x`)
	f.Add("a@x> SIZE=1")
	f.Fuzz(func(t *testing.T, address string) {
		if !writable(address) {
			return
		}
		quoted := false
		for i := 0; i < len(address); i++ {
			switch c := address[i]; {
			case c < ' ' || c == 0x7f:
				t.Fatalf("%q: control character", address)
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case !quoted && (c == '>' || c == '<' || c == ' '):
				t.Fatalf("%q: ends its brackets", address)
			}
		}
		if quoted {
			t.Fatalf("%q: open quote", address)
		}
	})
}

func TestXtext(t *testing.T) {
	c := &conn{}
	for _, tt := range []struct {
		original string
		utf8     bool
		want     string
	}{
		{"a+b=c d@x\r\n", false, "rfc822;a+2Bb+3Dc+20d@x+0D+0A"},
		{"ä\\+@x", false, `utf-8;\x{E4}\x{5C}\x{2B}@x`},
		{"ä\\+@x", true, `utf-8;ä\x{5C}\x{2B}@x`},
		{"\xff", true, ""},
	} {
		c.utf8 = tt.utf8
		if got := c.original(&Recipient{Original: tt.original}); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.original, got, tt.want)
		}
	}
}
