package guard

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/emersion/go-smtp"
)

// checklist 75, 76, 79, 81
func TestDataUnstuffing(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	k := r.hello()
	long := strings.Repeat("x", 100_000)
	for sent, want := range map[string]string{
		"":                             "",
		"\r\n":                         "\r\n",
		"a\r\n":                        "a\r\n",
		"..\r\n":                       ".\r\n",
		"...a\r\n..b\r\n.c\r\n":        "..a\r\n.b\r\nc\r\n",
		"a.\r\n .\r\n":                 "a.\r\n .\r\n",
		"S: x\r\n\r\n" + long + "\r\n": "S: x\r\n\r\n" + long + "\r\n",
		"\xff\x01\r\n":                 "\xff\x01\r\n",
	} {
		k.envelope()
		// The next command is in the same segment as the final dot.
		k.say("DATA\r\n"+sent+".\r\nNOOP", "354 ")
		k.want("250 2.0.0")
		k.want("250 2.0.0 Ok\r\n")
		if _, _, msgs := r.b.got(); msgs[len(msgs)-1] != want {
			t.Errorf("sent %.60q, got %.60q", sent, msgs[len(msgs)-1])
		}
	}
}

const smuggled = "MAIL FROM:<smug@x.test>\r\nRCPT TO:<smug@x.test>\r\nDATA\r\nsmuggled\r\n"

// What is no end of content is none: one message, refused, and nothing of it is run.
// checklist 77, and every way to write a dot between two line ends
func TestFalseEnds(t *testing.T) {
	t.Parallel()
	for _, end := range []string{
		"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\n.\r", "\n\n.\r\n", "\r\n\x00.\r\n", "\r\n.\n", "\r\n.\r", "\r\n.\x00\r\n",
		"\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\n\r.\r\n", "\n.\r\r\n",
	} {
		r := newRig(t, &Guard{}, false, false)
		k := r.rcpt()
		k.say("DATA", "354 ")
		k.send("a: b\r\n\r\nbody" + end + smuggled + ".\r\n")
		k.want("550 5.6.0 The message has a ")
		k.want("421 4.7.0 ")
		k.wantEnd()
		wantNothing(t, r, end)

		// In a chunk nothing ends at all.
		r = newRig(t, &Guard{}, false, false)
		k = r.rcpt()
		chunk := "a: b\r\n\r\nbody" + end + smuggled
		k.send("BDAT " + strconv.Itoa(len(chunk)) + " LAST\r\n" + chunk)
		k.want("550 5.6.0 The message has a ")
		k.say("NOOP", "250 2.0.0")
		wantNothing(t, r, end)
	}
}

func wantNothing(t *testing.T, r *rig, what string) {
	t.Helper()
	from, _, msgs := r.b.got()
	if len(msgs) > 0 {
		t.Errorf("%q: a message was taken: %q", what, msgs)
	}
	for _, f := range from {
		if strings.HasPrefix(f, "smug") {
			t.Errorf("%q: content was run", what)
		}
	}
}

// The second CR of CR CR LF begins a line end, so the dot after it is the last: whoever stands before us may see it so. What
// follows may be content for the one who wrote it, and is not run.
func TestEndAfterDoubledCR(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	k := r.rcpt()
	k.say("DATA", "354 ")
	k.send("body\r\r\n.\r\nNOOP\r\n")
	k.want("550 5.6.0 The message has a bare CR")
	k.want("421 4.7.0 ")
	k.wantEnd()
}

// VT, NEL and U+2028 end no lines.
func TestOtherLineEndsAreContent(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	k := r.rcpt()
	k.say("DATA", "354 ")
	body := "a\v.\va\u0085.\u0085a\u2028.\u2028\r\n"
	k.send(body + ".\r\n")
	k.want("250 2.0.0")
	if _, _, msgs := r.b.got(); len(msgs) != 1 || msgs[0] != body {
		t.Errorf("got %q", msgs)
	}
}

// checklist 78
func TestTooLarge(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{MaxMessageSize: 100}, false, false)
	k := r.rcpt()
	k.say("DATA", "354 ")
	k.send(strings.Repeat("x", 98) + "\r\n.\r\n")
	k.want("250 2.0.0")
	k.envelope()
	k.say("DATA", "354 ")
	k.send(strings.Repeat("x", 99) + "\r\nNOOP\r\n.\r\n")
	k.want("552 5.3.4")
	k.envelope()
	k.send("BDAT 100\r\n" + strings.Repeat("x", 100))
	k.want("250 2.0.0 100 octets received")
	k.send("BDAT 6 LAST\r\nNOOP\r\n")
	k.want("552 5.3.4")
	k.send("BDAT 6 LAST\r\nNOOP\r\n")
	k.want("503 5.5.1")
	k.envelope()
	k.say("DATA", "354 ")
	k.Write(bytes.Repeat([]byte("x"), 2*slack))
	k.want("421 4.3.4")
	k.wantEnd()
	if _, _, msgs := r.b.got(); len(msgs) != 1 {
		t.Errorf("%d messages taken", len(msgs))
	}
}

// A Session that answers before it has read everything.
func TestSessionAnswersEarly(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	r.b.early = &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "full"}
	k := r.rcpt()
	k.say("DATA", "354 ")
	k.send(smuggled + ".\r\n")
	k.want("452 4.3.1 full")
	k.envelope()
	k.send("BDAT 6\r\nNOOP\r\n")
	k.want("452 4.3.1 full")
	k.send("BDAT 6 LAST\r\nNOOP\r\n")
	k.want("503 5.5.1")
	k.say("NOOP", "250")
	wantNothing(t, r, "early")
}

// However a message is refused: who goes on to send much more than is allowed is not read to the end, and is told why.
// checklist 78, 82: total bounded
func TestMuchMoreThanAllowed(t *testing.T) {
	t.Parallel()
	const much = 2*100 + slack + 2
	full := &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "full"}
	for begin, early := range map[string]*smtp.SMTPError{
		"DATA":                                   nil,
		"DATA\r\n":                               full,
		"BDAT 99999999999 LAST":                  nil,
		"BDAT 99999999999":                       full,
		"RSET\r\nBDAT 99999999999":               nil,
		"BDAT 2\r\n\r\nBDAT 99999999999":         full,
		"BDAT 2\r\n\r\nBDAT 9223372036854775807": nil, // more than that is no number
	} {
		closed := make(chan error, 1)
		r := newRig(t, &Guard{MaxMessageSize: 100, Hooks: Hooks{Closed: func(_ *Conn, err error) { closed <- err }}}, false, false)
		if early != nil {
			r.b.early = early
		}
		k := r.rcpt()
		k.send(begin + "\r\n")
		var sending sync.WaitGroup
		sending.Go(func() { io.WriteString(k, strings.Repeat("x", much)) })
		reply, err := k.read()
		for err == nil && reply[:3] != "421" {
			reply, err = k.read()
		}
		if want := "421 4.3.4 mx.test takes messages of no more than 100 octets, closing\r\n"; reply != want {
			t.Errorf("%q: got %q, %v, want %q", begin, reply, err, want)
		}
		k.Close()
		sending.Wait()
		if err := <-closed; !errors.Is(err, errProtocol) {
			t.Errorf("%q: closed: %v", begin, err)
		}
		wantNothing(t, r, begin)
	}
}

// A yes to a message that is none does not reach the client, and neither do the words of an inner error.
func TestContentHasTheLastWord(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	r.b.blind = true
	k := r.rcpt()
	k.say("DATA", "354 ")
	k.send("a\n.\r\n\r\n.\r\n")
	k.want("550 5.6.0 The message has a bare LF")
	r = newRig(t, &Guard{}, false, false)
	r.b.blind = true
	k = r.rcpt()
	k.send("BDAT 2 LAST\r\na\r")
	k.want("550 5.6.0 The message has a bare CR")

	r = newRig(t, &Guard{}, false, false)
	r.b.early = errors.New("inner words")
	k = r.rcpt()
	k.say("DATA", "354 ")
	k.send("a\r\n.\r\n")
	k.want("451 4.3.0 Local trouble")
}

func TestYesWithoutReadingIsNo(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	r.b.lazy = true
	k := r.rcpt()
	k.say("DATA", "354 ")
	k.send("x\r\n.\r\n")
	k.want("451 4.3.0")
	k.envelope()
	k.say("DATA", "354 ")
	k.send("x\n.\r\n.\r\n")
	k.want("451 4.3.0")
}

// checklist 80
func TestConnectionLostInContent(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"DATA\r\na: b\r\n\r\nhalf\r\n.", "BDAT 100 LAST\r\nhalf", "BDAT 4\r\nhalf", "BDAT 4\r\nhalfBDAT 0 LA"} {
		closed := make(chan error, 1)
		r := newRig(t, &Guard{Hooks: Hooks{Closed: func(_ *Conn, err error) { closed <- err }}}, false, false)
		k := r.rcpt()
		k.send(content)
		k.Close()
		if err := <-closed; err == nil {
			t.Error("no reason told")
		}
		if _, _, msgs := r.b.got(); len(msgs) > 0 {
			t.Errorf("%q: taken: %q", content, msgs)
		}
		r.b.mu.Lock()
		if len(r.b.errs) != 1 || !errors.Is(r.b.errs[0], ErrCut) {
			t.Errorf("%q: Content gave %v", content, r.b.errs)
		}
		r.b.mu.Unlock()
	}
}

// checklist 82
func TestBDAT(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	k := r.hello()
	k.send("BDAT 6\r\nNOOP\r\n")
	k.want("503 5.5.1 Send MAIL first")
	k.say("MAIL FROM:<a@b.test>", "250")
	k.send("BDAT 6 LAST\r\nNOOP\r\n")
	k.want("503 5.5.1 No recipient")
	k.say("RCPT TO:<c@d.test>", "250")
	k.send("BDAT 7\r\n..\r\n.\r\nBDAT 0\r\nbdat 4 last\r\na\r\nbNOOP\r\n")
	k.want("250 2.0.0 7 octets received")
	k.want("250 2.0.0 0 octets received")
	k.want("250 2.0.0")
	k.want("250 2.0.0 Ok")
	k.envelope()
	k.send("BDAT 3\r\na\r\n")
	k.want("250 2.0.0 3")
	for _, line := range []string{"DATA", "MAIL FROM:<a@b>", "RCPT TO:<a@b>", "AUTH PLAIN", "STARTTLS"} {
		k.say(line, "503 5.5.1 Not while")
	}
	k.say("NOOP", "250")
	k.say("RSET x", "501")
	k.say("EHLO", "501")
	k.say("WHAT", "500")
	k.say("NOOP \x01", "500")
	k.say("BDAT 0 LAST", "250 2.0.0")
	k.envelope()
	k.say("BDAT 0 LAST", "250 2.0.0")
	k.envelope()
	k.send("BDAT 2\r\na\rBDAT 1\r\n\nBDAT 0 LAST\r\n") // CR and LF in two chunks
	k.want("250")
	k.want("250")
	k.want("250")
	if _, _, msgs := r.b.got(); strings.Join(msgs, "|") != "..\r\n.\r\na\r\nb\r\n|a\r\n||a\r\n" {
		t.Errorf("got %q", msgs)
	}
	for _, wrong := range []string{"", "x", "-1", "+1", "1 FIRST", "1 LAST x", "99999999999999999999"} {
		k := r.rcpt()
		k.say("BDAT "+wrong, "501 5.5.4")
		k.wantEnd()
	}
}

func TestBDATTakenBack(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{"RSET": "250 2.0.0", "EHLO y": "250-mx.test", "HELO y": "250 mx.test", "QUIT": "221 2.0.0"} {
		r := newRig(t, &Guard{}, false, false)
		k := r.rcpt()
		k.send("BDAT 3\r\na\r\n" + command + "\r\n")
		k.want("250 2.0.0 3 octets")
		k.want(want)
		if command == "QUIT" {
			k.wantEnd()
		} else {
			k.say("DATA", "503 5.5.1")
		}
		r.b.mu.Lock()
		if len(r.b.errs) != 1 || !errors.Is(r.b.errs[0], ErrReset) || len(r.b.msgs) > 0 {
			t.Errorf("%s: %v, %q", command, r.b.errs, r.b.msgs)
		}
		r.b.mu.Unlock()
	}
}

// checklist 21
func TestTimeouts(t *testing.T) {
	for name, c := range map[string]struct{ send, want string }{
		"command":        {"NO", "421 4.4.2 mx.test waited too long for a command"},
		"data":           {"DATA\r\nhalf", "421 4.4.2 mx.test waited too long for the rest"},
		"chunk":          {"BDAT 9\r\nhalf", "421 4.4.2 mx.test waited too long for the rest"},
		"between chunks": {"BDAT 4\r\nhalf", "421 4.4.2 mx.test waited too long for the rest"},
		"auth":           {"RSET\r\nAUTH PLAIN\r\n", "421 4.4.2 mx.test waited too long for a command"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &Guard{}, false, true)
				k := r.rcpt()
				k.send(c.send)
				for {
					reply, err := k.read()
					if err != nil {
						t.Fatal(err)
					}
					if reply[0] == '4' {
						if !strings.HasPrefix(reply, c.want) {
							t.Errorf("got %q", reply)
						}
						break
					}
				}
				k.wantEnd()
				k.Close()
				if _, _, msgs := r.b.got(); len(msgs) > 0 {
					t.Errorf("taken: %q", msgs)
				}
			})
		})
	}
}

// naive is what scanner does, written to be read: it looks at all octets at once.
func naive(in []byte) (content []byte, read int, end, flawed bool) {
	all := append([]byte("\r\n"), in...)
	body := all
	if i := bytes.Index(all, []byte("\r\n.\r\n")); i >= 0 {
		end, read = true, i+len("\r\n.\r\n")-2
		body = all[:i+2]
	} else {
		read = len(in)
	}
	stripped := bytes.ReplaceAll(body, []byte("\r\n"), nil)
	flawed = bytes.ContainsAny(stripped, "\r\n\x00")
	content = bytes.ReplaceAll(body, []byte("\r\n."), []byte("\r\n"))[2:]
	return content, read, end, flawed
}

func FuzzScanner(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\nQUIT", ".\r\n", "..\r\n.\r\n", "a\r\r\n.\r\n", "\r\n.\r\r\n.\r\n", "\n.\n", "a\x00\r\n.\r\n"} {
		f.Add([]byte(s), uint8(1), uint8(3))
		f.Add([]byte(s), uint8(64), uint8(64))
	}
	f.Fuzz(func(t *testing.T, in []byte, step, room uint8) {
		var s scanner
		var discard scanner
		var got []byte
		dst := make([]byte, int(room)+1)
		read := 0
		for read < len(in) && !s.end {
			src := in[read:min(len(in), read+int(step)+1)]
			wrote, n := s.scan(dst, src)
			if n == 0 {
				t.Fatal("no progress")
			}
			got = append(got, dst[:wrote]...)
			read += n
		}
		_, discarded := discard.scan(nil, in)
		want, wantRead, end, flawed := naive(in)
		if s.end != end || discard.end != end || end && (read != wantRead || discarded != wantRead) {
			t.Fatalf("%q: end %v %v after %d, %d; want %v after %d", in, s.end, discard.end, read, discarded, end, wantRead)
		}
		if !end {
			return // the last octets may be held back
		}
		if (s.flaw != clean) != flawed || (discard.flaw != clean) != flawed {
			t.Fatalf("%q: flaw %v, want %v", in, s.flaw, flawed)
		}
		if !flawed && !bytes.Equal(got, want) {
			t.Fatalf("%q: got %q, want %q", in, got, want)
		}
	})
}

func FuzzChunkScanner(f *testing.F) {
	f.Add([]byte("a\r\nb"), uint8(1))
	f.Add([]byte("a\rb\n\x00\r\r\n"), uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		var s chunkScanner
		for rest := in; len(rest) > 0; {
			n := min(len(rest), int(step)+1)
			s.scan(rest[:n])
			rest = rest[n:]
		}
		s.finish()
		stripped := bytes.ReplaceAll(in, []byte("\r\n"), nil)
		if flawed := bytes.ContainsAny(stripped, "\r\n\x00"); (s.flaw != clean) != flawed {
			t.Fatalf("%q: %v, want %v", in, s.flaw, flawed)
		}
		if s.flaw == clean && s.lf != bytes.HasSuffix(in, []byte("\r\n")) {
			t.Fatalf("%q: ends with CRLF: %v", in, s.lf)
		}
	})
}

func BenchmarkContent(b *testing.B) {
	for name, line := range map[string]int{"lines of 76": 76, "lines of 998": 998} {
		b.Run(name, func(b *testing.B) {
			in := bytes.Repeat([]byte(strings.Repeat("x", line)+"\r\n"), (bufferSize/(line+2))+1)[:bufferSize]
			dst := make([]byte, 32<<10)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				var s scanner
				s.scan(dst, in)
			}
		})
	}
	b.Run("whole message of 100 KB over TLS", func(b *testing.B) {
		r := newRig(b, &Guard{}, false, false)
		k := r.hello()
		msg := []byte("MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 1282) + ".\r\n")
		b.SetBytes(int64(len(msg)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Write(msg); err != nil {
				b.Fatal(err)
			}
			for range 4 {
				if _, err := k.r.ReadSlice('\n'); err != nil {
					b.Fatal(err)
				}
			}
			r.b.msgs = r.b.msgs[:0]
		}
	})
}
