package smarthosttest

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-1397b510/smarthost/server/dialogue"
)

// enter is how most of the scenes begin.
var enter = []string{"@tls", "S: 220 .*", "@ehlo laptop", "@login alice"}

const (
	mailFrom = "C: MAIL FROM:<alice@example.org>"
	rcpt     = "C: RCPT TO:<bob@dest.example>"
	yes      = "S: 250 .*"
)

func then(lines ...string) []string { return append(append([]string(nil), enter...), lines...) }

// scenes are rules, and what a client then hears.
var scenes = map[string]struct {
	rules []string
	lines []string
	kept  int           // messages
	took  time.Duration // at least
	unmet bool
}{
	"a banner that refuses ends the session": {
		rules: []string{`{"on":"banner","do":{"reply":[421,"4.3.2","not now"]}}`},
		lines: []string{"@connect", "S: 421 4\\.3\\.2 not now", "@eof"},
	},
	"554 in place of a banner too": {
		rules: []string{`{"on":"banner","do":{"reply":[554,"","no"]}}`},
		lines: []string{"@connect", "S: 554 no", "@eof"},
	},
	"a connection dropped at once": {
		rules: []string{`{"on":"accept","times":1,"do":{"end":"drop"}}`},
		lines: []string{"@connect", "@gone", "@connect", "S: 220 .*"},
	},
	"a banner that is late": {
		rules: []string{`{"on":"banner","do":{"delay":"1m"}}`},
		lines: []string{"@connect", "S: 220 .*"},
		took:  time.Minute,
	},
	"garbage for a banner": {
		rules: []string{`{"on":"banner","do":{"garbage":"AP8NCg=="}}`},
		lines: []string{"@connect", "@hears \"\\x00\\xff\\r\\n\""},
	},
	"STARTTLS hidden, the last of its keywords": {
		rules: []string{`{"on":"ehlo","times":1,"do":{"hide":["STARTTLS"]}}`},
		lines: []string{"@connect", "C: EHLO x", "@hears \"220 mx.example.org ESMTP\\r\\n\"", "S: 250-mx.*", "S: 250-PIPELINING", "S: 250-ENHANCEDSTATUSCODES", "S: 250-8BITMIME", "S: 250 SIZE \\d+", "C: EHLO x", "S: 250-mx.*", "S: 250-.*", "S: 250-.*", "S: 250-.*", "S: 250-.*", "S: 250 STARTTLS"},
	},
	"STARTTLS refused": {
		rules: []string{`{"on":"starttls","times":1,"do":{"reply":[454,"4.7.0","TLS not available"]}}`},
		lines: []string{"@connect", "S: 220 .*", "C: STARTTLS", "S: 454 4\\.7\\.0 TLS not available", "@starttls", "@ehlo x"},
	},
	"STARTTLS stalls until the client goes": {
		rules: []string{`{"on":"starttls","do":{"end":"stall"}}`},
		lines: []string{"@connect", "S: 220 .*", "C: STARTTLS", "@wait 1h", "@close"},
		took:  time.Hour,
	},
	"AUTH refused in passing, and MAIL as the server itself does then": {
		rules: []string{`{"on":"auth","user":"alice","times":1,"do":{"reply":[454,"4.7.0","backend down"]}}`},
		lines: []string{"@tls", "S: 220 .*", "@ehlo x", "@refused alice: 454 4\\.7\\.0 backend down", mailFrom, "S: 451 4\\.7\\.0 Authentication is temporarily unavailable.*", "@login alice", mailFrom, yes},
	},
	"AUTH refused for good, and MAIL repeats why": {
		rules: []string{`{"on":"auth","do":{"reply":[535,"5.7.8","no such user here"]}}`},
		lines: []string{"@tls", "S: 220 .*", "@ehlo x", "@refused alice: 535 5\\.7\\.8 no such user here", mailFrom, "S: 530 .*the login as alice failed: no such user here.*"},
	},
	"AUTH of another user is let through": {
		rules: []string{`{"on":"auth","user":"alice","do":{"end":"drop"}}`},
		lines: []string{"@tls", "S: 220 .*", "@ehlo x", "@login bob", "@tls", "S: 220 .*", "@ehlo x", "C: AUTH LOGIN", "S: 334 .*", "C: YWxpY2U=", "S: 334 .*", "C: eA==", "@gone"},
	},
	"MAIL of one sender": {
		rules: []string{`{"on":"mail","from":"*@alice.example.org","do":{"reply":[451,"4.3.0","busy"]}}`},
		lines: then("C: MAIL FROM:<x@alice.example.org>", "S: 451 4\\.3\\.0 busy", mailFrom, yes),
	},
	"a rule on MAIL is for who has logged in": {
		rules: []string{`{"on":"mail","do":{"reply":[451,"4.3.0","busy"]}}`},
		lines: []string{"@tls", "S: 220 .*", "@ehlo x", mailFrom, "S: 530 .*", "@login alice", "C: MAIL FROM:<x", "S: 501 .*", mailFrom, "S: 451 .*"},
	},
	"greylisting, in a pipelined group, in order": {
		rules: []string{`{"on":"rcpt","to":"bob@*","user":"alice","times":2,"do":{"reply":[451,"4.7.1","greylisted"]}}`},
		lines: then(`@raw "MAIL FROM:<alice@example.org>\r\nRCPT TO:<eve@dest.example>\r\nRCPT TO:<bob@dest.example>\r\nRCPT TO:<ann@dest.example>\r\nDATA\r\n"`,
			yes, yes, "S: 451 4\\.7\\.1 greylisted", yes, "S: 354 .*", "C: .", yes, `@recipient "ann@dest.example"`,
			mailFrom, yes, rcpt, "S: 451 .*", rcpt, yes),
		kept: 1,
	},
	"the second message is a transaction of its own": {
		rules: []string{`{"on":"mail","skip":1,"do":{"reply":[450,"4.7.1","enough"]}}`},
		lines: then(mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*", "C: .", yes, mailFrom, "S: 450 .*"),
		kept:  1,
	},
	"skip lets the first pass": {
		rules: []string{`{"on":"rcpt","skip":1,"times":1,"do":{"reply":[452,"4.2.2","full"]}}`},
		lines: then(mailFrom, yes, rcpt, yes, rcpt, "S: 452 4\\.2\\.2 full", rcpt, yes),
	},
	"DATA refused": {
		rules: []string{`{"on":"data","times":1,"do":{"reply":[451,"4.3.0","later"]}}`},
		lines: then(mailFrom, yes, rcpt, yes, "C: DATA", "S: 451 .*", "C: DATA", "S: 354 .*", "C: .", yes),
		kept:  1,
	},
	"the first chunk refused, and its octets are no commands": {
		rules: []string{`{"on":"data","times":1,"do":{"reply":[451,"4.3.0","later"]}}`},
		lines: then(mailFrom, yes, rcpt, yes, `@raw "BDAT 6\r\nQUIT\r\n"`, "S: 451 .*", `@raw "BDAT 6\r\nx: y\r\nBDAT 6 LAST\r\nz: y\r\n"`, yes, yes, `@kept "x: y\r\nz: y\r\n"`),
		kept:  1,
	},
	"a final dot that is refused keeps nothing": {
		rules: []string{`{"on":"content","to":"bob@*","times":1,"do":{"reply":[552,"5.3.4","too big for us"]}}`},
		lines: then(mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*", "C: Subject: x", "C: .", "S: 552 5\\.3\\.4 too big for us", "@queued 0", mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*", "C: .", yes),
		kept:  1,
	},
	"a last chunk that is refused keeps nothing": {
		rules: []string{`{"on":"content","times":1,"do":{"reply":[451,"4.3.0","later"]}}`},
		lines: then(mailFrom, yes, rcpt, yes, `@raw "BDAT 4 LAST\r\nx: y"`, "S: 451 .*", "@queued 0", mailFrom, yes),
	},
	"accepted and then denied": {
		rules: []string{`{"on":"content","times":1,"do":{"stored":true,"reply":[451,"4.3.0","trouble"]}}`},
		lines: then(mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*", "C: Message-ID: <1@x>", "C: .", "S: 451 4\\.3\\.0 trouble", "@queued 1",
			mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*", "C: Message-ID: <1@x>", "C: .", "S: 250 2\\.0\\.0 already queued as .*"),
		kept: 1,
	},
	"what the server refuses itself is not accepted and denied": {
		rules: []string{`{"on":"content","do":{"stored":true,"reply":[451,"4.3.0","trouble"]}}`},
		lines: then("@spool failing", mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*", "C: .", "S: 451 4\\.3\\.0 The message could not be stored.*"),
	},
	"accepted and then gone": {
		rules: []string{`{"on":"content","do":{"stored":true,"end":"reset"}}`},
		lines: then(mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*", "C: .", "@gone"),
		kept:  1,
	},
	"a dropped final dot keeps nothing": {
		rules: []string{`{"on":"content","do":{"end":"drop"}}`},
		lines: then(mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*", "C: .", "@gone"),
	},
	"half-closed, and the client may write on": {
		rules: []string{`{"on":"data","do":{"end":"half-close"}}`},
		lines: then(mailFrom, yes, rcpt, yes, "C: DATA", "@gone", "C: Subject: x", "C: .", "@wait 10m", "@close"),
		took:  10 * time.Minute,
	},
	"RSET delayed": {
		rules: []string{`{"on":"rset","do":{"delay":"30s"}}`},
		lines: then("C: RSET", yes),
		took:  30 * time.Second,
	},
	"QUIT without good-bye": {
		rules: []string{`{"on":"quit","do":{"end":"drop"}}`},
		lines: then("C: QUIT", "@gone"),
	},
	"421 closes": {
		rules: []string{`{"on":"rcpt","do":{"reply":[421,"4.7.0","too many"]}}`},
		lines: then(mailFrom, yes, rcpt, "S: 421 4\\.7\\.0 too many", "@eof"),
	},
	"a trickle is slow, and the next reply is not": {
		rules: []string{`{"on":"mail","do":{"trickle":{"octets":1,"every":"1s"}}}`},
		lines: then(mailFrom, yes, "C: RSET", yes),
		took:  42 * time.Second, // a record of 43 octets
	},
	"a throttled connection": {
		rules: []string{`{"on":"data","do":{"throttle":100}}`},
		lines: then(mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*", `@repeat 100 "0123456789\r\n"`, "C: .", yes),
		kept:  1,
		took:  12 * time.Second,
	},
	"the first rule that fits acts, and no other": {
		rules: []string{`{"on":"mail","times":1,"do":{"reply":[451,"4.0.0","first"]}}`, `{"on":"mail","do":{"reply":[452,"4.0.0","second"]}}`},
		lines: then(mailFrom, "S: 451 .*", mailFrom, "S: 452 .*", mailFrom, "S: 452 .*"),
	},
	"a probability of one": {
		rules: []string{`{"on":"mail","probability":1,"do":{"reply":[451,"4.0.0","always"]}}`},
		lines: then(mailFrom, "S: 451 .*", mailFrom, "S: 451 .*"),
	},
	"an alert in place of a handshake": {
		rules: []string{`{"on":"handshake","times":1,"do":{"alert":40}}`},
		lines: []string{"@connect", "S: 220 .*", "C: STARTTLS", "S: 220 .*", `@raw "\x16\x03\x01\x00\x05hello"`, `@hears "\x15\x03\x03\x00\x02\x02\x28"`, "@eof", "@tls", "S: 220 .*"},
	},
	"an outage that ends": {
		rules: []string{`{"on":"accept","for":"1m","do":{"end":"reset"}}`},
		lines: []string{"@connect", "@gone", "@wait 30s", "@connect", "@gone", "@wait 30s", "@connect", "S: 220 .*"},
		took:  time.Minute,
	},
	"a rule that is never met": {
		rules: []string{`{"on":"rcpt","to":"nobody@*","do":{"reply":[550,"5.1.1","no"]}}`},
		lines: then(mailFrom, yes, rcpt, yes),
		unmet: true,
	},
	"a rule that is not met often enough": {
		rules: []string{`{"on":"rcpt","times":3,"do":{"reply":[450,"4.0.0","no"]}}`},
		lines: then(mailFrom, yes, rcpt, "S: 450 .*", rcpt, "S: 450 .*"),
		unmet: true,
	},
}

func TestScenes(t *testing.T) {
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, house := newHouse(t, Config{})
				script, err := s.AddRules(rules(t, scene.rules...)...)
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				play(t, house, scene.lines...)
				if took := time.Since(begin); took < scene.took || took > scene.took+10*time.Second {
					t.Errorf("it took %s, want %s", took, scene.took)
				}
				if got := len(s.Messages()); got != scene.kept {
					t.Errorf("%d messages are kept, want %d", got, scene.kept)
				}
				if err := script.Unmet(); (err != nil) != scene.unmet {
					t.Errorf("unmet: %v", err)
				}
			})
		})
	}
}

func play(t testing.TB, house *dialogue.House, lines ...string) {
	t.Helper()
	p := &dialogue.Player{House: house, File: t.Name()}
	defer p.Leave()
	for _, line := range lines {
		if err := p.Step(t, line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

func rules(t testing.TB, texts ...string) []Rule {
	t.Helper()
	var of []Rule
	if err := json.Unmarshal([]byte("["+strings.Join(texts, ",")+"]"), &of); err != nil {
		t.Fatal(err)
	}
	return of
}

// Before the client's hello an alert would be taken for a part of the reply to STARTTLS.
func TestAlertAnswersTheHello(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, InMemory())
		s.Script(On(Handshake).Alert(40))
		conn, err := s.DialContext(t.Context(), "tcp", s.TLSAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(time.Second))
		heard := make([]byte, 7)
		if n, err := conn.Read(heard); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("before the hello: %q, %v", heard[:n], err)
		}
		conn.SetReadDeadline(time.Time{})
		if err := tls.Client(conn, s.ClientTLS()).Handshake(); err == nil || !strings.Contains(err.Error(), "handshake failure") {
			t.Errorf("the handshake: %v", err)
		}
	})
}
