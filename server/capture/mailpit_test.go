package capture

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// recorded is what Mailpit v1.30.5 answered to one request, in their order, after the mail of testdata/mailpit/mail.json was sent to it. {1} stands for the id of
// the first message, and so on. Ids, times, and the version were taken as they came.
type recorded struct {
	Method, Path, Body, Type, Text string
	Status                         int
	JSON                           any
}

// mailpitHouse has been sent the mail that Mailpit was sent.
func mailpitHouse(t *testing.T) *house {
	h := newHouse(t)
	var mail []struct {
		User, From, Content string
		To                  []string
	}
	load(t, "mail.json", &mail)
	for _, m := range mail {
		h.sent(m.User, m.From, strings.Join(m.To, ","), m.Content)
	}
	return h
}

func load(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile("testdata/mailpit/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

// Every answer is that of Mailpit, status, type and each field of it, but for what the comment of the variable mailpit names.
func TestAnswersAreThoseOfMailpit(t *testing.T) {
	h := mailpitHouse(t)
	var ids []string
	for i, m := range h.Mail.Messages() {
		ids = append(ids, fmt.Sprintf("{%d}", i+1), m.ID)
	}
	in, out := strings.NewReplacer(ids...), strings.NewReplacer(swapped(ids)...)
	var all []recorded
	load(t, "answers.json", &all)
	for _, want := range all {
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, httptest.NewRequest(want.Method, "http://localhost"+in.Replace(want.Path), strings.NewReader(in.Replace(want.Body))))
		got := recorded{Method: want.Method, Path: want.Path, Body: want.Body, Status: w.Code, Type: w.Header().Get("Content-Type")}
		text := out.Replace(w.Body.String())
		if strings.HasPrefix(got.Type, "application/json") {
			if err := json.Unmarshal([]byte(text), &got.JSON); err != nil {
				t.Errorf("%s: %v", want.Path, err)
			}
		} else {
			got.Text = text
		}
		want.leaveOut()
		got.leaveOut()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s %s: -Mailpit +here\n%s", want.Method, want.Path, want.Body, diff)
		}
	}
}

func swapped(pairs []string) (of []string) {
	for i := 0; i < len(pairs); i += 2 {
		of = append(of, pairs[i+1], pairs[i])
	}
	return of
}

var madeByMailpit = regexp.MustCompile(`(?s)^(Bcc: [^\r]*\r\n)?Return-Path: .*? \(UTC\)\r\n`)

// leaveOut takes away what is otherwise on purpose, and what is never the same twice.
func (r *recorded) leaveOut() {
	r.Type, _, _ = mime.ParseMediaType(r.Type)
	r.JSON = plain(r.JSON)
	r.Text = strings.ReplaceAll(strings.ToValidUTF8(madeByMailpit.ReplaceAllString(r.Text, ""), "\uFFFD"), "\r\n", "\n")
	switch {
	case r.Path == "/livez" || r.Path == "/readyz":
		r.Type, r.Text = "", ""
	case strings.HasSuffix(r.Path, "/headers") && r.JSON != nil:
		for _, name := range []string{"Bcc", "Received", "Return-Path"} {
			delete(r.JSON.(map[string]any), name)
		}
	}
}

// plain is JSON without what is never the same, and with [] for null.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			switch name {
			case "Created", "Size", "Version", "LatestVersion", "Database", "DatabaseSize", "RuntimeStats":
				v[name] = reflect.TypeOf(x).String()
				if _, part := v["PartID"]; part {
					v[name] = x // of a part, the size is the same
				}
			case "MessageID":
				if strings.HasSuffix(x.(string), "@mailpit") {
					v[name] = "" // it was made up
				}
			case "Date":
				if v["Subject"] == "nothing but this" {
					v[name] = "" // it is when the message came
				}
			case "Text":
				v[name] = strings.ReplaceAll(x.(string), "\r\n", "\n")
				if v["HTML"] != "" && strings.Contains(x.(string), "Hello") {
					v[name] = "made from the HTML"
				}
			case "To", "Cc", "Bcc", "ReplyTo":
				if x == nil {
					v[name] = []any{}
				} else {
					plain(x)
				}
			default:
				v[name] = plain(x)
			}
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}

// One user's inbox is a Mailpit by itself.
func TestMailpitOfOneUser(t *testing.T) {
	h := mailpitHouse(t)
	page := get[mailpitMessages](h, "/inbox/alice/api/v1/messages")
	if page.Total != 2 || page.Messages[0].Username != "alice" {
		t.Errorf("%+v", page)
	}
	id := page.Messages[0].ID
	h.ask(http.StatusNotFound, "GET", "/inbox/bob/api/v1/message/"+id, "")
	h.ask(http.StatusNotFound, "GET", "/inbox/nobody/api/v1/messages", "")
	h.ask(http.StatusOK, "DELETE", "/inbox/bob/api/v1/messages", "")
	if all := get[mailpitMessages](h, "/api/v1/messages"); all.Total != 2 {
		t.Errorf("%+v", all)
	}
	html := h.ask(http.StatusOK, "GET", "/inbox/alice/view/latest.html", "")
	if !strings.Contains(html, "<b>123456</b>") {
		t.Error(html)
	}
}

// A message is read when somebody opens it, and not when a program takes it apart.
func TestMailpitReads(t *testing.T) {
	for path, want := range map[string]int{"/api/v1/message/latest/headers": 1, "/api/v1/message/latest/raw": 1, "/api/v1/message/latest/part/2": 1,
		"/api/v1/message/latest": 0, "/view/latest.txt": 0, "/view/latest.html": 0} {
		h := newHouse(t)
		h.sent("alice", "a@example.com", "b@example.net", "Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"+
			"--b\nContent-Type: text/html\n\n<p>x\n--b\nContent-Type: text/csv\nContent-Disposition: attachment; filename=a.csv\n\n1\n--b--\n")
		h.ask(http.StatusOK, "GET", path, "")
		if page := get[mailpitMessages](h, "/api/v1/search?query=is:unread"); page.Count != want || page.Unread != want {
			t.Errorf("%s: %d of %d are found unread, and not %d", path, page.Count, page.Unread, want)
		}
	}
}

func TestMailpitPages(t *testing.T) {
	h := newHouse(t)
	c, err := h.client("alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	const many = mailpitLimit + 3
	for i := range many {
		if err := h.deliver(c, "a@example.com", "b@example.net", strings.Replace(note, "hello", fmt.Sprint(i), 1)); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string][2]int{"": {mailpitLimit, many - 1}, "limit=0": {many, many - 1}, "start=1": {mailpitLimit, many - 2}, "start=51&limit=10": {2, 1}, "start=99": {0, -1}} {
		page := get[mailpitMessages](h, "/api/v1/messages?"+query)
		if page.Count != want[0] || len(page.Messages) != want[0] || page.Total != many || want[0] > 0 && page.Messages[0].Subject != fmt.Sprint(want[1]) {
			t.Errorf("%s: %d of %d", query, page.Count, page.Total)
		}
	}
}

// What cannot be read is a fault, and deletes and finds nothing.
func TestMailpitIsStrict(t *testing.T) {
	h := mailpitHouse(t)
	for _, c := range [][2]string{
		{"DELETE /api/v1/messages", "IDs=1"}, {"DELETE /api/v1/messages", "{"}, {"DELETE /api/v1/messages", `{"id":"1"}`}, {"DELETE /api/v1/messages", `{"IDs":"1"}`},
		{"PUT /api/v1/messages", `{"Search":"is:new","Read":true}`}, {"PUT /api/v1/chaos", ""}, {"PUT /api/v1/chaos", `{"Sendr":{}}`},
		{"DELETE /api/v1/search?query=before:yesterday", ""}, {"GET /api/v1/search?query=larger:big", ""}, {"GET /api/v1/search?query=has:nothing", ""},
		{"GET /api/v1/search?query=x&tz=Nowhere/Else", ""}, {"GET /api/v1/messages?before=x", ""}, {"GET /api/v1/message/latest?query=is:x", ""},
	} {
		method, path, _ := strings.Cut(c[0], " ")
		if text := h.ask(http.StatusBadRequest, method, path, c[1]); strings.HasPrefix(text, "{") {
			t.Errorf("Mailpit's faults are plain text: %s", text)
		}
	}
	if n := len(h.Mail.Messages()); n != 4 {
		t.Errorf("%d messages are left", n)
	}
	h.ask(http.StatusOK, "DELETE", "/api/v1/messages", "{}")
	if n := len(h.Mail.Messages()); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// HTML of a message is shown where it can do nothing, and files are not shown.
func TestMailpitShowsNothingThatActs(t *testing.T) {
	h := newHouse(t)
	h.sent("alice", "a@example.com", "b@example.net", "Subject: x\nContent-Type: text/html\n\n<script>alert(1)</script><p>x\n")
	for _, path := range []string{"/view/latest.html", "/api/v1/message/latest/raw", "/api/v1/message/latest/part/0"} {
		header := h.serve(http.StatusOK, httptest.NewRequest("GET", "http://localhost"+path, nil)).Header()
		csp := header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "sandbox") || strings.Contains(csp, "allow-") || !strings.Contains(csp, "default-src 'none'") || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, header)
		}
		if strings.Contains(path, "part") && header.Get("Content-Disposition") != "attachment" {
			t.Errorf("%s: %v", path, header)
		}
	}
}

func TestMailpitChaos(t *testing.T) {
	h := newHouse(t)
	triggers := func() mailpitTriggers { return get[mailpitTriggers](h, "/inbox/alice/api/v1/chaos") }
	h.ask(http.StatusOK, "PUT", "/inbox/alice/api/v1/chaos", `{"Recipient":{"ErrorCode":452,"Probability":100}}`)
	if err := h.send("alice", "a@example.com", "b@example.net", note); !refusedWith(err, 452) {
		t.Errorf("%v", err)
	}
	h.sent("bob", "a@example.com", "b@example.net", note)
	if of := triggers(); of.Recipient != (mailpitTrigger{452, 100}) || of.Sender != calm.Sender {
		t.Errorf("%+v", of)
	}
	h.ask(http.StatusOK, "PUT", "/inbox/alice/api/v1/chaos", `{"Authentication":{"ErrorCode":454,"Probability":100}}`)
	if err := h.send("alice", "a@example.com", "b@example.net", note); !refusedWith(err, 454) {
		t.Errorf("%v", err)
	}
	if n := len(h.Mail.Inbox("alice").RuleStates()); n != 1 {
		t.Errorf("%d rules in place of 1", n)
	}
	h.ask(http.StatusOK, "DELETE", "/inbox/alice/api/t/v1/script", "")
	if of := triggers(); of != calm {
		t.Errorf("%+v", of)
	}
	h.sent("alice", "a@example.com", "b@example.net", note)
}

// What is said about messages that are gone is forgotten.
func TestMarksAreForgotten(t *testing.T) {
	var k marks
	var there []*smarthosttest.Message
	for i := range 1000 {
		m := &smarthosttest.Message{ID: fmt.Sprint(i)}
		k.set(true, m)
		there = append(there, m)
	}
	if k.prune(there); len(k.read) != 1000 {
		t.Errorf("%d are left", len(k.read))
	}
	if k.prune(there[:10]); len(k.read) != 10 || !k.has(there[0]) || k.has(there[10]) {
		t.Errorf("%d are left", len(k.read))
	}
}

func FuzzMailpitSearch(f *testing.F) {
	for _, search := range []string{`to:bob subject:"hello world" -x`, `!"a b`, `larger:1K is:unread after:2020-01-01`, "::", `-`, `to:"`} {
		f.Add(search)
	}
	m := &smarthosttest.Message{Raw: []byte("Subject: hello\r\n\r\nbody\r\n")}
	f.Fuzz(func(t *testing.T, search string) {
		found, err := new(Server).mailpitFind([]*smarthosttest.Message{m}, search, "")
		if err != nil && len(found) > 0 || len(found) > 1 {
			t.Errorf("%q: %d, %v", search, len(found), err)
		}
	})
}
