package forward

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/spool"
)

// checklist 106: nothing is ever sent about mail that has no sender, not even about a report.
func TestNullSender(t *testing.T) {
	inHouse(t, func(h *house) {
		h.Configure(Settings{Retry: []time.Duration{time.Hour}, GiveUp: 6 * time.Hour})
		h.hosts["x.example"] = each(func(address string) int {
			return map[string]int{"gone@x.example": 550, "later@x.example": 450, "ok@x.example": 250}[address]
		})
		all := []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed}
		h.add(func(e *spool.Envelope) {
			e.From = ""
			for i := range e.Recipients {
				e.Recipients[i].Notify = all
			}
		}, "gone@x.example", "later@x.example", "ok@x.example")
		h.hosts["from.example"] = takes(550) // the report of this one fails too
		h.add(nil, "gone@x.example")
		h.run(12 * time.Hour)
		same(h, "left", nil, h.left())
		reports := 0
		for _, call := range h.calls {
			if !strings.HasPrefix(call, "x.example: ") {
				reports++
			}
		}
		if reports != 1 {
			h.Errorf("%d reports were sent, want the one about alice's mail: %q", reports, h.calls)
		}
	})
}

// checklist 107: who is told of what is the sender's choice.
func TestNotify(t *testing.T) {
	const never, failure, success, delay = smtp.DSNNotifyNever, smtp.DSNNotifyFailure, smtp.DSNNotifySuccess, smtp.DSNNotifyDelayed
	for _, test := range []struct {
		notify []smtp.DSNNotify
		host   host
		want   string // actions of the reports, in order
	}{
		{nil, takes(550), "failed"},
		{nil, takes(250), ""},
		{nil, takes(450), "failed"}, // given up
		{[]smtp.DSNNotify{never}, takes(550), ""},
		{[]smtp.DSNNotify{never}, takes(450), ""},
		{[]smtp.DSNNotify{never}, takes(250), ""},
		{[]smtp.DSNNotify{failure}, takes(550), "failed"},
		{[]smtp.DSNNotify{failure}, takes(250), ""},
		{[]smtp.DSNNotify{success}, takes(550), ""},
		{[]smtp.DSNNotify{success}, takes(250), "relayed"},
		{[]smtp.DSNNotify{success}, takesOver, ""},
		{[]smtp.DSNNotify{success}, inOrder(takes(450), takes(250)), "relayed"},
		{[]smtp.DSNNotify{delay}, takes(450), "delayed"}, // once, and not of the end
		{[]smtp.DSNNotify{delay, failure}, takes(450), "delayed failed"},
		{[]smtp.DSNNotify{delay}, inOrder(takes(450), takes(450), takes(450), takes(450), takes(250)), ""}, // delivered within 4 hours
	} {
		inHouse(t, func(h *house) {
			h.Configure(Settings{Retry: []time.Duration{time.Hour}, GiveUp: 10 * time.Hour})
			h.hosts["x.example"] = test.host
			h.add(func(e *spool.Envelope) { e.Recipients[0].Notify = test.notify }, "bob@x.example")
			h.run(15 * time.Hour)
			var actions []string
			for _, r := range h.reports() {
				_, rest, _ := strings.Cut(r.content, "\r\nAction: ")
				action, _, _ := strings.Cut(rest, "\r\n")
				actions = append(actions, strings.Fields(action)[0])
			}
			if got := strings.Join(actions, " "); got != test.want {
				h.Errorf("%v: reports %q, want %q", test.notify, got, test.want)
			}
			same(h, "left", nil, h.left())
		})
	}
}

// takesOver takes mail and the task to report success.
func takesOver(_ context.Context, m deliver.Message) ([]deliver.Result, error) {
	return []deliver.Result{{Address: m.Recipients[0].Address, Reply: reply(250), RelayedToDSN: true}}, nil
}

// checklist 109: what the sender asked for goes to the hop as it came.
func TestParametersGoOn(t *testing.T) {
	inHouse(t, func(h *house) {
		to := spool.Recipient{Address: "bob@x.example", Destination: "x.example", Notify: []smtp.DSNNotify{smtp.DSNNotifySuccess}, OriginalType: smtp.DSNAddressTypeRFC822, Original: "b+ob@y.example"}
		h.hosts["x.example"] = takesOver
		h.add(func(e *spool.Envelope) {
			e.Recipients = []spool.Recipient{to}
			e.Return, e.EnvelopeID, e.Body, e.UTF8, e.RequireTLS = smtp.DSNReturnHeaders, "QQ+1", smtp.Body8BitMIME, true, true
		})
		h.run(time.Second)
		got := h.mails[0].Message
		got.Open = nil
		same(h, "message", deliver.Message{
			From: "alice@from.example", Return: smtp.DSNReturnHeaders, EnvelopeID: "QQ+1", Body: smtp.Body8BitMIME, UTF8: true, RequireTLS: true, Size: int64(len(content)),
			Recipients: []deliver.Recipient{{Address: to.Address, Notify: to.Notify, OriginalType: to.OriginalType, Original: to.Original}},
		}, got)
	})
}

// checklist 105, 108: a report holds the fields of RFC 3464, and of the message what was asked for.
func TestReportContent(t *testing.T) {
	for _, test := range []struct {
		ret   smtp.DSNReturn
		whole bool
	}{{"", true}, {smtp.DSNReturnFull, true}, {smtp.DSNReturnHeaders, false}} {
		inHouse(t, func(h *house) {
			h.hosts["x.example"] = takes(550)
			h.add(func(e *spool.Envelope) {
				e.Return, e.EnvelopeID = test.ret, "QQ1"
				e.Recipients[0].OriginalType, e.Recipients[0].Original = smtp.DSNAddressTypeRFC822, "b+ob@y.example"
			}, "bob@x.example")
			h.run(time.Second)
			text := h.reports()[0].content
			wants := map[string]bool{"Content-Type: message/rfc822": test.whole, "\r\nbody\r\n": test.whole, "Content-Type: text/rfc822-headers": !test.whole}
			for _, always := range []string{"report-type=delivery-status", "Original-Envelope-Id: QQ1", "Arrival-Date: ", "Original-Recipient: rfc822;", "Final-Recipient: rfc822;",
				"Status: 5.1.1", "Remote-MTA: dns;", "Diagnostic-Code: smtp; 550", "Subject: hello"} {
				wants[always] = true
			}
			for part, want := range wants {
				if strings.Contains(text, part) != want {
					h.Errorf("RET=%s: %q is there: %v, want %v\n%s", test.ret, part, !want, want, text)
				}
			}
		})
	}
}

// checklist 108: a report stays small, whatever it is about.
func TestReportIsBounded(t *testing.T) {
	for _, test := range []struct {
		ret  smtp.DSNReturn
		size int64
		want bool
	}{
		{"", wholeUnasked, true}, {"", wholeUnasked + 1, false},
		{smtp.DSNReturnFull, wholeAsked, true}, {smtp.DSNReturnFull, wholeAsked + 1, false},
	} {
		inHouse(t, func(h *house) {
			id := h.add(nil, "bob@x.example")
			w := h.newWork()
			d := spool.Delivery{Envelope: spool.Envelope{ID: id, Return: test.ret, Size: test.size}}
			if _, whole := w.returned(h.Context(), d, "failed"); whole != test.want {
				h.Errorf("RET=%s, %d octets: whole is %v", test.ret, test.size, whole)
			}
			if text, whole := w.returned(h.Context(), d, "delayed"); whole || string(text) != "Subject: hello\r\nMessage-ID: <1@example.org>\r\n" {
				h.Errorf("a report of delay returns %q", text)
			}
		})
	}
}

// checklist 110: a report's id follows from what it reports, so that it is queued once however often it is settled.
func TestReportID(t *testing.T) {
	inHouse(t, func(h *house) {
		w := h.newWork()
		settle := func(change func(*spool.Delivery, *tried)) string {
			d := spool.Delivery{Envelope: spool.Envelope{ID: "m", From: "alice@from.example"}, Destination: "x.example", Attempts: 1}
			tr := tried{results: []spool.Result{{Address: "a@x.example", Reply: reply(550)}}}
			change(&d, &tr)
			s := w.settlement(h.Context(), d, tr, time.Now())
			if len(s.Reports) != 1 || s.Reports[0].Envelope.Parent != d.ID || s.Reports[0].Envelope.From != "" || s.Reports[0].Envelope.Account != "" {
				h.Fatalf("got %+v", s.Reports)
			}
			return s.Reports[0].Envelope.ID
		}
		ids := map[string]bool{}
		for _, change := range []func(*spool.Delivery, *tried){
			func(*spool.Delivery, *tried) {},
			func(d *spool.Delivery, _ *tried) { d.ID = "n" },
			func(d *spool.Delivery, _ *tried) { d.Destination = "y.example" },
			func(d *spool.Delivery, _ *tried) { d.Attempts++ },
			func(_ *spool.Delivery, tr *tried) { tr.results[0].Address = "b@x.example" },
		} {
			first := settle(change)
			time.Sleep(time.Second) // the bubble's clock
			if again := settle(change); again != first {
				h.Errorf("the id is %s, then %s", first, again)
			}
			ids[first] = true
		}
		if len(ids) != 5 {
			h.Errorf("%d ids for 5 different reports", len(ids))
		}
	})
}

// checklist 111: many recipients of one destination that fail together are one report.
func TestOneReportForMany(t *testing.T) {
	inHouse(t, func(h *house) {
		h.hosts["x.example"] = takes(550)
		var to []string
		for i := range 50 {
			to = append(to, fmt.Sprintf("u%d@x.example", i))
		}
		h.add(nil, to...)
		h.run(time.Second)
		if n := len(h.reports()); n != 1 {
			h.Fatalf("%d reports", n)
		}
		if n := strings.Count(h.reports()[0].content, "Final-Recipient:"); n != 50 {
			h.Errorf("the report speaks of %d recipients, want 50", n)
		}
	})
}

// Each line about a message can be joined with those of the session that brought it; a report has none.
func TestLogNamesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir())
		defer h.close()
		h.hosts["no.example"] = takes(550)
		h.hosts["later.example"] = takes(450)
		h.add(func(e *spool.Envelope) { e.Session = "s1" }, "a@yes.example", "b@no.example", "c@later.example")
		h.run(time.Second)
		for _, event := range []string{"delivered", "failed", "deferred", "reported"} {
			n := 0
			for line := range strings.Lines(h.log.String()) {
				if strings.Contains(line, `"message":"`+event+`"`) && strings.Contains(line, `"session":"s1"`) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d lines %q name the session, want 1, in:\n%s", n, event, h.log.String())
			}
		}
	})
}
