package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/forward/route"
)

var pipe = []string{"PIPELINING", "SIZE 100000", "8BITMIME"}

// checklist 98: each recipient has its own reply, with and without pipelining.
func TestEachRecipientHasItsReply(t *testing.T) {
	for _, ext := range [][]string{nil, pipe} {
		p := &peer{ehlo: ext, answer: map[string]string{"RCPT TO:<b@": "450 4.2.1 later\r\n", "RCPT TO:<c@": "550-5.1.1 no\r\n550 5.1.1 such user\r\n"}}
		bubble(t, p, func(t *testing.T, d *Deliverer) {
			got, err := d.Deliver(t.Context(), mx, message("a@x", "b@x", "c@x"))
			const hop = "mx.example [192.0.2.1]:25"
			want := []Result{
				{Address: "a@x", Hop: hop, Reply: smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "fine"}},
				{Address: "b@x", Hop: hop, Reply: smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "later"}},
				{Address: "c@x", Hop: hop, Reply: smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}},
			}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Error(err, diff)
			}
		})
		if want := strings.Replace(content, ".dot", "..dot", 1); len(p.bodies) != 1 || p.bodies[0] != want {
			t.Errorf("body %q", p.bodies)
		}
		if p.said("EHLO")[0] != "EHLO us.example" || len(p.said("QUIT")) != 1 {
			t.Errorf("commands %q", p.commands)
		}
	}
}

// checklist 98: replies that settle all recipients, at each stage, with and without pipelining.
func TestStages(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer map[string]string
		want   []int
	}{
		{"mail refused", map[string]string{"MAIL": "550 5.7.1 no\r\n"}, []int{550, 550}},
		{"mail deferred", map[string]string{"MAIL": "451 4.7.1 no\r\n"}, []int{451, 451}},
		{"mail refused, 503 afterwards", map[string]string{"MAIL": "550 no\r\n", "RCPT": "503 what\r\n", "DATA": "503 what\r\n"}, []int{550, 550}},
		{"421 at mail", map[string]string{"MAIL": "421 4.3.2 going\r\nclose"}, []int{421, 421}},
		{"421 at the second rcpt", map[string]string{"RCPT TO:<b": "421 4.3.2 going\r\nclose"}, []int{421, 421}},
		{"refused, then 421", map[string]string{"RCPT TO:<a": "550 no\r\n", "RCPT TO:<b": "421 going\r\nclose"}, []int{550, 421}},
		{"none taken", map[string]string{"RCPT": "550 no\r\n", "DATA": "554 none\r\n"}, []int{550, 550}},
		{"none taken, content wanted", map[string]string{"RCPT": "550 no\r\n"}, []int{550, 550}},
		{"data refused", map[string]string{"DATA": "451 4.3.0 disk\r\n"}, []int{451, 451}},
		{"data taken for a command", map[string]string{"DATA": "250 ok\r\n"}, []int{451, 451}},
		{"421 at data", map[string]string{"DATA": "421 going\r\nclose"}, []int{421, 421}},
		{"refused amid the content", map[string]string{"DATA": "354 go\r\n552 5.3.4 too large\r\nclose"}, []int{552, 552}},
		{"dot refused", map[string]string{".": "554 5.6.0 spam\r\n"}, []int{554, 554}},
		{"421 at the dot", map[string]string{".": "421 going\r\nclose"}, []int{421, 421}},
		{"garbage at mail", map[string]string{"MAIL": "HTTP/1.1 200 OK\r\n"}, []int{451, 451}},
		{"closed after mail", map[string]string{"MAIL": "close"}, []int{451, 451}},
		{"closed after the dot", map[string]string{".": "close"}, []int{451, 451}},
		{"checklist 99: 552 at rcpt is 452", map[string]string{"RCPT": "552 5.2.2 full\r\n"}, []int{452, 452}},
		{"checklist 99: 552 for one too many", map[string]string{"RCPT": "552 too many\r\n"}, []int{452, 452}},
		{"checklist 102: endless reply", map[string]string{"MAIL": strings.Repeat("250-more\r\n", 101)}, []int{451, 451}},
		{"checklist 102: endless line", map[string]string{"MAIL": "250 " + strings.Repeat("x", 70000)}, []int{451, 451}},
		{"silence at mail", map[string]string{"MAIL": "hang"}, []int{451, 451}},
		{"silence after the dot", map[string]string{".": "hang"}, []int{451, 451}},
	} {
		for _, ext := range [][]string{nil, pipe} {
			t.Run(fmt.Sprint(tt.name, len(ext)), func(t *testing.T) {
				bubble(t, &peer{ehlo: ext, answer: tt.answer}, func(t *testing.T, d *Deliverer) {
					got, err := d.Deliver(t.Context(), mx, message("a@x", "b@x"))
					if diff := cmp.Diff(tt.want, codes(got)); diff != "" || err != nil {
						t.Error(err, diff)
					}
				})
			})
		}
	}
}

// checklist 97: how long a silent hop is waited for at each stage (RFC 5321 §4.5.3.2, RFC 1047).
func TestTimeouts(t *testing.T) {
	for verb, want := range map[string]time.Duration{"EHLO": 5 * time.Minute, "MAIL": 5 * time.Minute, "RCPT": 5 * time.Minute, "DATA": 2 * time.Minute, ".": 10 * time.Minute} {
		bubble(t, &peer{answer: map[string]string{verb: "hang"}}, func(t *testing.T, d *Deliverer) {
			begin := time.Now()
			d.Deliver(t.Context(), mx, message("a@x"))
			if got := time.Since(begin); got != want {
				t.Errorf("%s: waited %v, want %v", verb, got, want)
			}
		})
	}
	bubble(t, &peer{greeting: "hang"}, func(t *testing.T, d *Deliverer) {
		begin := time.Now()
		rs, err := d.Deliver(t.Context(), mx, message("a@x"))
		deferred(t, rs, err, "mx.example [192.0.2.1]:25: greeting: no answer in time")
		if got := time.Since(begin); got != 5*time.Minute {
			t.Errorf("greeting: waited %v", got)
		}
	})
}

func TestHopUnusable(t *testing.T) {
	for text, p := range map[string]*peer{
		"greeting: 554 go away":             {greeting: "554 go away\r\n"},
		"greeting: 421 busy":                {greeting: "421 busy\r\nclose"},
		"greeting: the answer is no SMTP":   {greeting: "SSH-2.0-x\r\n"},
		"greeting: connection lost":         {greeting: "close"},
		"EHLO: 421 too many":                {answer: map[string]string{"EHLO": "421 too many\r\nclose"}},
		"EHLO: 451 not now":                 {answer: map[string]string{"EHLO": "451 not now\r\n"}},
		"more than a reply was sent before": {ehlo: []string{"STARTTLS"}, answer: map[string]string{"STARTTLS": "220 go\r\n250-AUTH PLAIN\r\n"}},
	} {
		bubble(t, p, func(t *testing.T, d *Deliverer) {
			rs, err := d.Deliver(t.Context(), mx, message("a@x"))
			deferred(t, rs, err, text)
		})
		if len(p.said("HELO")) > 0 {
			t.Errorf("%s: HELO was said", text)
		}
	}
}

// checklist 95: HELO follows only a 5xx.
func TestHello(t *testing.T) {
	p := &peer{answer: map[string]string{"EHLO": "502 what\r\n"}}
	bubble(t, p, func(t *testing.T, d *Deliverer) {
		rs, err := d.Deliver(t.Context(), mx, message("a@x"))
		if err != nil || rs[0].Reply.Code != 250 {
			t.Error(rs, err)
		}
	})
	if len(p.said("HELO us.example")) != 1 {
		t.Errorf("%q", p.commands)
	}
	// checklist 94: a hop that owes TLS is never asked with HELO.
	bubble(t, p, func(t *testing.T, d *Deliverer) {
		rs, err := d.Deliver(t.Context(), relay, message("a@x"))
		deferred(t, rs, err, "EHLO: 502")
	})
}

// checklist 94, 95, 96: the relay's login goes through verified TLS or not at all, and no trouble with it bounces mail.
func TestRelayLogin(t *testing.T) {
	auth := []string{"AUTH LOGIN PLAIN"}
	for name, tt := range map[string]struct {
		p    *peer
		text string // "" = delivered
	}{
		"good":              {&peer{tls: goodTLS, ehlo: []string{"STARTTLS"}, inTLS: auth}, ""},
		"LOGIN":             {&peer{tls: goodTLS, ehlo: []string{"STARTTLS"}, inTLS: []string{"AUTH=LOGIN"}, answer: map[string]string{"AUTH LOGIN": "334 UGFzc3dvcmQ6\r\n", "c2VjcmV0": "235 in\r\n"}}, ""},
		"stripped":          {&peer{ehlo: auth}, "STARTTLS is not offered"},
		"STARTTLS 454":      {&peer{ehlo: []string{"STARTTLS", "AUTH PLAIN"}, answer: map[string]string{"STARTTLS": "454 no\r\n"}}, "STARTTLS: 454 no"},
		"STARTTLS 500":      {&peer{ehlo: []string{"STARTTLS", "AUTH PLAIN"}, answer: map[string]string{"STARTTLS": "500 no\r\n"}}, "STARTTLS: 500 no"},
		"injected":          {&peer{ehlo: []string{"STARTTLS"}, answer: map[string]string{"STARTTLS": "220 go\r\n250-AUTH PLAIN\r\n"}}, "more than a reply"},
		"other name":        {&peer{tls: wrongTLS, ehlo: []string{"STARTTLS"}, inTLS: auth}, "for another name"},
		"expired":           {&peer{tls: oldTLS, ehlo: []string{"STARTTLS"}, inTLS: auth}, "has expired"},
		"self-signed":       {&peer{tls: self, ehlo: []string{"STARTTLS"}, inTLS: auth}, "not signed by an authority"},
		"no AUTH":           {&peer{tls: goodTLS, ehlo: []string{"STARTTLS"}, inTLS: pipe}, "AUTH PLAIN or LOGIN is not offered"},
		"wrong password":    {&peer{tls: goodTLS, ehlo: []string{"STARTTLS"}, inTLS: auth, answer: map[string]string{"AUTH": "535 5.7.8 wrong\r\n"}}, "our login was refused, see the relay's user and password: 535 wrong"},
		"repeated password": {&peer{tls: goodTLS, ehlo: []string{"STARTTLS"}, inTLS: auth, answer: map[string]string{"AUTH": "535-5.7.8 AUTH PLAIN AHUAc2VjcmV0?\r\n535 5.7.8 wrong: secret\r\n"}}, "the relay's user and password: 535 AUTH PLAIN ***? wrong: ***"},
		"endless challenge": {&peer{tls: goodTLS, ehlo: []string{"STARTTLS"}, inTLS: auth, answer: map[string]string{"AUTH": "334 \r\n", "*": "334 \r\n"}}, "AUTH: the answer is no SMTP reply"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, tt.p, func(t *testing.T, d *Deliverer) {
				rs, err := d.Deliver(t.Context(), relay, message("a@x"))
				if tt.text != "" {
					deferred(t, rs, err, tt.text)
					if len(tt.p.bodies)+len(tt.p.said("MAIL")) > 0 {
						t.Errorf("%q", tt.p.commands)
					}
				} else if err != nil || rs[0].Reply.Code != 250 {
					t.Error(rs, err)
				}
			})
			if len(tt.p.said("AUTH")) > 0 && tt.p.tls != goodTLS {
				t.Error("the login was sent")
			}
		})
	}
}

// checklist 94: also a hop that is set up wrongly never gets the login without verified TLS.
func TestLoginIsNeverSentUnverified(t *testing.T) {
	for _, mode := range []route.TLSMode{route.Opportunistic, route.Clear} {
		for _, p := range []*peer{{ehlo: []string{"AUTH PLAIN"}}, {tls: self, ehlo: []string{"STARTTLS", "AUTH PLAIN"}}} {
			hop := relay
			hop.TLS = mode
			bubble(t, p, func(t *testing.T, d *Deliverer) {
				rs, err := d.Deliver(t.Context(), hop, message("a@x"))
				deferred(t, rs, err, "not sent without verified TLS")
			})
			if len(p.said("AUTH"))+len(p.said("MAIL")) > 0 {
				t.Errorf("%v: %q", mode, p.commands)
			}
		}
	}
}

// A relay that wants a login at MAIL is a fault of the set-up, not of the mail.
func TestRelayWantsLogin(t *testing.T) {
	hop := relay
	hop.User, hop.TLS = "", route.Opportunistic
	bubble(t, &peer{answer: map[string]string{"MAIL": "530 5.7.0 log in\r\n"}}, func(t *testing.T, d *Deliverer) {
		rs, err := d.Deliver(t.Context(), hop, message("a@x"))
		if err != nil || rs[0].Reply.Code != 451 || !strings.Contains(rs[0].Reply.Message, "530 log in") {
			t.Error(rs, err)
		}
	})
}

func TestImplicitTLS(t *testing.T) {
	hop := relay
	hop.TLS = route.Implicit
	bubble(t, &peer{tls: goodTLS, direct: true, ehlo: []string{"AUTH PLAIN"}}, func(t *testing.T, d *Deliverer) {
		rs, err := d.Deliver(t.Context(), hop, message("a@x"))
		if err != nil || rs[0].Reply.Code != 250 || rs[0].TLS != "TLS 1.3" {
			t.Error(rs, err)
		}
	})
	bubble(t, &peer{tls: self, direct: true}, func(t *testing.T, d *Deliverer) {
		rs, err := d.Deliver(t.Context(), hop, message("a@x"))
		deferred(t, rs, err, "not signed by an authority")
	})
}

// checklist 96: an MX hop is served with any certificate, and in clear if its TLS is broken.
func TestOpportunisticTLS(t *testing.T) {
	p := &peer{tls: self, ehlo: []string{"STARTTLS"}}
	bubble(t, p, func(t *testing.T, d *Deliverer) {
		if rs, err := d.Deliver(t.Context(), mx, message("a@x")); err != nil || rs[0].Reply.Code != 250 {
			t.Error(rs, err)
		}
	})
	if p.conns != 1 || len(p.said("EHLO")) != 2 {
		t.Errorf("%d connections, %q", p.conns, p.commands)
	}
	broken := &peer{ehlo: []string{"STARTTLS"}, answer: map[string]string{"STARTTLS": "220 go\r\nclose"}}
	bubble(t, broken, func(t *testing.T, d *Deliverer) {
		for range 2 {
			if rs, err := d.Deliver(t.Context(), mx, message("a@x")); err != nil || rs[0].Reply.Code != 250 {
				t.Error(rs, err)
			}
		}
		m := message("a@x")
		m.RequireTLS = true
		rs, err := d.Deliver(t.Context(), mx, m)
		deferred(t, rs, err, "TLS: ")
	})
	if broken.conns != 4 { // the first delivery has two, the second remembers, the third must not go on in clear
		t.Errorf("%d connections, want 4", broken.conns)
	}
}

// An operator who says tls=none has none, whatever the hop offers.
func TestClear(t *testing.T) {
	hop := relay
	hop.User, hop.TLS = "", route.Clear
	p := &peer{ehlo: []string{"STARTTLS"}}
	bubble(t, p, func(t *testing.T, d *Deliverer) {
		if rs, err := d.Deliver(t.Context(), hop, message("a@x")); err != nil || rs[0].Reply.Code != 250 {
			t.Error(rs, err)
		}
	})
	if len(p.said("STARTTLS")) > 0 {
		t.Errorf("%q", p.commands)
	}
}

// checklist 74, 96: REQUIRETLS is never downgraded (RFC 8689).
func TestRequireTLS(t *testing.T) {
	for _, tt := range []struct {
		p    *peer
		want int
	}{
		{&peer{tls: goodTLS, ehlo: []string{"STARTTLS"}, inTLS: []string{"REQUIRETLS"}}, 250},
		{&peer{tls: self, ehlo: []string{"STARTTLS"}, inTLS: []string{"REQUIRETLS"}}, 550},
		{&peer{tls: goodTLS, ehlo: []string{"STARTTLS"}}, 550},
		{&peer{ehlo: []string{"REQUIRETLS"}}, 550},
	} {
		bubble(t, tt.p, func(t *testing.T, d *Deliverer) {
			m := message("a@x")
			m.RequireTLS = true
			rs, err := d.Deliver(t.Context(), mx, m)
			if err != nil || rs[0].Reply.Code != tt.want {
				t.Error(rs, err)
			}
		})
	}
}

// checklist 100, 101, 109: what is said to a hop depends on what it offers.
func TestParameters(t *testing.T) {
	utf8 := Message{From: "ä@sender.example", UTF8: true, Body: smtp.Body8BitMIME, Size: 9, EnvelopeID: "a+b", Return: smtp.DSNReturnHeaders, Open: opener("S: ä\n\nä\n"),
		Recipients: []Recipient{{Address: "b@x", Notify: []smtp.DSNNotify{"SUCCESS", "DELAY"}, Original: "o=o@y"}}}
	plain := utf8
	plain.From = "a@sender.example"
	sevenHeader := plain
	sevenHeader.Open = opener("S: a\n\nä\n")
	sevenAll := plain
	sevenAll.Open = opener("S: a\n\na\n")
	idn := sevenAll
	idn.Recipients = []Recipient{{Address: "b@bücher.example"}}
	for _, tt := range []struct {
		name       string
		m          Message
		ext        []string
		code       int
		enhanced   smtp.EnhancedCode
		mail, rcpt string
	}{
		{"all", utf8, []string{"SIZE", "8BITMIME", "SMTPUTF8", "DSN"}, 250, smtp.EnhancedCode{2, 0, 0},
			"MAIL FROM:<ä@sender.example> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb", "RCPT TO:<b@x> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+3Do@y"},
		{"no SMTPUTF8, address", utf8, []string{"8BITMIME"}, 550, smtp.EnhancedCode{5, 6, 7}, "", ""},
		{"no SMTPUTF8, header", plain, []string{"8BITMIME"}, 550, smtp.EnhancedCode{5, 6, 7}, "", ""},
		{"no SMTPUTF8, no need", sevenHeader, []string{"8BITMIME"}, 250, smtp.EnhancedCode{2, 0, 0}, "MAIL FROM:<a@sender.example> BODY=8BITMIME", "RCPT TO:<b@x>"},
		{"no SMTPUTF8, IDN", idn, nil, 250, smtp.EnhancedCode{2, 0, 0}, "MAIL FROM:<a@sender.example>", "RCPT TO:<b@xn--bcher-kva.example>"},
		{"no 8BITMIME", sevenHeader, nil, 554, smtp.EnhancedCode{5, 6, 3}, "", ""},
		{"no 8BITMIME, no need", sevenAll, nil, 250, smtp.EnhancedCode{2, 0, 0}, "MAIL FROM:<a@sender.example>", "RCPT TO:<b@x>"},
		{"too large", plain, []string{"SIZE 8", "SMTPUTF8"}, 552, smtp.EnhancedCode{5, 3, 4}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &peer{ehlo: tt.ext}
			bubble(t, p, func(t *testing.T, d *Deliverer) {
				rs, err := d.Deliver(t.Context(), mx, tt.m)
				if err != nil || rs[0].Reply.Code != tt.code || rs[0].Reply.EnhancedCode != tt.enhanced {
					t.Fatal(rs, err)
				}
				if rs[0].RelayedToDSN != (tt.name == "all") {
					t.Error("RelayedToDSN", rs[0].RelayedToDSN)
				}
			})
			if got := strings.Join(append(p.said("MAIL"), p.said("RCPT")...), ""); got != tt.mail+tt.rcpt {
				t.Errorf("%q", got)
			}
		})
	}
}

// No address can end its angle brackets or its line.
func TestAddressesThatMustNotBeWritten(t *testing.T) {
	p := &peer{}
	bubble(t, p, func(t *testing.T, d *Deliverer) {
		m := message("a@x> NOTIFY=NEVER", "a@x\r\nRCPT TO:<v@x", "\"a\r\n\"@x", `"a"b"@x`, "", "a\x00@x", `"ok> <"@x`)
		rs, err := d.Deliver(t.Context(), mx, m)
		if diff := cmp.Diff([]int{550, 550, 550, 550, 550, 550, 250}, codes(rs)); diff != "" || err != nil {
			t.Error(err, diff)
		}
		m = message("a@x")
		m.From = "a@x>\nRSET"
		if rs, err = d.Deliver(t.Context(), mx, m); err != nil || rs[0].Reply.Code != 550 {
			t.Error(rs, err)
		}
	})
	if got := p.said("RCPT"); len(got) != 1 || got[0] != `RCPT TO:<"ok> <"@x>` {
		t.Errorf("%q", got)
	}
}

// Hundreds of recipients go in batches, and those that are one too many in the next transaction.
func TestManyRecipients(t *testing.T) {
	var to []string
	for i := range 250 {
		to = append(to, fmt.Sprintf("u%d@x", i))
	}
	for ext, transactions := range map[string]int{"PIPELINING": 3, "LIMITS RCPTMAX=50": 5} {
		p := &peer{ehlo: []string{ext}}
		bubble(t, p, func(t *testing.T, d *Deliverer) {
			rs, err := d.Deliver(t.Context(), mx, message(to...))
			for _, r := range rs {
				if r.Reply.Code != 250 || err != nil {
					t.Fatal(r, err)
				}
			}
		})
		if len(p.bodies) != transactions || len(p.said("RCPT")) != 250 {
			t.Errorf("%s: %d transactions", ext, len(p.bodies))
		}
	}
	p := &peer{ehlo: pipe, answer: map[string]string{"RCPT TO:<b": "452 4.5.3 one is enough\r\n"}}
	bubble(t, p, func(t *testing.T, d *Deliverer) {
		rs, err := d.Deliver(t.Context(), mx, message("a@x", "b@x"))
		if diff := cmp.Diff([]int{250, 452}, codes(rs)); diff != "" || err != nil {
			t.Error(err, diff)
		}
	})
	if len(p.said("MAIL")) != 2 || len(p.bodies) != 2 || p.bodies[1] != "" {
		t.Errorf("%q %q", p.commands, p.bodies)
	}
}

// checklist 104: connections are kept, and a kept one that has died harms nobody.
func TestKeptConnections(t *testing.T) {
	p := &peer{ehlo: pipe}
	bubble(t, p, func(t *testing.T, d *Deliverer) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { d.Run(ctx) })
		synctest.Wait()
		deliver := func() {
			t.Helper()
			if rs, err := d.Deliver(ctx, mx, message("a@x")); err != nil || rs[0].Reply.Code != 250 {
				t.Error(rs, err)
			}
		}
		for range 3 {
			deliver()
		}
		if p.conns != 1 || len(p.said("QUIT")) != 0 {
			t.Errorf("%d connections", p.conns)
		}
		time.Sleep(idleTime + reapEvery) // of the bubble: the reaper's turn
		synctest.Wait()
		if len(p.said("QUIT")) != 1 {
			t.Error("the idle connection is still open")
		}
		for range maxMessages + 1 {
			deliver()
		}
		if p.conns != 3 {
			t.Errorf("%d connections, want 3", p.conns)
		}
		p.answer = map[string]string{"MAIL": "close"}
		deliver2 := func() []Result { rs, _ := d.Deliver(ctx, mx, message("a@x")); return rs }
		if rs := deliver2(); rs[0].Reply.Code != 451 || p.conns != 4 {
			t.Errorf("a dead kept connection was not replaced: %v, %d connections", rs, p.conns)
		}
		cancel()
		wg.Wait()
	})
}

// checklist 98: what ctx ends is neither delivered nor failed; after the final dot the reply is waited for.
func TestContextEnds(t *testing.T) {
	for verb, want := range map[string]time.Duration{"MAIL": time.Second, ".": 31 * time.Second} {
		bubble(t, &peer{answer: map[string]string{verb: "hang"}}, func(t *testing.T, d *Deliverer) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			rs, err := d.Deliver(ctx, mx, message("a@x"))
			undone := len(rs) == 0 && errors.Is(err, context.DeadlineExceeded)
			lost := err == nil && len(rs) == 1 && rs[0].Lost && rs[0].Reply.Code == 451
			if (verb == "MAIL" && !undone) || (verb == "." && !lost) || time.Since(begin) != want {
				t.Errorf("%s: %v %v after %v", verb, rs, err, time.Since(begin))
			}
		})
	}
}

// What was delivered before ctx ended is reported, so that it is not sent again.
func TestContextEndsBetweenTransactions(t *testing.T) {
	p := &peer{ehlo: []string{"LIMITS RCPTMAX=1"}, answer: map[string]string{"RCPT TO:<b": "hang"}}
	bubble(t, p, func(t *testing.T, d *Deliverer) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		rs, err := d.Deliver(ctx, mx, message("a@x", "b@x"))
		if len(rs) != 1 || rs[0].Address != "a@x" || rs[0].Reply.Code != 250 || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("%v %v after %v", rs, err, time.Since(begin))
		}
	})
}

// Content that cannot be read is never delivered in part.
func TestContentBreaks(t *testing.T) {
	p := &peer{ehlo: pipe}
	bubble(t, p, func(t *testing.T, d *Deliverer) {
		m := message("a@x")
		m.Open = func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(content), iotest.ErrReader(errBroken))), nil
		}
		rs, err := d.Deliver(t.Context(), mx, m)
		if len(rs) != 0 || !errors.Is(err, errBroken) {
			t.Error(rs, err)
		}
	})
	if len(p.bodies) != 0 {
		t.Errorf("%q", p.bodies)
	}
}

// checklist 93: a greeting that refuses is no reason to give up the host's other addresses.
func TestAddressesOfOneHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		bad, good := &peer{greeting: "421 busy\r\nclose"}, &peer{}
		d := &Deliverer{Hostname: "us.example", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "[2001:db8::1]") {
				return bad.dial(&wg)(ctx, network, address)
			}
			return good.dial(&wg)(ctx, network, address)
		}}
		hop := mx
		hop.Addrs = addrs("2001:db8::1", "192.0.2.1")
		rs, err := d.Deliver(t.Context(), hop, message("a@x"))
		if err != nil || rs[0].Reply.Code != 250 || rs[0].Hop != "mx.example [192.0.2.1]:25" {
			t.Error(rs, err)
		}
		wg.Wait()
	})
}

func TestHostnameIsRequired(t *testing.T) {
	if _, err := new(Deliverer).Deliver(t.Context(), mx, message("a@x")); !errors.Is(err, errHostname) {
		t.Error(err)
	}
}
