package doctor

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hears is a talk in which the server has said text and closed.
func hears(t *testing.T, text string) *talk {
	t.Helper()
	conn, other := net.Pipe()
	t.Cleanup(func() { conn.Close(); other.Close() })
	return &talk{conn: conn, in: bufio.NewReaderSize(strings.NewReader(text), maxReplyLine)}
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"220 mx ESMTP\r\n":                   "220 mx ESMTP",
		"250-mx\r\n250-SIZE 1\r\n250 OK\r\n": "250 mx / SIZE 1 / OK",
		"250\r\n":                            "250",
		"250 bare LF\n":                      "250 bare LF",
		"550 \x1b[31mred\x00\r\n":            "550 ?[31mred?",
		"":                                   "EOF",
		"250-mx\r\n":                         "EOF",
		"25\r\n":                             `an answer that is not SMTP: "25"`,
		"HTTP/1.1 400 Bad Request\r\n":       `an answer that is not SMTP: "HTTP/1.1 400 Bad Request"`,
		"-25 no\r\n":                         `an answer that is not SMTP: "-25 no"`,
		"250_no\r\n":                         `an answer that is not SMTP: "250_no"`,
		"220 " + strings.Repeat("x", 5000) + "\r\n":  "a reply line of more than 4096 octets",
		strings.Repeat("250-more\r\n", 101) + "250 ": "a reply of more than 100 lines",
	} {
		r, err := hears(t, text).read(time.Second)
		got := r.text()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.30q: %q, want %q", text, got, want)
		}
	}
}

func TestExtensions(t *testing.T) {
	t.Parallel()
	conn, server := net.Pipe()
	defer server.Close()
	tk := newTalk(t.Context(), conn)
	defer tk.close()
	go func() {
		bufio.NewReader(server).ReadString('\n')
		server.Write([]byte("250-mx\r\n250-auth=LOGIN\r\n250-AUTH PLAIN LOGIN\r\n250-size  1000\r\n250 8BITMIME\r\n"))
	}()
	if _, err := tk.ehlo(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"AUTH": "LOGIN PLAIN LOGIN", "SIZE": "1000", "8BITMIME": ""}
	if diff := cmp.Diff(want, tk.ext); diff != "" {
		t.Error(diff)
	}
}

func TestMechanisms(t *testing.T) {
	t.Parallel()
	many := ""
	for i := range 3000 {
		many += fmt.Sprintf(" M%d", i)
	}
	for params, want := range map[string]int{"": 0, "PLAIN LOGIN plain login": 2, strings.Repeat("M", 4000) + " PLAIN": 1, many: maxMechanisms} {
		if got := (&talk{ext: map[string]string{"AUTH": params}}).mechanisms(); len(got) != want {
			t.Errorf("%.40q: %d mechanisms, want %d: %q", params, len(got), want, got)
		}
	}
}

// FuzzReply: whatever a server says, what is shown of it is one bounded line that a terminal can take.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"220 mx\r\n", "250-a\r\n250 b\r\n", "55", "250 \xff\u202e\r\n", "\n", "250-\n250\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := hears(t, text).read(time.Second)
		shown := r.text()
		if err != nil {
			shown = errorText(err)
		}
		if len(shown) > 2*maxQuote || strings.ContainsFunc(shown, func(c rune) bool { return !printable(c) }) {
			t.Errorf("%q is shown as %q", text, shown)
		}
		if err == nil && (r.code < 200 || r.code > 599 || len(r.lines) == 0 || len(r.lines) > maxReplyLines) {
			t.Errorf("%q is read as %+v", text, r)
		}
	})
}
