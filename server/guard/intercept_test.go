package guard

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A listener at the door: it writes down what it is asked and told, and answers what a test wants.
type eavesdropper struct {
	mu     sync.Mutex
	heard  []string
	answer map[string]*Answer // by what is written down
}

func (e *eavesdropper) note(format string, args ...any) *Answer {
	e.mu.Lock()
	defer e.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	e.heard = append(e.heard, line)
	return e.answer[line]
}

var points = map[Point]string{AtAccept: "accept", AtGreeting: "greeting", AtHandshake: "handshake", AtCommand: "command", AtChunk: "chunk", AtResponse: "response", AtContent: "content"}

func (e *eavesdropper) Ask(m Moment) *Answer {
	words := []string{points[m.At]}
	switch m.At {
	case AtCommand, AtChunk, AtResponse:
		words = append(words, m.Verb+"|"+string(m.Line))
		if m.Fault != "" {
			words = append(words, "["+m.Fault+"]")
		}
	case AtContent:
		words = append(words, fmt.Sprint(m.Size))
	}
	return e.note("%s", strings.Join(words, " "))
}

func (e *eavesdropper) Reply(code string, texts []string) *Answer {
	return e.note("reply %s %d", code, len(texts))
}
func (e *eavesdropper) Handshake(err error)   { e.note("shaken %t", err == nil) }
func (e *eavesdropper) Violation(what string) { e.note("violation %s", what) }
func (e *eavesdropper) Closed(err error)      { e.note("closed %v", err) }

func tapped(t *testing.T, answers map[string]*Answer) (*rig, *eavesdropper) {
	e := &eavesdropper{answer: answers}
	return newRig(t, &Guard{Intercept: func(*Conn) Interceptor { return e }}, false, false), e
}

// All is told in the order in which it is done, however it was sent.
func TestInterceptorHearsAll(t *testing.T) {
	t.Parallel()
	r, e := tapped(t, nil)
	k := r.clear()
	k.say("STARTTLS", "220")
	k = k.startTLS()
	k.say("EHLO x", "250-")
	k.say("AUTH PLAIN", "334")
	k.say("AGIAc2VjcmV0", "235")
	k.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 3\r\na: BDAT 3 LAST\r\nb\r\n")
	for _, want := range []string{"250", "250", "250", "250"} {
		k.want(want)
	}
	k.say("BAD\x01", "500")
	k.say("QUIT", "221")
	k.wantEnd()
	k.Close()
	r.g.drainAll()
	want := []string{"accept", "greeting", "reply 220 1", "command STARTTLS|STARTTLS", "reply 220 1", "handshake", "shaken true", "command EHLO|EHLO x", "reply 250 9",
		"command AUTH|AUTH PLAIN", "reply 334 1", "response |AGIAc2VjcmV0", "reply 235 1",
		"command MAIL|MAIL FROM:<a@b.test>", "reply 250 1", "command RCPT|RCPT TO:<c@d.test>", "reply 250 1", "command BDAT|BDAT 3", "reply 250 1", "chunk BDAT|BDAT 3 LAST",
		"content 6", "reply 250 1", "command |BAD\x01 [control character]", "reply 500 1", "command QUIT|QUIT", "reply 221 1"}
	e.mu.Lock()
	defer e.mu.Unlock()
	if diff := cmp.Diff(want, e.heard[:min(len(want), len(e.heard))]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// An answer comes at the turn of its command, and what it stands for does not happen.
func TestInterceptorAnswers(t *testing.T) {
	t.Parallel()
	say := func(lines ...string) *Answer { return &Answer{Reply: lines} }
	r, _ := tapped(t, map[string]*Answer{
		"greeting":                         {Raw: []byte("220 hello\r\n")},
		"command RCPT|RCPT TO:<no@d.test>": say("451-4.7.1 one", "451 4.7.1 two"),
		"command BDAT|BDAT 6":              say("451 4.0.0 no chunk"),
		"content 3":                        say("452 4.0.0 no message"),
		"reply 214 1":                      say("214 helpless"),
		"command RSET|RSET":                say("421 4.0.0 enough"),
	})
	k := newClient(t, r.dial())
	k.want("220 hello")
	k.say("STARTTLS", "220")
	k = k.startTLS()
	k.say("EHLO x", "250-")
	k.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<no@d.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 6\r\nQUIT\r\nHELP\r\n")
	for _, want := range []string{"250 2.1.0", "451-4.7.1 one\r\n451 4.7.1 two\r\n", "250 2.1.5", "451 4.0.0 no chunk", "214 helpless"} {
		k.want(want)
	}
	k.say("DATA", "354")
	k.say("a\r\n.", "452 4.0.0 no message")
	k.envelope()
	k.say("BDAT 3 LAST\r\na", "452 4.0.0 no message")
	if _, _, messages := r.b.got(); len(messages) != 0 {
		t.Errorf("messages were taken: %q", messages)
	}
	k.say("RSET", "421 4.0.0 enough")
	k.wantEnd()
}

// A connection is ended in the interceptor's own way, when all before has been said.
func TestInterceptorEnds(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]string{"a command": "command RCPT|RCPT TO:<c@d.test>", "the end of content": "content 3", "a reply": "reply 354 1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, e := tapped(t, map[string]*Answer{at: {End: func(socket net.Conn) { socket.Close() }}})
			k := r.hello()
			k.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n")
			k.want("250 2.1.0")
			io.WriteString(k, "a\r\n.\r\n") // nobody may be there
			rest, err := io.ReadAll(k.r)
			if err != nil || strings.Contains(string(rest), "250 2.0.0") {
				t.Errorf("after it came %q, %v", rest, err)
			}
			if _, _, messages := r.b.got(); len(messages) != 0 {
				t.Errorf("messages were taken: %q", messages)
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if last := e.heard[len(e.heard)-1]; last != at && !strings.HasPrefix(last, "closed closed by an interceptor") {
				t.Errorf("after it came %q", last)
			}
		})
	}
}
