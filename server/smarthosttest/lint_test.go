package smarthosttest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// proper is a message with nothing to find in it.
var proper = []string{"C: Date: Mon, 1 Jan 2000 00:00:00 +0000", "C: Message-ID: <1@laptop.example.org>", "C: From: alice@example.org", "C: Subject: x", "C:", "C: text"}

func transfer(lines ...string) []string {
	return slices.Concat([]string{mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*"}, lines, []string{"C: .", "S: [245].*"})
}

var bye = []string{"C: QUIT", "S: 221 .*", "@eof"}

func TestLint(t *testing.T) {
	greylist := []string{`{"on":"rcpt","times":1,"do":{"reply":[451,"4.7.1","greylisted"]}}`}
	for name, scene := range map[string]struct {
		rules []string
		lines [][]string
		want  []string
	}{
		"all well": {lines: [][]string{enter, transfer(proper...), bye}},
		"all well with STARTTLS, in groups": {lines: [][]string{{"@connect", "S: 220 .*", "C: EHLO laptop.example.org", "@keywords", "@starttls", "@ehlo laptop.example.org", "@login alice",
			`@raw "MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@dest.example>\r\nDATA\r\n"`, yes, yes, "S: 354 .*"}, proper, {"C: .", yes}, bye}},
		"credentials in clear": {lines: [][]string{{"@connect", "S: 220 .*", "C: AUTH PLAIN AGFsaWNlAHdyb25n", "S: 530 .*"}, bye}, want: []string{"credentials-in-clear"}},
		"mail in clear":        {lines: [][]string{{"@connect", "S: 220 .*", mailFrom, "S: 530 .*"}, bye}, want: []string{"mail-in-clear"}},
		"no EHLO after STARTTLS": {lines: [][]string{{"@connect", "S: 220 .*", "@starttls", mailFrom, "S: 503 .*"}, bye},
			want: []string{"no-ehlo-after-starttls"}},
		"HELO":               {lines: [][]string{{"@tls", "S: 220 .*", "C: HELO laptop.example.org", yes}, bye}, want: []string{"helo"}},
		"localhost":          {lines: [][]string{{"@tls", "S: 220 .*", "@ehlo localhost"}, bye}, want: []string{"ehlo-name"}},
		"an address":         {lines: [][]string{{"@tls", "S: 220 .*", "@ehlo 192.0.2.1"}, bye}, want: []string{"ehlo-name"}},
		"a bare LF":          {lines: [][]string{enter, {`@raw "NOOP\n"`, "S: 500 .*", `@raw "\r\n"`}, bye}, want: []string{"bare-line-end"}},
		"a bare LF in text":  {lines: [][]string{enter, {mailFrom, yes, rcpt, yes, "C: DATA", "S: 354 .*", `@raw "a\nb\r\n.\r\n"`, "S: 550 .*", "@gone"}}, want: []string{"bare-line-end"}},
		"a long command":     {lines: [][]string{enter, {`@repeat 600 "x"`, "C:", "S: 500 .*"}, bye}, want: []string{"long-command"}},
		"a blank":            {lines: [][]string{enter, {"C: MAIL FROM: <alice@example.org>", "S: .*"}, bye}, want: []string{"blank-before-path"}},
		"DATA before 354":    {lines: [][]string{enter, {mailFrom, yes, rcpt, yes, `@raw "DATA\r\nDate: x\r\nFrom: alice@example.org\r\nMessage-ID: <1@x>\r\n\r\n.\r\n"`, "S: 354 .*", yes}, bye}, want: []string{"sent-ahead"}},
		"groups unasked for": {lines: [][]string{{"@tls", "S: 220 .*", `@raw "RSET\r\nNOOP\r\n"`, "S: .*", "S: .*"}, bye}, want: []string{"pipelining-not-offered"}},
		"no QUIT":            {lines: [][]string{enter, {"@close"}}, want: []string{"no-quit"}},
		"no QUIT, and a rule is to blame": {rules: []string{`{"on":"mail","do":{"delay":"1s"}}`},
			lines: [][]string{enter, {mailFrom, yes, "@close"}}},
		"all recipients refused": {rules: []string{`{"on":"rcpt","do":{"reply":[550,"5.1.1","nobody"]}}`},
			lines: [][]string{enter, {mailFrom, yes, rcpt, "S: 550 .*", "C: DATA", "S: 503 .*"}, bye}, want: []string{"data-without-recipients"}},
		"all recipients refused, in a group": {rules: []string{`{"on":"rcpt","do":{"reply":[550,"5.1.1","nobody"]}}`},
			lines: [][]string{enter, {`@raw "MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@dest.example>\r\nDATA\r\n"`, yes, "S: 550 .*", "S: 503 .*"}, bye}},
		"again after 5xx": {rules: []string{`{"on":"rcpt","times":1,"do":{"reply":[550,"5.1.1","nobody"]}}`},
			lines: [][]string{enter, {mailFrom, yes, rcpt, "S: 550 .*"}, bye, {"@wait 1h"}, enter, transfer(proper...), bye}, want: []string{"repeated-after-5xx"}},
		"again at once after 4xx": {rules: greylist, lines: [][]string{enter, {mailFrom, yes, rcpt, "S: 451 .*"}, bye, enter, transfer(proper...), bye}, want: []string{"no-back-off"}},
		"again in time after 4xx": {rules: greylist, lines: [][]string{enter, {mailFrom, yes, rcpt, "S: 451 .*"}, bye, {"@wait 5m"}, enter, transfer(proper...), bye}},
		"again at once after a 4xx to the dot": {rules: []string{`{"on":"content","times":1,"do":{"reply":[451,"4.3.0","later"]}}`},
			lines: [][]string{enter, transfer(proper...), transfer(proper...), bye}, want: []string{"no-back-off"}},
		"again at once after 421": {rules: []string{`{"on":"banner","times":1,"do":{"reply":[421,"4.3.2","later"]}}`},
			lines: [][]string{{"@connect", "S: 421 .*", "@eof"}, enter, bye}, want: []string{"no-back-off"}},
		"a bare message":  {lines: [][]string{enter, transfer("C: x"), bye}, want: []string{"no-date", "no-message-id", "no-from"}},
		"Bcc":             {lines: [][]string{enter, transfer(append([]string{"C: Bcc: eve@example.org"}, proper...)...), bye}, want: []string{"bcc-field"}},
		"twice":           {lines: [][]string{enter, transfer(append([]string{"C: Subject: y", "C: Return-Path: <x@y>"}, proper...)...), bye}, want: []string{"field-twice", "return-path-field"}},
		"a long line":     {lines: [][]string{enter, transfer(append(slices.Clone(proper), `@repeat 999 "x"`, "C:")...), bye}, want: []string{"long-line"}},
		"8 bit":           {lines: [][]string{enter, transfer(append([]string{"C: Comments: ü"}, append(proper, "C: ü")...)...), bye}, want: []string{"undeclared-8bit", "undeclared-utf8-header"}},
		"8 bit, declared": {lines: [][]string{enter, {"C: MAIL FROM:<alice@example.org> BODY=8BITMIME", yes, rcpt, yes, "C: DATA", "S: 354 .*"}, proper, {"C: ü", "C: .", yes}, bye}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, house := newHouse(t, Config{})
				if _, err := s.AddRules(rules(t, scene.rules...)...); err != nil {
					t.Fatal(err)
				}
				lines := slices.Concat(scene.lines...)
				for i := range lines {
					if lines[i] == "@ehlo laptop" {
						lines[i] = "@ehlo laptop.example.org"
					}
				}
				play(t, house, lines...)
				synctest.Wait()
				var names []string
				for _, f := range s.Lint() {
					names = append(names, f.Name)
					if text := f.String(); !strings.HasPrefix(f.RFC, "RFC ") || f.Advice == "" || strings.Contains(text, "%!") {
						t.Errorf("a finding is not whole: %s", text)
					}
				}
				slices.Sort(names)
				slices.Sort(scene.want)
				if !slices.Equal(names, scene.want) {
					t.Errorf("found %v", s.Lint())
				}
				if left := s.Lint(scene.want...); len(left) != 0 {
					t.Errorf("left out and found: %v", left)
				}
			})
		})
	}
}
