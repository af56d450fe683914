package guard

import (
	"bytes"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
)

// Each line is sent, and its reply must begin with the words after the arrow. Every dialogue begins inside TLS.
// checklist 4, 6, 7, 10, 11, 12, 15, 17, 18, 40, 41, 42, 43, 44, 47, 57, 58, 59, 60, 61, 62, 63, 64, 65, 67, 68, 69, 70
func TestDialogues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 65)
	for name, dialogue := range map[string]string{
		"hello": `
			EHLO -> 501 5.5.4
			EHLO [127.0.0.1] -> 250-mx.test
			EHLO [IPv6:::1] -> 250-mx.test
			EHLO my_pc..local -> 250-mx.test
			EHLO büro -> 250-mx.test
			EHLO b\xff -> 250
			HELO x -> 250 mx.test
			LHLO x -> 500 5.5.2`,
		"simple": `
			NOOP -> 250 2.0.0
			noop text -> 250 2.0.0
			RSET␠␠ -> 250 2.0.0
			RSET x -> 501 5.5.4
			VRFY root -> 252 2.0.0
			EXPN x -> 502 5.5.1
			ETRN x -> 502 5.5.1
			HELP -> 214 2.0.0
			FOO -> 500 5.5.2
			STARTTLSFOO bar -> 500 5.5.2
			NO\x01OP -> 500 5.5.2
			NOOP \x7f -> 500 5.5.2
			NOOP \xe9 -> 500 5.5.2
			 -> 500 5.5.2`,
		"order": `
			MAIL FROM:<a@b> -> 503 5.5.1
			RCPT TO:<a@b> -> 503 5.5.1
			AUTH PLAIN -> 503 5.5.1
			EHLO x -> 250-
			RCPT TO:<a@b> -> 503 5.5.1
			DATA -> 503 5.5.1
			MAIL FROM:<> -> 250 2.1.0
			DATA -> 503 5.5.1
			MAIL FROM:<a@b> -> 503 5.5.1
			AUTH PLAIN -> 503 5.5.1
			DATA x -> 501 5.5.4
			RCPT TO:<a@b> -> 250 2.1.5
			RSET -> 250 2.0.0
			DATA -> 503 5.5.1
			MAIL FROM:<a@b> -> 250 2.1.0
			EHLO x -> 250-
			RCPT TO:<a@b> -> 503 5.5.1`,
		"auth": `
			EHLO x -> 250-
			AUTH -> 501 5.5.4
			AUTH FOO -> 504 5.5.4
			AUTH F!O -> 504 5.5.4
			AUTH PLAIN !!! -> 501 5.5.2
			AUTH PLAIN AGEAYg== x -> 501 5.5.4
			AUTH PLAIN AGEAYg== -> 535 5.7.8
			AUTH PLAIN -> 334␠
			* -> 501 5.7.0
			AUTH PLAIN -> 334␠
			!!! -> 501 5.5.2
			AUTH PLAIN -> 334␠
			A\x01 -> 501 5.5.2
			AUTH PLAIN -> 334␠
			AGEAYg== -> 535 5.7.8
			auth plain -> 334␠
			AGEAc2VjcmV0 -> 235 2.7.0
			AUTH PLAIN AGEAc2VjcmV0 -> 503 5.5.1`,
		"mail": `
			EHLO x -> 250-
			MAIL a@b -> 501 5.5.4
			MAIL FROM:a@b -> 501 5.1.7
			MAIL FROM:<a@b>BODY=8BITMIME -> 501 5.5.4
			MAIL FROM:<a@b> FOO=1 -> 555 5.5.4
			MAIL FROM:<a@b> BY=120;R -> 555 5.5.4
			MAIL FROM:<a@b> SIZE=1 SIZE=1 -> 501 5.5.4
			MAIL FROM:<a@b> SIZE -> 501 5.5.4
			MAIL FROM:<a@b> SIZE=-1 -> 501 5.5.4
			MAIL FROM:<a@b> SIZE=1234567890123456789012 -> 501 5.5.4
			MAIL FROM:<a@b> SIZE=99999999999999999999 -> 552 5.3.4
			MAIL FROM:<a@b> SIZE=1001 -> 552 5.3.4
			MAIL FROM:<a@b> BODY=BINARYMIME -> 555 5.5.4
			MAIL FROM:<a@b> BODY=9BIT -> 501 5.5.4
			MAIL FROM:<a@b> RET=ALL -> 501 5.5.4
			MAIL FROM:<a@b> ENVID=a+ -> 501 5.5.4
			MAIL FROM:<a@b> ENVID=a+0D+0A -> 501 5.5.4
			MAIL FROM:<a@b> ENVID=` + strings.Repeat("e", 101) + ` -> 501 5.5.4
			MAIL FROM:<a@b> AUTH=a+zz -> 501 5.5.4
			MAIL FROM:<a@b> SMTPUTF8=1 -> 501 5.5.4
			MAIL FROM:<a@b> REQUIRETLS -> 555 5.5.4
			MAIL FROM:<é@b> -> 553 5.6.7
			MAIL FROM:<\xe9@b> SMTPUTF8 -> 501 5.1.7
			MAIL FROM:<a@@b> -> 501 5.1.7
			MAIL FROM:<` + long + `@b> -> 501 5.1.7
			mAiL fRoM: <a@b> size=1000 body=8bitmime  ret=hdrs ENVID=a+2Bb AUTH=<> -> 250 2.1.0
			RSET -> 250
			MAIL FROM:<a@b> AUTH=a+2Bb@c.d -> 250 2.1.0
			RSET -> 250
			MAIL FROM:<a@b> AUTH=alice -> 250 2.1.0
			RSET -> 250
			MAIL FROM:<é@b> SMTPUTF8 -> 250 2.1.0
			RCPT TO:<é@b> -> 250 2.1.5`,
		"rcpt": `
			EHLO x -> 250-
			MAIL FROM:<a@b> -> 250
			RCPT TO:<> -> 501 5.1.3
			RCPT TO:<a b@c> -> 501 5.1.3
			RCPT TO:<é@b> -> 553 5.6.7
			RCPT TO:<a@b> NOTIFY=NEVER,DELAY -> 501 5.5.4
			RCPT TO:<a@b> NOTIFY=DELAY,DELAY -> 501 5.5.4
			RCPT TO:<a@b> ORCPT=a@b -> 501 5.5.4
			RCPT TO:<a@b> ORCPT=rfc822; -> 501 5.5.4
			RCPT TO:<a@b> ORCPT=rfc822;a+0Ab -> 501 5.5.4
			RCPT TO:<a@b> ORCPT=rfc822;` + strings.Repeat("a", 500) + ` -> 501 5.5.4
			RCPT TO:<a@b> SIZE=1 -> 555 5.5.4
			RCPT TO:<a@b> ORCPT=utf-8;a NOTIFY=NEVER -> 501 5.5.4
			RCPT TO:<a@b> ORCPT=utf-8;é@b -> 250 2.1.5
			RCPT TO:<a@b> NOTIFY=success,FAILURE ORCPT=rfc822;a+2Bb@c -> 250 2.1.5
			RCPT TO:<` + long[1:] + `@b> -> 250 2.1.5
			RCPT TO:<Postmaster> -> 250 2.1.5
			RCPT TO:<@x.y,@z:a@b> -> 250 2.1.5`,
		"helo takes no parameters": `
			HELO x -> 250 mx.test
			MAIL FROM:<a@b> SMTPUTF8 -> 555 5.5.4`,
		"errors of ours": `
			EHLO x -> 250-
			MAIL FROM:<plain@error> -> 451 4.3.0 Local trouble`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newRig(t, &Guard{MaxMessageSize: 1000, MaxAuthFailures: 99}, false, false).secure()
			for line := range strings.Lines(dialogue) {
				sent, want, ok := strings.Cut(strings.Trim(line, "\t\n"), "-> ")
				if !ok {
					continue
				}
				sent = strings.TrimSuffix(sent, " ")
				for from, to := range map[string]string{`␠`: " ", `\x01`: "\x01", `\x7f`: "\x7f", `\xe9`: "\xe9", `\xff`: "\xff", `\u00a0`: "\u00a0"} {
					sent, want = strings.ReplaceAll(sent, from, to), strings.ReplaceAll(want, from, to)
				}
				reply := k.say(sent, want)
				if strings.ContainsAny(reply, "\x01\x7f") || strings.Contains(reply, "\xe9") {
					t.Errorf("%q echoed: %q", sent, reply)
				}
			}
		})
	}
}

// checklist 16, 112
func TestRepliesAreWellFormed(t *testing.T) {
	t.Parallel()
	k := newRig(t, &Guard{}, false, false).hello()
	k.say("MAIL FROM:<a@b>", "250")
	reply := k.say("RCPT TO:<no@b>", "550-5.1.1 Nobody?\r\n550-5.1.1 of that name")
	lines := strings.SplitAfter(reply, "\r\n")
	for _, line := range lines[:len(lines)-1] {
		if len(line) > 512 || !strings.HasPrefix(line[4:], "5.1.1 ") {
			t.Errorf("line %q of %d octets", line, len(line))
		}
	}
	if strings.Count(reply, "x") != 400 {
		t.Error("words were lost")
	}
	// What is not ASCII is for those who have asked for it (RFC 6531 §3.7.4).
	k.say("RSET", "250")
	k.say("MAIL FROM:<wide@x>", "550 5.7.1 gr????e\r\n")
	k.say("MAIL FROM:<wide@x> SMTPUTF8", "550 5.7.1 größe\r\n")
}

// checklist 68: what the Session hears is what was written, and go-smtp does not take it apart.
func TestAddressesArriveAsWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	k := r.hello()
	for _, sent := range []string{`"a@evil.com> SIZE=1 x"@local`, `"a\"b c"@d`, `"\\"@d`, `""@d`, `a@[192.0.2.1]`, `a@[IPv6:2001:db8::1]`, `o'brien+x/y=z@d.test`} {
		k.say("MAIL FROM:<"+sent+"> SIZE=5", "250 2.1.0")
		k.say("RCPT TO:<"+sent+">", "250 2.1.5")
		k.say("RSET", "250")
		from, to, _ := r.b.got()
		if from[len(from)-1] != sent || to[len(to)-1] != sent {
			t.Errorf("sent %s, got %s and %s", sent, from[len(from)-1], to[len(to)-1])
		}
	}
	k.say("EHLO b\xc3\xbcro\xff(x x", "250-")
	k.say("MAIL FROM:<@x,@y:a@b>", "250")
	k.say("RCPT TO:<POSTMASTER>", "250")
	from, to, _ := r.b.got()
	if r.b.name != "b?ro?(x" {
		t.Errorf("the client is called %q", r.b.name)
	}
	if diff := cmp.Diff([]string{"a@b", "POSTMASTER@mx.test"}, []string{from[len(from)-1], to[len(to)-1]}); diff != "" {
		t.Error(diff)
	}
}

// checklist 13, 52
func TestLineLimits(t *testing.T) {
	t.Parallel()
	violations := make(chan string, 2)
	r := newRig(t, &Guard{Hooks: Hooks{Violation: func(_ *Conn, what string) { violations <- what }}}, false, false)
	k := r.hello()
	k.say("NOOP "+strings.Repeat("x", 505), "250")
	k.say("NOOP "+strings.Repeat("x", 506), "500 5.5.2")
	k.say("AUTH PLAIN "+strings.Repeat("AAAA", 3068), "454")
	k.say("AUTH PLAIN "+strings.Repeat("AAAA", 3070), "500 5.5.6")
	k.say("AUTH PLAIN "+strings.Repeat("AAAA", 9000), "500 5.5.6")
	k.say("RSET", "250")
	k.say("AUTH PLAIN", "334 ")
	k.say(strings.Repeat("AAAA", 3073), "500 5.5.6")
	k.say("NOOP "+strings.Repeat("MAIL FROM:<a@b> ", 5000), "500 5.5.2")
	k.say("NOOP", "250")
	for _, k := range []*client{k, r.clear()} { // fault 25
		k.send(strings.Repeat("x", maxSwallow+2*bufferSize))
		k.want("421 4.7.0 mx.test hangs up on a line without end")
		select {
		case what := <-violations:
			if what != "a command line without end" {
				t.Errorf("told %q", what)
			}
		default:
			t.Error("nobody was told")
		}
		k.wantEnd()
	}
}

// checklist 14
func TestBareLFRunsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	k := r.hello()
	k.send("NOOP\n")
	k.want("500 5.5.2 Lines must end")
	k.send("MAIL FROM:<x@y>\r\n")
	k.say("RCPT TO:<x@y>", "503")
	k.send("NOOP\rMAIL FROM:<x@y>\r\n")
	k.want("500 5.5.2")
	k.send("NOOP\nRSET\r\nNOOP\r\n")
	k.want("500 5.5.2")
	k.want("250 2.0.0")
	if from, _, _ := r.b.got(); len(from) > 0 {
		t.Errorf("MAIL was run: %q", from)
	}
}

// checklist 19, 20
func TestTooManyBadCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	k := r.secure()
	for range maxBad {
		k.say("WHAT", "500 5.5.2")
	}
	k.say("WHAT", "421 4.7.0")
	k.wantEnd()
	k = r.secure()
	k.send("GET / HTTP/1.1\r\n\r\n")
	k.wantEnd()

	k = r.clear()
	for range maxBad {
		k.say("WHAT", "530 5.7.0")
	}
	k.say("WHAT", "421 4.7.0")
	k.wantEnd()
	k = r.clear() // TLS is no way to begin again
	k.say("WHAT", "530 5.7.0")
	k.say("STARTTLS", "220")
	k = k.startTLS()
	for range maxBad - 1 {
		k.say("WHAT", "500 5.5.2")
	}
	k.say("WHAT", "421 4.7.0")
	k.wantEnd()
}

func TestTooManyFailedLogins(t *testing.T) {
	t.Parallel()
	k := newRig(t, &Guard{MaxAuthFailures: 2}, false, false).hello()
	k.say("AUTH PLAIN AGEAYg==", "535 5.7.8")
	k.say("AUTH PLAIN AGEAYg==", "535 5.7.8")
	k.say("NOOP", "421 4.7.0 mx.test has seen too many failed logins")
	k.wantEnd()
	k = newRig(t, &Guard{MaxAuthFailures: 1}, false, false).hello()
	k.say("AUTH PLAIN AGEAYg==", "535 5.7.8")
	k.say("QUIT", "221 2.0.0")
	k.wantEnd()
}

// checklist 23
func TestOctetByOctet(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Guard{}, false, false)
	k := r.secure()
	for _, b := range []byte("EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n..x\r\n.\r\nQUIT\r\n") {
		k.send(string(b))
	}
	for _, want := range []string{"250-", "250 2.1.0", "250 2.1.5", "354 ", "250 2.0.0", "221 "} {
		k.want(want)
	}
	if _, _, msgs := r.b.got(); len(msgs) != 1 || msgs[0] != ".x\r\n" {
		t.Errorf("got %q", msgs)
	}
}

func TestPanicOfSessionEndsTheConnection(t *testing.T) {
	t.Parallel()
	k := newRig(t, &Guard{}, false, false).hello()
	k.say("MAIL FROM:<panic@x>", "421 4.0.0")
	k.wantEnd()
}

// After 421, whoever says it, nothing follows (RFC 5321 §3.8).
func Test421IsTheLastReply(t *testing.T) {
	t.Parallel()
	k := newRig(t, &Guard{}, false, false).hello()
	k.send("MAIL FROM:<busy@x>\r\nNOOP\r\n")
	k.want("421 4.3.2 enough")
	k.wantEnd()
	k = newRig(t, &Guard{Hooks: Hooks{Clear: func(*Conn, string) *smtp.SMTPError { return errBusy }}}, false, false).clear()
	k.send("MAIL FROM:<a@b>\r\nNOOP\r\n")
	k.want("421 4.3.2 enough")
	k.wantEnd()
}

func TestRequireTLS(t *testing.T) {
	t.Parallel()
	k := newRig(t, &Guard{RequireTLS: true}, false, false).secure()
	if reply := k.say("EHLO x", "250-"); strings.Count(reply, "REQUIRETLS\r\n") != 1 {
		t.Errorf("EHLO: %q", reply)
	}
	k.say("MAIL FROM:<a@b> REQUIRETLS", "250 2.1.0")
}

func TestSessionIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newID()
		if len(id) != 12 || seen[id] || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

func BenchmarkCommand(b *testing.B) {
	r := newRig(b, &Guard{}, false, false)
	k := r.hello()
	const group = 64
	batch := bytes.Repeat([]byte("MAIL FROM:<alice@laptop.example> SIZE=1000 BODY=8BITMIME\r\nRSET\r\n"), group)
	b.ReportAllocs()
	for b.Loop() {
		k.send(string(batch))
		for range 2 * group {
			if _, err := k.r.ReadSlice('\n'); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*2*group), "ns/command")
}
