package policy

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/auth"
	"github.com/seed-1397b510/smarthost/policy/limit"
)

const host = "mx.example.org"

func alice(senders ...string) auth.Account { return auth.Account{Name: "alice", Senders: senders} }

func code(err error) int {
	var reply *smtp.SMTPError
	if errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}

// checklist 71
func TestSender(t *testing.T) {
	for _, test := range []struct {
		acct auth.Account
		from string
		ok   bool
	}{
		{alice("a@b.example"), "a@b.example", true},
		{alice("a@b.example"), "A@B.EXAMPLE", true},
		{alice("a@b.example"), `"a"@b.example`, true},
		{alice("k@b.example"), "\u212a@b.example", false}, // the Kelvin sign, whose lower case is k
		{alice("a@b.example"), "a+x@b.example", false},
		{alice("a@b.example"), "x@b.example", false},
		{alice("a@b.example"), "a@sub.b.example", false},
		{alice("a@b.example"), `"a@b.example> x"@evil.example`, false},
		{alice("a@b.example"), `"x@evil.example"@b.example`, false},
		{alice("*@b.example"), `"any thing"@b.example`, true},
		{alice("*@b.example"), "a@xb.example", false},
		{alice("a+*@b.example"), "a+shop@b.example", true},
		{alice("a+*@b.example"), "a@b.example", false},
		{alice("*@bücher.example"), "a@xn--bcher-kva.example", true},
		{alice("*@xn--bcher-kva.example"), "a@Bücher.example", true},
		{alice("*"), "anyone@anywhere.example", true},
		{alice(), "alice@b.example", false},
		{auth.Account{Name: "alice@b.example"}, "Alice@b.example", true},
		{auth.Account{Name: "alice@b.example"}, "bob@b.example", false},
		{alice("a@b.example"), "", true}, // checklist 57: a laptop's own bounces
	} {
		_, err := (&Policy{Hostname: host}).Mail(t.Context(), test.acct, test.from, nil)
		if (err == nil) != test.ok || err != nil && code(err) != 550 {
			t.Errorf("%v as %q: %v", test.acct.Senders, test.from, err)
		}
	}
}

func TestSenderRefusalSaysWhatIsAllowed(t *testing.T) {
	_, err := (&Policy{}).Mail(t.Context(), alice("a@b.example", "*@c.example"), "x\r\n@d.example", nil)
	want := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1},
		Message: "x??@d.example is not an address of alice; allowed: a@b.example, *@c.example"}
	if diff := cmp.Diff(error(want), err); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// checklist 69, 72
func TestRecipient(t *testing.T) {
	for to, want := range map[string]int{
		"a@b.example": 0, "Postmaster": 0, "postmaster@b.example": 0, `"a b"@b.example`: 0, "a@bücher.example": 0, "a@_x.b.example": 0,
		"a": 550, "a@localhost": 550, "a@[192.0.2.1]": 550, "a@b..example": 550, "a@-b.example": 550, "a@192.0.2.1": 550, "a@b.example.": 0,
		"a@" + strings.Repeat("x", 64) + ".example": 550,
	} {
		tx, err := (&Policy{}).Mail(t.Context(), alice("*"), "a@b.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rcpt(t.Context(), to, nil); code(err) != want {
			t.Errorf("%q: %v, want %d", to, err, want)
		}
	}
}

// pass sends a message through a policy and returns what Finish says.
func pass(t *testing.T, p *Policy, acct auth.Account, content string, to ...string) (Sealed, error) {
	t.Helper()
	tx, err := p.Mail(t.Context(), acct, "a@b.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range to {
		if err := tx.Rcpt(t.Context(), r, nil); err != nil {
			t.Fatal(err)
		}
	}
	c := tx.Data(t.Context(), Trace{ID: "0123456789abcdef", Hello: "laptop", With: "ESMTPSA", To: to}, strings.NewReader(content))
	passed, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if string(passed) != content {
		t.Errorf("the content was changed to %q", passed)
	}
	return c.Finish()
}

// checklist 71, 92
func TestFrom(t *testing.T) {
	for _, test := range []struct {
		senders []string
		header  string
		want    int
	}{
		{[]string{"a@b.example"}, "From: Alice <a@b.example>\r\n", 0},
		{[]string{"a@b.example"}, "From: a@b.example,\r\n boss@c.example\r\n", 550},
		{[]string{"a@b.example"}, "From: boss@c.example\r\nSender: a@b.example\r\n", 550},
		{[]string{"a@b.example"}, "From: a@b.example\r\nFrom: a@b.example\r\n", 550},
		{[]string{"*"}, "From: a@b.example\r\nFrom: a@b.example\r\n", 550},
		{[]string{"a@b.example"}, "From: =?utf-8?q?=C3=A4?= <a@b.example>\r\n", 0},
		{[]string{"a@b.example"}, "From: root\r\n", 550},
		{[]string{"a@b.example"}, "From: =?windows-1252?Q?A?= <a@b.example>\r\n", 0},
		{[]string{"a@b.example"}, "From: =?x-unknown?B?gQ==?= <a@b.example>\r\n", 0},
		{[]string{"a@b.example"}, "From: J\xfcrgen <a@b.example>\r\n", 0},
		{[]string{"a@b.example"}, "From: J\xfcrgen <boss@c.example>\r\n", 550},
		{[]string{"a@b.example"}, "From: a@b.example\r\nSender: a@b.example\r\n", 0},
		{[]string{"a@b.example"}, "From: a@b.example\r\nSender: boss@c.example\r\n", 550},
		{[]string{"*"}, "From: root\r\n", 0},
		{[]string{"a@b.example"}, "Subject: no author\r\n", 0},
		{[]string{"a@b.example"}, ">junk\r\nFrom: boss@c.example\r\n", 0}, // begins with no field: all of it is body
		{[]string{"a@b.example"}, "X: y\r\n>junk\r\nFrom: boss@c.example\r\n", 550},
	} {
		_, err := pass(t, &Policy{Hostname: host}, alice(test.senders...), test.header+"\r\nbody\r\n", "x@y.example")
		if code(err) != test.want {
			t.Errorf("%v, %q: %v, want %d", test.senders, test.header, err, test.want)
		}
	}
}

// checklist 84
func TestLoop(t *testing.T) {
	for n, want := range map[int]int{99: 0, 100: 554} {
		_, err := pass(t, &Policy{Hostname: host}, alice("*"), strings.Repeat("Received: x\r\n", n)+"\r\n", "x@y.example")
		if code(err) != want {
			t.Errorf("%d Received fields: %v, want %d", n, err, want)
		}
	}
}

// checklist 86, 88, 90
func TestSealed(t *testing.T) {
	complete := "Date: x\r\nMessage-ID: <1@b>\r\nBcc: z@y.example\r\n\r\nbody\r\n"
	s, err := pass(t, &Policy{Hostname: host}, alice("*"), complete, "x@y.example", "z@y.example")
	if err != nil {
		t.Fatal(err)
	}
	if top := string(s.Top); strings.Count(top, "\r\n") != strings.Count(top, "\r\n\t")+1 || !strings.HasPrefix(top, "Received: from laptop by "+host) || strings.Contains(top, "for <") || strings.Contains(top, "alice") {
		t.Errorf("top is %q", top)
	}
	if diff := cmp.Diff([]Range{{9 + 19, 9 + 19 + 18}}, s.Cut); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.MessageID != "<1@b>" || s.Key == nil || s.Size != int64(len(complete)) {
		t.Errorf("got %+v", s)
	}
	for content, end := range map[string]string{"From: a@b\r\n\r\n": "\r\nMessage-ID: <0123456789abcdef@" + host + ">\r\n", "no header\r\n": ">\r\n\r\n", "\r\nbody\r\n": ">\r\n", "": ">\r\n\r\n", "Message-ID:\r\n\r\n": "+0000\r\n"} {
		s, err := pass(t, &Policy{Hostname: host}, alice("*"), content, "x@y.example")
		if err != nil || !strings.HasSuffix(string(s.Top), end) || strings.HasSuffix(string(s.Top), "\r\n\r\n") != strings.HasSuffix(end, "\r\n\r\n") || !strings.Contains(string(s.Top), "\r\nDate: ") || !strings.Contains(string(s.Top), "for <x@y.example>") || s.Key != nil {
			t.Errorf("%q: %v, top %q", content, err, s.Top)
		}
	}
}

func TestKeyTellsMessagesApart(t *testing.T) {
	const content = "Message-ID: <1@b>\r\n\r\nbody\r\n"
	keys := map[string]string{}
	for name, key := range map[string]func() (Sealed, error){
		"first":     func() (Sealed, error) { return pass(t, &Policy{}, alice("*"), content, "x@y.example", "z@y.example") },
		"recipient": func() (Sealed, error) { return pass(t, &Policy{}, alice("*"), content, "x@y.example") },
		"body": func() (Sealed, error) {
			return pass(t, &Policy{}, alice("*"), content+"!\r\n", "x@y.example", "z@y.example")
		},
		"account": func() (Sealed, error) {
			return pass(t, &Policy{}, auth.Account{Name: "bob", Senders: []string{"*"}}, content, "x@y.example", "z@y.example")
		},
	} {
		s, err := key()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := keys[string(s.Key)]; ok {
			t.Errorf("%s and %s have the same key", name, other)
		}
		keys[string(s.Key)] = name
	}
	again, err := pass(t, &Policy{}, alice("*"), "Received: x\r\n"+content, "z@y.example", "x@y.example")
	if err != nil || keys[string(again.Key)] != "first" {
		t.Errorf("the same message, its recipients in another order, has another key (%v)", err)
	}
}

// checklist 84: mail that has come round is not taken for mail sent again, which would lose it with a 250.
func TestKeyTellsRoundsApart(t *testing.T) {
	keys := map[string]int{}
	content := "Message-ID: <1@b>\r\n\r\nbody\r\n"
	for round := range 3 {
		for try := range 2 { // a round that is sent again is still the same
			s, err := pass(t, &Policy{Hostname: host}, alice("*"), content, "x@y.example")
			if err != nil {
				t.Fatal(err)
			}
			if first, ok := keys[string(s.Key)]; ok != (try > 0) || ok && first != round {
				t.Errorf("round %d, try %d: key known %v, from round %d", round, try, ok, first)
			}
			keys[string(s.Key)] = round
			if try > 0 {
				content = string(s.Top) + content
			}
		}
	}
}

// checklist 116: what was refused costs nothing, what was accepted stays counted.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(limit.Limits)
		l.Configure(map[string]limit.Class{limit.Standard: {
			Messages: limit.Rate{Amount: 3, Per: time.Hour}, Recipients: limit.Rate{Amount: 4, Per: time.Hour}, Bytes: limit.Rate{Amount: 100, Per: time.Hour}}})
		p := &Policy{Hostname: host, Limits: l}
		begin := func() *Transaction {
			t.Helper()
			tx, err := p.Mail(t.Context(), alice("*"), "a@b.example", nil)
			if err != nil {
				t.Fatal(err)
			}
			return tx
		}
		for range 10 {
			tx := begin()
			for i := range 4 {
				if err := tx.Rcpt(t.Context(), fmt.Sprintf("r%d@y.example", i), nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := tx.Rcpt(t.Context(), "r@y.example", nil); code(err) != 450 {
				t.Errorf("the fifth recipient: %v, want 450", err)
			}
			c := tx.Data(t.Context(), Trace{}, strings.NewReader("X: y\r\n\r\n"+strings.Repeat("x", 80)+"\r\n"))
			if _, err := io.ReadAll(c); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Finish(); err != nil {
				t.Error(err)
			}
			tx.Cancel()
			tx.Cancel()
		}
		for range 3 {
			tx := begin()
			tx.Accept()
			tx.Cancel()
		}
		if _, err := p.Mail(t.Context(), alice("*"), "a@b.example", nil); code(err) != 450 {
			t.Errorf("the fourth message: %v, want 450", err)
		}
		time.Sleep(time.Hour)
		if _, err := p.Mail(t.Context(), alice("*"), "a@b.example", &smtp.MailOptions{Size: 101}); code(err) != 552 {
			t.Errorf("a size that is never allowed: %v, want 552", err)
		}
	})
}

func BenchmarkMail(b *testing.B) {
	p := &Policy{Hostname: host}
	acct := alice("*@b.example")
	b.ReportAllocs()
	for b.Loop() {
		tx, err := p.Mail(b.Context(), acct, "a@b.example", nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := tx.Rcpt(b.Context(), "x@y.example", nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkContent4K(b *testing.B) {
	p := &Policy{Hostname: host}
	content := "From: a@b.example\r\nTo: x@y.example\r\nSubject: s\r\nDate: d\r\nMessage-ID: <1@b>\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 56)
	tx, err := p.Mail(b.Context(), alice("*"), "a@b.example", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	var buffer [32 << 10]byte
	for b.Loop() {
		c := tx.Data(b.Context(), Trace{ID: "1", Hello: "h", With: "ESMTPSA", To: []string{"x@y.example"}}, strings.NewReader(content))
		if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, buffer[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}
