package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGoodServer(t *testing.T) {
	t.Parallel()
	s := startScript(t, &script{})
	var got []string
	for _, f := range examine(t, s.client()) {
		got = append(got, f.Level.String()+" "+f.Check)
	}
	want := []string{"note name", "good connect", "good greeting", "good auth before tls", "good mail without login", "good certificate", "good auth",
		"note extensions", "note mail without login", "good starttls injection", "good tls versions"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for line := range strings.Lines(s.transcript()) {
		if strings.Contains(line, "DATA") || strings.HasPrefix(line, "tls AUTH") {
			t.Errorf("a look without --user sent %q", line)
		}
	}
}

// TestFindings has a server for each thing that can be wrong with it, and what is said of it.
func TestFindings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script *script
		check  string
		level  Level
		what   string // regular expression
	}{
		"banner 554":     {&script{banner: "554 5.7.1 go away"}, "greeting", Problem, `turned away: 554 5\.7\.1 go away`},
		"banner 421":     {&script{banner: "421 4.3.2 busy"}, "greeting", Problem, `not ready.*421`},
		"not SMTP":       {&script{banner: "SSH-2.0-OpenSSH_9.2"}, "conversation", Problem, `greeting: an answer that is not SMTP: "SSH`},
		"control":        {&script{banner: "220 mx\x1b[2J\u202e"}, "greeting", Good, `^220 mx\?\[2J\?$`},
		"clock behind":   {&script{banner: "220 mx ESMTP Exim 4.96 Mon, 23 Nov 2099 11:00:00 +0000"}, "clock", Problem, `clock is \d+ days behind`},
		"clock ahead":    {&script{banner: "220 mx ESMTP Exim 4.96 Wed, 23 Nov 2016 11:00:00 +0000"}, "clock", Problem, `clock is \d+ days ahead of`},
		"EHLO in clear":  {&script{clear: map[string]string{"EHLO": "550 5.7.1 bad name"}}, "ehlo", Problem, `EHLO is refused: 550 5\.7\.1 bad name`},
		"EHLO in TLS":    {&script{secure: map[string]string{"EHLO": "451 4.3.0 wait"}}, "ehlo", Problem, `inside TLS: 451`},
		"no STARTTLS":    {&script{clear: map[string]string{"EHLO": "250 mx"}}, "starttls", Problem, `not offered`},
		"mail in clear":  {&script{clear: map[string]string{"EHLO": "250 mx", "MAIL": "550 no"}}, "mail without login", Warning, `without TLS, which is not offered, is refused for good`},
		"AUTH in clear":  {&script{clear: map[string]string{"EHLO": "250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS"}}, "auth before tls", Problem, `offered before TLS: AUTH PLAIN$`},
		"CRAM in clear":  {&script{clear: map[string]string{"EHLO": "250-mx\r\n250-AUTH CRAM-MD5\r\n250 STARTTLS"}}, "auth before tls", Warning, `AUTH CRAM-MD5$`},
		"AUTH unoffered": {&script{clear: map[string]string{"AUTH": "334 "}}, "auth before tls", Problem, `accepted, although`},
		"454":            {&script{clear: map[string]string{"STARTTLS": "454 4.7.0 no key"}}, "tls", Problem, `cannot be started: 454 4\.7\.0 no key`},
		"handshake":      {&script{config: &tls.Config{Certificates: []tls.Certificate{{}}}}, "tls", Problem, `handshake fails: the server answered with the alert handshake failure`},
		"injection":      {&script{injection: true}, "starttls injection", Problem, `is answered inside TLS`},
		"no AUTH":        {&script{secure: map[string]string{"EHLO": "250 mx"}}, "auth", Problem, `no login is offered`},
		"PLAIN":          {&script{secure: map[string]string{"EHLO": "250-mx\r\n250 AUTH PLAIN"}}, "auth", Warning, `^AUTH PLAIN$`},
		"LOGIN":          {&script{secure: map[string]string{"EHLO": "250-mx\r\n250 AUTH=LOGIN"}}, "auth", Note, `^AUTH LOGIN$`},
		"OAUTH":          {&script{secure: map[string]string{"EHLO": "250-mx\r\n250 AUTH XOAUTH2"}}, "auth", Warning, `XOAUTH2`},
		"extensions":     {&script{}, "extensions", Note, `^mail up to 50 MiB; 8BITMIME$`},
		"clear 550":      {&script{clear: map[string]string{"MAIL": "250 ok", "RCPT": "550 relay not permitted"}}, "mail without login", Warning, `"550 relay not permitted" \(at RCPT\)`},
		"clear 530":      {&script{clear: map[string]string{"MAIL": "530 5.7.0 Must issue a STARTTLS command first"}}, "mail without login", Warning, `refused for good: "530`},
		"TLS 550":        {&script{secure: map[string]string{"MAIL": "250 ok", "RCPT": "550 relay not permitted"}}, "mail without login", Warning, `without a login, is refused for good`},
		"relay":          {&script{secure: map[string]string{"MAIL": "250 ok", "RCPT": "250 ok"}}, "mail without login", Warning, `to a foreign address is accepted`},
		"old TLS":        {&script{config: &tls.Config{MinVersion: tls.VersionTLS10}}, "tls versions", Warning, `^TLS 1\.0, TLS 1\.1, TLS 1\.2, TLS 1\.3$`},
		"only old TLS":   {&script{config: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}}, "tls versions", Problem, `nothing newer than TLS 1\.1`},
		"no TLS 1.3":     {&script{config: &tls.Config{MaxVersion: tls.VersionTLS12}}, "tls versions", Note, `^TLS 1\.2$`},
		"no TLS 1.2":     {&script{config: &tls.Config{MinVersion: tls.VersionTLS13}}, "tls versions", Note, `^TLS 1\.3$`},
		"cut":            {&script{clear: map[string]string{"MAIL": "close"}}, "conversation", Problem, `MAIL before TLS: the connection was closed`},
		"TLS first":      {&script{implicit: true}, "greeting", Good, `^220`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startScript(t, c.script)
			all := examine(t, s.client())
			for _, f := range find(all, c.check) {
				if f.Level == c.level && regexp.MustCompile(c.what).MatchString(f.What) {
					if f.Level > Note && (f.Why == "" || f.Do == "") {
						t.Errorf("it does not say why, or what to do: %+v", f)
					}
					return
				}
			}
			t.Errorf("no finding %q at level %v that matches %q:\n%+v", c.check, c.level, c.what, all)
		})
	}
}

// TestWordsDecide: a bounce whose words say what is missing is told apart from one that says nothing.
func TestWordsDecide(t *testing.T) {
	t.Parallel()
	loopback := startScript(t, &script{}).addr.Addr()
	mute := judgeStranger(inClear, answer{reply: reply{550, []string{"relay not permitted"}}, step: "RCPT"}, answer{}, loopback)
	plain := judgeStranger(inClear, answer{reply: reply{530, []string{"5.7.0 Must issue a STARTTLS command first"}}, step: "MAIL"}, answer{}, loopback)
	if !strings.Contains(mute.Why, "the words say nothing") || strings.Contains(plain.Why, "the words say nothing") {
		t.Errorf("mute: %s\nplain: %s", mute.Why, plain.Why)
	}
}

// TestUnverified: without a trusted certificate everything is examined, and no password is sent.
func TestUnverified(t *testing.T) {
	t.Parallel()
	s := startScript(t, &script{})
	c := s.client()
	c.Roots = x509.NewCertPool()
	c.User, c.Password, c.From = "alice", "secret-word", "alice@example.org"
	all := examine(t, c)
	if f := find(all, "login"); len(f) != 1 || f[0].Level != Problem || !strings.Contains(f[0].What, "not tried") {
		t.Errorf("login: %+v", f)
	}
	if f := find(all, "auth"); len(f) != 1 || f[0].Level != Good {
		t.Errorf("auth: %+v", f)
	}
	if strings.Contains(s.transcript(), "tls AUTH") {
		t.Errorf("a login went through TLS that did not verify:\n%s", s.transcript())
	}
}

// TestInterrupt: what was found until then stays, and the interruption is not taken for a fault of the server.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	s := startScript(t, &script{secure: map[string]string{"EHLO": strings.Repeat("250-more\r\n", 3) + "250-"}})
	ctx, cancel := context.WithCancel(t.Context())
	c := s.client()
	c.Password = "secret-word"
	c.Progress = func(what string) {
		if strings.HasPrefix(what, "TLS on") {
			cancel()
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(text, "secret-word") {
		t.Errorf("the password is printed: %s", text)
	}
	var all []Finding
	if err := c.Run(ctx, func(f Finding) { all = append(all, f) }); !errors.Is(err, context.Canceled) {
		t.Fatalf("Run: %v", err)
	}
	if len(find(all, "greeting")) != 1 {
		t.Errorf("what was found before is not reported: %+v", all)
	}
	for _, f := range all {
		if f.Level > Note {
			t.Errorf("the interruption became a finding: %+v", f)
		}
	}
}
