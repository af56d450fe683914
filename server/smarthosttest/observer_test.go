package smarthosttest

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-1397b510/smarthost/server/guard"
)

// No password gets into a transcript, in whatever way a client sends it, and the user's name does.
func TestSecretsAreVeiled(t *testing.T) {
	t.Parallel()
	const right = "AGFsaWNlAGNvcnJlY3QgaG9yc2U=" // PLAIN of alice
	lines := []string{
		"@connect", "S: 220 .*", "C: AUTH PLAIN " + right, "S: 530 .*", "C: " + right, "S: 530 .*", "C: AUTH LOGIN", "S: 530 .*", "C: YWxpY2U=", "S: 530 .*", "C: Y29ycmVjdCBob3JzZQ==", "S: 530 .*",
		"@tls", "S: 220 .*", "@ehlo x", "C: auth\tplain " + right, "S: 500 .*", "C: AUTH NTLM " + right, "S: 504 .*", "C: AUTH PLAIN", "S: 334 .*", "C: " + right, "S: 235 .*",
		"@tls", "S: 220 .*", "@ehlo x", "C: auth login", "S: 334 .*", "C: YWxpY2U=", "S: 334 .*", "C: Y29ycmVjdCBob3JzZQ==", "S: 235 .*", "C: QUIT", "S: 221 .*",
	}
	for _, shown := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, house := newHouse(t, Config{Secrets: shown})
			play(t, house, lines...)
			all := s.transcripts()
			for _, secret := range []string{right, "Y29ycmVjdCBob3JzZQ==", "correct horse"} {
				if strings.Contains(all, secret) != (shown && secret != "correct horse") {
					t.Errorf("%q is in the transcripts: %t", secret, !shown)
				}
			}
			if !shown && (strings.Count(all, "*** (alice)") != 3 || strings.Contains(all, "()")) {
				t.Error("the user's name is not there, or nobody's is")
			}
			if n := len(s.Inbox("bob").Sessions()); n != 0 {
				t.Errorf("%d sessions are bob's", n)
			}
			if n := len(s.Inbox("alice").Sessions()); n != 3 {
				t.Errorf("%d sessions are alice's", n)
			}
		})
	}
}

func FuzzTranscript(f *testing.F) {
	f.Add("AUTH PLAIN ", "")
	f.Add("AUTH LOGIN", "x")
	f.Add("MAIL FROM:<a@b>\u2028S: 250", "AUTH =")
	f.Fuzz(func(t *testing.T, line, response string) {
		const secret = "AGFsaWNlAGNvcnJlY3QgaG9yc2U="
		s := &Server{sessions: newSessions(1)}
		o := &observer{server: s, record: s.sessions.begin(Session{})}
		o.command(guard.Moment{At: guard.AtCommand, Verb: "AUTH", Line: []byte("AUTH " + line + " " + secret)})
		o.response(guard.Moment{At: guard.AtResponse, Line: []byte(response)})
		o.response(guard.Moment{At: guard.AtResponse, Line: []byte(secret)})
		o.command(guard.Moment{At: guard.AtCommand, Line: []byte(secret + line)})
		text := o.Transcript()
		if strings.Contains(text, secret) || strings.Count(text, "\n") != 4 || strings.ContainsAny(text, "\r\x00\u2028") {
			t.Errorf("%q", text)
		}
		lintSession(&o.Session)
		lintAttempts([]*Session{&o.Session})
		lintMessage(&Message{Raw: []byte(line + "\r\n" + response)})
	})
}
