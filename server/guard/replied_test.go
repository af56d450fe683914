package guard

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each reply is told once, with the command that it answers, whoever made it.
func TestReplied(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []string
	r := newRig(t, &Guard{Hooks: Hooks{Replied: func(_ *Conn, verb, code string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, verb+" "+code)
	}}}, false, false)
	k := r.clear()
	k.say("MAIL FROM:<a@b.test>", "530")
	k.say("WHAT", "530")
	k.say("STARTTLS", "220")
	k = k.startTLS()
	k.say("EHLO laptop", "250-")
	k.say("AUTH PLAIN", "334 ")
	k.say("AGIAc2VjcmV0", "235 ")
	k.say("BAD\x01", "500 ")
	k.envelope()
	k.say("RCPT TO:<no@d.test>", "550-")
	k.say("DATA", "354 ")
	k.say("Subject: a\r\n\r\nb\r\n.", "250 ")
	k.say("QUIT", "221 ")
	k.wantEnd()
	mu.Lock()
	defer mu.Unlock()
	want := []string{" 220", "MAIL 530", " 530", "STARTTLS 220", "EHLO 250", "AUTH 334", "AUTH 235", " 500", "MAIL 250", "RCPT 250", "RCPT 550",
		"DATA 354", "DATA 250", "QUIT 221"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
