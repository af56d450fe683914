package smarthosttest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	m := &Message{ID: "1", User: "app", Session: "s", Raw: []byte("Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nX-Kind: reset\r\nContent-Type: text/html\r\n\r\nHello <b>Bob</b>\r\n"),
		Envelope: spool.Envelope{From: "app@example.com", Recipients: []spool.Recipient{{Address: "bob@example.net"}}}}
	for _, test := range []struct {
		match     Match
		text, why string
	}{
		{Match{}, "any message", ""},
		{To("BOB@*"), "to BOB@*", ""},
		{To("eve@*"), "to eve@*", "recipients are <bob@example.net>"},
		{From("x@y"), "from x@y", "reverse-path is <app@example.com>"},
		{By("eve"), "by user eve", `user is "app"`},
		{ID("2"), "id 2", "id is 1"},
		{In("t"), "in session t", "session is s"},
		{Subject("Grüße"), `Subject "Grüße"`, ""},
		{Subject("grüße"), `Subject "grüße"`, `Subject is "Grüße"`},
		{SubjectContains("üß"), `Subject with "üß"`, ""},
		{SubjectContains("x"), `Subject with "x"`, `Subject is "Grüße"`},
		{BodyContains("<b>Bob"), `body with "<b>Bob"`, ""},
		{BodyContains("Hello Bob"), `body with "Hello Bob"`, ""},
		{BodyContains("Eve"), `body with "Eve"`, `body is "Hello Bob"`},
		{Header("x-kind", "RES*"), "field x-kind: RES*", ""},
		{Header("X-Kind", "x"), "field X-Kind: x", `X-Kind is "reset"`},
		{Header("Date", ""), "field Date: ", "there is no field Date"},
		{That("large", func(m *Message) bool { return len(m.Raw) > 1000 }), "large", "is not large"},
		{And(To("bob@*"), ID("1")), "(to bob@*) and (id 1)", ""},
		{And(To("eve@*"), ID("2")), "(to eve@*) and (id 2)", "recipients are <bob@example.net>; id is 1"},
		{Or(To("eve@*"), ID("1")), "(to eve@*) or (id 1)", ""},
		{Or(To("eve@*"), ID("2")), "(to eve@*) or (id 2)", "recipients are <bob@example.net>; id is 1"},
		{Or(), "", "there is nothing to match"},
		{Not(To("eve@*")), "not (to eve@*)", ""},
		{Not(To("bob@*")), "not (to bob@*)", "matches to bob@*"},
		{Not(Match{}), "not (any message)", "matches any message"},
	} {
		if got := test.match.String(); got != test.text {
			t.Errorf("words are %q, and should be %q", got, test.text)
		}
		if got := test.match.Why(m); got != test.why {
			t.Errorf("%s: why is %q, and should be %q", test.text, got, test.why)
		}
	}
}

// An error of WaitFor says what was looked for and why each message is not it.
func TestNearMiss(t *testing.T) {
	t.Parallel()
	s := NewServer(t, InMemory())
	if err := send(t, s, "app", "app@example.com", []string{"bob@example.net"}, letter); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no more time"))
	_, err := s.WaitFor(ctx, To("bob@*"), Subject("reset"))
	for _, part := range []string{"no more time", `looked for: (to bob@*) and (Subject "reset"); messages that are there: 1`, `: Subject is "hello"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}
