package capture

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const invitation = `From: =?utf-8?q?Al=C3=AFce?= <alice@example.com>
To: Bob <bob@example.net>
Cc: carol@example.net
Subject: =?utf-8?b?4pyT?= your code
Date: Tue, 24 Nov 2026 10:00:00 +0000
Message-ID: <2@example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

WW91ciBjb2RlIGlzIDEyMzQ1Ngo=
--a
Content-Type: text/html; charset=utf-8

<p>Your code is <b>123456</b>. <a href="https://example.com/reset?a=1&amp;b=2">Reset</a></p>
--a--
--b
Content-Type: text/csv; name=a.csv
Content-Disposition: attachment; filename="../a.csv"
Content-Transfer-Encoding: base64

MSwyCg==
--b--
`

func TestMessage(t *testing.T) {
	h := newHouse(t)
	h.sent("alice", "bounces@example.com", "bob@example.net,carol@example.net,dave@example.net", invitation)
	list := get[MessageList](h, "/inbox/alice/api/t/v1/messages")
	if len(list.Messages) != 1 || list.Seq != 1 || list.More {
		t.Fatalf("%+v", list)
	}
	id := list.Messages[0].ID
	got := get[Message](h, "/api/t/v1/messages/"+id)
	if diff := cmp.Diff(list.Messages[0], got.Summary); diff != "" {
		t.Error(diff)
	}
	if got.Time.IsZero() || got.Session == "" || !strings.HasPrefix(got.Added, "Received: ") || len(got.Headers) != 8 || got.Headers[0] != (Header{"From", "Alïce <alice@example.com>"}) {
		t.Errorf("%+v", got)
	}
	got.Summary.Time, got.Session, got.Added, got.Headers = time.Time{}, "", "", nil
	want := Message{
		Summary: Summary{ID: id, Seq: 1, User: "alice", From: "bounces@example.com", To: []string{"bob@example.net", "carol@example.net", "dave@example.net"},
			Subject: "✓ your code", Size: len(strings.ReplaceAll(invitation, "\n", "\r\n"))},
		Envelope: Envelope{Body: "8BITMIME", SMTPUTF8: true, Recipients: []Recipient{
			{"bob@example.net", []string{}, ""}, {"carol@example.net", []string{}, ""}, {"dave@example.net", []string{}, ""}}},
		Hidden: []string{"dave@example.net"}, MessageID: "2@example.com",
		Addresses: Addresses{From: []Address{{"Alïce", "alice@example.com"}}, To: []Address{{"Bob", "bob@example.net"}}, Cc: []Address{{"", "carol@example.net"}}, ReplyTo: []Address{}},
		Text:      "Your code is 123456\n",
		HTML:      `<p>Your code is <b>123456</b>. <a href="https://example.com/reset?a=1&amp;b=2">Reset</a></p>`,
		Parts: []Part{{ID: "0", Type: "multipart/mixed", Size: got.Parts[0].Size}, {ID: "1", Type: "multipart/alternative", Size: got.Parts[1].Size},
			{ID: "1.1", Type: "text/plain", Size: 20}, {ID: "1.2", Type: "text/html", Size: 92},
			{ID: "2", Type: "text/csv", Disposition: "attachment", FileName: "../a.csv", Size: 4}},
		Attachments: []string{"2"}, Inline: []string{},
		Links: []Link{{"https://example.com/reset?a=1&b=2", "Reset"}}, Codes: []string{"123456"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if raw := h.ask(http.StatusOK, "GET", "/api/t/v1/messages/"+id+"/raw", ""); raw != strings.ReplaceAll(invitation, "\n", "\r\n") {
		t.Error(raw)
	}
	w := h.serve(http.StatusOK, httptest.NewRequest("GET", "http://localhost/inbox/alice/api/t/v1/messages/"+id+"/parts/2", nil))
	if w.Body.String() != "1,2\n" || w.Header().Get("Content-Disposition") != "attachment" || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%s %v", w.Body, w.Header())
	}
	if got := get[Links](h, "/api/t/v1/messages/"+id+"/links"); !cmp.Equal(got.Links, want.Links) {
		t.Error(got)
	}
	if got := get[Codes](h, "/api/t/v1/messages/"+id+"/codes"); !cmp.Equal(got.Codes, want.Codes) {
		t.Error(got)
	}
	h.ask(http.StatusNotFound, "GET", "/api/t/v1/messages/"+id+"/parts/9", "")
	h.ask(http.StatusNotFound, "GET", "/inbox/bob/api/t/v1/messages/"+id, "")
	h.ask(http.StatusNotFound, "DELETE", "/inbox/bob/api/t/v1/messages/"+id, "")
	h.ask(http.StatusOK, "DELETE", "/inbox/alice/api/t/v1/messages/"+id, "")
	h.ask(http.StatusNotFound, "GET", "/api/t/v1/messages/"+id, "")
}

func TestMessagesThatAreChosen(t *testing.T) {
	h := newHouse(t)
	for i, user := range []string{"alice", "bob", "alice"} {
		from := [3]string{"a@example.com", "", "ba@example.com"}[i]
		h.sent(user, from, [3]string{"x@example.net", "ax@example.net", "x@example.net,y@example.net"}[i], strings.Replace(note, "hello", "hello "+user, 1))
	}
	session := h.Mail.Messages()[1].Session
	seqs := func(text string) (all []int) {
		for _, m := range decode[MessageList](h, text).Messages {
			all = append(all, m.Seq)
		}
		return all
	}
	for query, want := range map[string][]int{
		"":                       {1, 2, 3},
		"to=x@example.net":       {1, 3},
		"to=X@EXAMPLE.NET":       {1, 3},
		"to=*x@example.net":      {1, 2, 3},
		"to=example.net":         nil,
		"from=a@example.com":     {1},
		"from=":                  {2},
		"subject=hello+alice":    {1, 3},
		"subject=hello":          nil,
		"user=Alice":             {1, 3},
		"session=" + session:     {2},
		"after_seq=1":            {2, 3},
		"after_seq=1&user=alice": {3},
		"after_seq=3":            nil,
		"limit=2":                {1, 2},
		"wait=0s&count=3":        {1, 2, 3},
	} {
		if got := seqs(h.ask(http.StatusOK, "GET", "/api/t/v1/messages?"+query, "")); !cmp.Equal(got, want) {
			t.Errorf("%s: %v and not %v", query, got, want)
		}
	}
	if of := get[MessageList](h, "/api/t/v1/messages?limit=2"); !of.More || of.Seq != 2 {
		t.Errorf("%+v", of)
	}
	if of := get[MessageList](h, "/api/t/v1/messages?after_seq=3"); of.Seq != 3 {
		t.Errorf("%+v", of)
	}
	for _, query := range []string{"to=", "user=", "after_seq=x", "after_seq=-1", "count=2", "wait=x", "wait=-1s", "wait=11m", "wait=1s&count=0", "limit=10001", "subjekt=x"} {
		h.ask(http.StatusBadRequest, "GET", "/api/t/v1/messages?"+query, "")
	}
	h.ask(http.StatusBadRequest, "DELETE", "/api/t/v1/messages?too=x", "")
	for query, want := range map[string]int{"/api/t/v1/messages?to=y@example.net": 1, "/inbox/bob/api/t/v1/messages?to=x@example.net": 0, "/inbox/bob/api/t/v1/messages": 1} {
		if got := decode[Deleted](h, h.ask(http.StatusOK, "DELETE", query, "")); got.Deleted != want {
			t.Errorf("%s: %d deleted and not %d", query, got.Deleted, want)
		}
	}
	if got := seqs(h.ask(http.StatusOK, "GET", "/api/t/v1/messages", "")); !cmp.Equal(got, []int{1}) {
		t.Error(got)
	}
}

// A request waits for just as long as it has to, and tells what has come instead.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		answers := make(chan string)
		for _, path := range []string{"/inbox/alice/api/t/v1/messages?to=bob@example.net&wait=10s", "/api/t/v1/messages?count=2&wait=10s"} {
			go func() { answers <- h.ask(http.StatusOK, "GET", path, "") }()
		}
		settle()
		began := time.Now()
		h.sent("bob", "x@example.com", "bob@example.net", note)
		settle()
		h.sent("alice", "x@example.com", "bob@example.net", note)
		for range 2 {
			if of := decode[MessageList](h, <-answers); of.Seq != 2 {
				t.Errorf("%+v", of)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s to hear of a message that was there", took)
		}
		began = time.Now()
		f := decode[Fault](h, h.ask(http.StatusNotFound, "GET", "/inbox/bob/api/t/v1/messages?to=carol@example.net&wait=10s", ""))
		if took := time.Since(began); took != 10*time.Second || !strings.Contains(f.What, "within 10s") || !strings.Contains(f.What, "bob@example.net") {
			t.Errorf("after %s: %s", took, f.What)
		}
		ctx, end := context.WithCancel(t.Context())
		go func() {
			w := httptest.NewRecorder()
			h.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "http://localhost/api/t/v1/messages?count=9&wait=10m", nil))
			answers <- w.Body.String()
		}()
		settle()
		end()
		if f := decode[Fault](h, <-answers); f.What != "this server ends" {
			t.Error(f.What)
		}
	})
}

func TestLint(t *testing.T) {
	h := newHouse(t)
	h.sent("alice", "x@example.com", "bob@example.net", strings.Replace(note, "Date:", "Bcc: carol@example.net\nX-Date:", 1))
	h.sent("bob", "x@example.com", "bob@example.net", note)
	names := func(path string) (all []string) {
		for _, f := range get[Findings](h, path).Findings {
			if f.RFC == "" || f.Advice == "" || f.Text == "" {
				t.Errorf("%+v", f)
			}
			if f.Message != "" {
				all = append(all, f.Name)
			}
		}
		return all
	}
	both := []string{"bcc-field", "no-date"}
	for path, want := range map[string][]string{
		"/api/t/v1/lint": both, "/inbox/alice/api/t/v1/lint": both, "/inbox/bob/api/t/v1/lint": nil, "/api/t/v1/lint?user=alice": both, "/api/t/v1/lint?user=bob": nil,
		"/api/t/v1/lint?except=no-date,helo": {"bcc-field"},
	} {
		if diff := cmp.Diff(want, names(path)); diff != "" {
			t.Errorf("%s\n%s", path, diff)
		}
	}
	h.ask(http.StatusBadRequest, "GET", "/inbox/bob/api/t/v1/lint?user=alice", "")
}
