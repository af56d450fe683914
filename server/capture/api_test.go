package capture

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

const note = "From: <alice@example.com>\nTo: <bob@example.net>\nSubject: hello\nDate: Tue, 24 Nov 2026 10:00:00 +0000\nMessage-ID: <1@example.com>\n\nbody\n"

// refusedWith tells whether an SMTP client was answered with that code.
func refusedWith(err error, code int) bool {
	e, ok := errors.AsType[*textproto.Error](err)
	return ok && e.Code == code
}

func TestUsersAreMadeInOneCall(t *testing.T) {
	h := newHouse(t)
	for body, want := range map[string]Account{
		"":                               {Senders: []string{"*"}},
		`{"senders":[]}`:                 {Senders: []string{}},
		`{"user":"Carol/x?#%"}`:          {User: "Carol/x?#%", Senders: []string{"*"}},
		`{"user":"d","password":"open"}`: {User: "d", Password: "open", Senders: []string{"*"}},
	} {
		a := decode[Account](h, h.ask(http.StatusCreated, "POST", "/api/t/v1/users", body))
		if a.User == "" || a.Password == "" || want.User != "" && a.User != want.User || want.Password != "" && a.Password != want.Password || !cmp.Equal(a.Senders, want.Senders) {
			t.Errorf("%s made %+v", body, a)
		}
		if body == "" && !strings.HasSuffix(a.User, "@smarthost.test") {
			t.Errorf("%q is no address", a.User)
		}
		if a.Host == "" || a.Port == 0 || a.TLSPort == 0 || a.Port == a.TLSPort {
			t.Errorf("it is not said where SMTP is: %+v", a)
		}
		c, err := h.client(a.User, a.Password)
		if err != nil {
			t.Fatal(err)
		}
		c.Quit()
		base, ok := strings.CutPrefix(a.BaseURL, "http://localhost")
		if of := get[SessionList](h, base+"/api/t/v1/sessions"); !ok || len(of.Sessions) != 1 || !strings.EqualFold(of.Sessions[0].User, a.User) {
			t.Errorf("its inbox at %s has the sessions %+v", a.BaseURL, of)
		}
	}
	all := get[Accounts](h, "/api/t/v1/users")
	if len(all.Users) != 6 || all.Users[0].Password != "" {
		t.Errorf("%+v", all)
	}
}

func TestOneUserCanHaveLimits(t *testing.T) {
	h := newHouse(t)
	h.ask(http.StatusCreated, "POST", "/api/t/v1/users", `{"user":"carol","password":"secret","limits":{"messages":"1/1h"}}`)
	sent := 0
	carol := func() error { // a duplicate would not count
		sent++
		return h.send("carol", "carol@example.com", "bob@example.net", strings.Replace(note, "<1@", fmt.Sprintf("<%d@", sent), 1))
	}
	if err := carol(); err != nil {
		t.Fatal(err)
	}
	if err := carol(); !refusedWith(err, 450) {
		t.Fatalf("a second message: %v", err)
	}
	h.ask(http.StatusOK, "POST", "/inbox/alice/api/t/v1/clock", `{"advance":"1h"}`)
	if err := carol(); !refusedWith(err, 450) {
		t.Errorf("alice's hour has passed for carol: %v", err)
	}
	h.ask(http.StatusOK, "POST", "/inbox/carol/api/t/v1/clock", `{"advance":"1h"}`)
	if err := carol(); err != nil {
		t.Errorf("an hour later: %v", err)
	}
	h.ask(http.StatusOK, "POST", "/inbox/carol/api/t/v1/reset", "")
	if err := carol(); err != nil {
		t.Errorf("after a reset: %v", err)
	}
}

// A session that brought nothing is told of with what was said in it, and no password.
func TestSessions(t *testing.T) {
	h := newHouse(t)
	h.sent("alice", "alice@example.com", "bob@example.net", note)
	if _, err := h.client("bob", "not-his-password"); !refusedWith(err, 535) {
		t.Fatal(err)
	}
	all := get[SessionList](h, "/api/t/v1/sessions")
	if len(all.Sessions) != 2 || all.More {
		t.Fatalf("%+v", all)
	}
	a, b := all.Sessions[0], all.Sessions[1]
	if a.User != "alice" || len(a.Messages) != 1 || a.TLS == "" || b.User != "" || b.Claimed != "bob" || len(b.Messages) != 0 {
		t.Errorf("%+v\n%+v", a, b)
	}
	for path, want := range map[string]string{
		"/inbox/alice/api/t/v1/sessions":            a.ID,
		"/inbox/BOB/api/t/v1/sessions":              b.ID,
		"/api/t/v1/sessions?user=alice":             a.ID,
		"/api/t/v1/sessions?limit=1":                b.ID,
		"/inbox/alice/api/t/v1/sessions?user=alice": a.ID,
		"/inbox/alice/api/t/v1/sessions?user=bob":   "",
	} {
		of := get[SessionList](h, path)
		var got string
		for _, x := range of.Sessions {
			got += x.ID
		}
		if got != want || of.More != strings.Contains(path, "limit") {
			t.Errorf("%s: %q and not %q, more: %v", path, got, want, of.More)
		}
	}
	one := get[Session](h, "/inbox/bob/api/t/v1/sessions/"+b.ID)
	if len(one.Lines) < 5 || one.Lines[0].Dir != "S" || one.Lines[0].Kind != "reply" {
		t.Errorf("%+v", one)
	}
	h.ask(http.StatusNotFound, "GET", "/inbox/alice/api/t/v1/sessions/"+b.ID, "")
	text := h.ask(http.StatusOK, "GET", "/api/t/v1/sessions/"+b.ID+".txt", "")
	if !strings.Contains(text, "C: AUTH PLAIN *** (bob)\n") || !strings.Contains(text, "S: 535 5.7.8") || strings.Contains(text, "bm90LWhpcy1wYXNzd29yZA") {
		t.Error(text)
	}
}

func TestScript(t *testing.T) {
	h := newHouse(t)
	const greylist = `{"on":"rcpt","to":"bob@*","times":2,"do":{"reply":[451,"4.7.1","greylisted"]}}`
	set := decode[Script](h, h.ask(http.StatusOK, "PUT", "/inbox/alice/api/t/v1/script", "["+greylist+"]"))
	if len(set.Rules) != 1 || set.Rules[0].Rule.String() != greylist || set.Rules[0].Inbox != "alice" || set.Rules[0].Left != 2 || !set.Rules[0].Unmet {
		t.Errorf("%+v", set)
	}
	h.ask(http.StatusOK, "PUT", "/inbox/bob/api/t/v1/script", `[{"on":"rset","optional":true,"do":{"end":"drop"}}]`)
	h.sent("bob", "x@example.com", "bob@example.net", note) // the rule is alice's
	if err := h.send("alice", "x@example.com", "bob@example.net", note); !refusedWith(err, 451) {
		t.Fatalf("%v", err)
	}
	of := get[Script](h, "/inbox/alice/api/t/v1/script").Rules
	if len(of) != 1 || of[0].Seen != 1 || of[0].Acted != 1 || of[0].Left != 1 || !of[0].Unmet {
		t.Errorf("%+v", of)
	}
	if all := get[Script](h, "/api/t/v1/script").Rules; len(all) != 2 || all[1].Left != -1 {
		t.Errorf("%+v", all)
	}
	h.ask(http.StatusBadRequest, "PUT", "/inbox/alice/api/t/v1/script", `[{"on":"mail","do":{}}]`)
	if of := get[Script](h, "/inbox/alice/api/t/v1/script").Rules; len(of) != 1 {
		t.Errorf("a script that is wrong has taken the old one away: %+v", of)
	}
	end := decode[Unmet](h, h.ask(http.StatusOK, "DELETE", "/inbox/alice/api/t/v1/script", ""))
	if len(end.Unmet) != 1 || end.Unmet[0].Acted != 1 {
		t.Errorf("%+v", end)
	}
	if end := decode[Unmet](h, h.ask(http.StatusOK, "DELETE", "/api/t/v1/script", "")); len(end.Unmet) != 0 {
		t.Errorf("%+v", end)
	}
	h.sent("alice", "x@example.com", "bob@example.net", note)
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for _, user := range []string{"alice", "bob"} {
			h.sent(user, "x@example.com", "carol@example.net", note)
		}
		synctest.Wait() // until the sessions are over on the server's side too
		h.ask(http.StatusOK, "POST", "/inbox/alice/api/t/v1/reset", "")
		if of := h.Mail.Messages(); len(of) != 1 || of[0].User != "bob" || len(h.Mail.Sessions()) != 1 {
			t.Errorf("%+v", of)
		}
		h.ask(http.StatusOK, "POST", "/api/t/v1/reset", "")
		if len(h.Mail.Messages())+len(h.Mail.Sessions()) > 0 {
			t.Error("something is left")
		}
	})
}

func TestCertificates(t *testing.T) {
	h := newHouse(t)
	root := h.ask(http.StatusOK, "GET", "/ca.pem", "")
	if root != string(h.Mail.CAPEM()) {
		t.Error(root)
	}
	if bundle := h.ask(http.StatusOK, "GET", "/ca-bundle.pem", ""); !strings.HasPrefix(bundle, root) {
		t.Error(bundle)
	}
	for _, path := range []string{"/livez", "/readyz", "/inbox/alice/readyz"} {
		if text := h.ask(http.StatusOK, "GET", path, ""); text != "ok" {
			t.Error(text)
		}
	}
}

// A server that listens at every address is reached by the name by which the client has come.
func TestWhereSMTPIs(t *testing.T) {
	s := &Server{Mail: smarthosttest.NewServer(t, smarthosttest.WithConfig(smarthosttest.Config{Listen: "[::]:0", Implicit: "0.0.0.0:0"}))}
	r := httptest.NewRequest("POST", "/api/t/v1/users", nil)
	r.Host = "mail:8025"
	h := &house{s, t}
	a := decode[Account](h, h.serve(http.StatusCreated, r).Body.String())
	if a.Host != "mail" || a.BaseURL != "http://mail:8025/inbox/"+url.PathEscape(a.User) {
		t.Errorf("%+v", a)
	}
}
