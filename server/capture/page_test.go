package capture

import (
	"go/parser"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// mixed is a message with HTML, a picture in it, and two files.
const mixed = `From: Alice <alice@example.org>
To: bob@example.net
Subject: <b>It's "here"</b>
Date: Tue, 24 Nov 2026 10:00:00 +0000
Message-ID: <1@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: text/plain; charset=utf-8

Plain <i>text</i>
--m
Content-Type: text/html; charset=utf-8

<h1 onclick="alert(1)">Hello</h1><img src="cid:a%40b"><a href="https://example.com/x">there</a><script>alert(1)</script>
--m
Content-Type: image/png
Content-ID: <a@b>
Content-Transfer-Encoding: base64

AAEC
--m
Content-Type: text/html
Content-Disposition: attachment; filename="../a/b.html"

<script>alert(1)</script>
--m
Content-Type: image/svg+xml
Content-Disposition: attachment

<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>
--m--
`

// sentMixed sends it, and returns its id.
func (h *house) sentMixed() string {
	h.sent("alice", "alice@example.org", "bob@example.net,carol@example.net", mixed)
	all := h.Mail.Messages()
	return all[len(all)-1].ID
}

// see asks as a browser does, and returns the whole answer.
func (h *house) see(status int, path string) *httptest.ResponseRecorder {
	h.t.Helper()
	return h.serve(status, httptest.NewRequestWithContext(h.t.Context(), "GET", "http://localhost"+path, nil))
}

func TestPages(t *testing.T) {
	h := newHouse(t)
	if err := h.Mail.Inbox("alice").SetRules(smarthosttest.On(smarthosttest.RCPT).To("full@*").Reply(452, "4.2.2", "<mailbox full>")); err != nil {
		t.Fatal(err)
	}
	if h.send("alice", "alice@example.org", "full@example.net", "") == nil {
		t.Fatal("the rule has not acted")
	}
	id := h.sentMixed()
	silent := h.Mail.Sessions()[0].ID
	mail := "/inbox/alice/mail/" + id
	for path, want := range map[string][]string{
		"/":                      {"&lt;b&gt;It&#39;s", "bob@example.net", "and 1 more", "user <bdi>alice</bdi>"},
		"/inbox/alice/":          {"&lt;b&gt;It&#39;s"},
		"/inbox/bob/":            {"There is no mail yet.", "Port, with STARTTLS", `<meta http-equiv="refresh"`},
		"/?search=CAROL":         {"&lt;b&gt;It&#39;s"},
		"/?search=dave":          {"No mail is like this."},
		mail:                     {`src="` + mail + `/body" sandbox="allow-popups allow-popups-to-escape-sandbox"`, "https://example.com/x", "carol@example.net"},
		mail + "?view=source":    {"&lt;script&gt;alert(1)&lt;/script&gt;"},
		mail + "?view=text":      {"Plain &lt;i&gt;text"},
		mail + "?view=headers":   {"Received: from"},
		mail + "?view=raw":       {"AAEC", "boundary=m"},
		mail + "?view=files":     {"../a/b.html", "image/svg&#43;xml", mail + "/parts/4"},
		mail + "?view=session":   {"RCPT TO:&lt;carol@example.net&gt;", "AUTH PLAIN ***"},
		mail + "?view=findings":  {"ehlo-name"},
		mail + "?view=test":      {"curl -sS", "WaitFor"},
		"/sessions":              {"no mail", "1 message", "&lt;mailbox full&gt;", silent},
		"/sessions/" + silent:    {"still open", "rule on rcpt", "RCPT TO:&lt;full@example.net&gt;"},
		"/inbox/bob/sessions":    {"Nobody has connected yet."},
		"/sessions?search=452":   {silent},
		"/findings":              {"ehlo-name", "/sessions/" + silent},
		"/rules":                 {"mailbox full", "1 time, of 1 chance", "in the inbox of <bdi>alice</bdi>"},
		"/inbox/bob/rules":       {"There are none in this inbox."},
		"/sessions?before=" + id: {silent},
	} {
		w := h.see(http.StatusOK, path)
		for _, text := range want {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s lacks %q:\n%s", path, text, w.Body)
			}
		}
		for _, evil := range []string{"<b>It", "<i>text", "<script>", "<mailbox"} {
			if strings.Contains(w.Body.String(), evil) {
				t.Errorf("%s has %q of a sender", path, evil)
			}
		}
		if got := w.Header().Get("Content-Security-Policy"); got != pagePolicy {
			t.Errorf("%s: policy %q", path, got)
		}
	}
	if body := h.see(http.StatusOK, "/sessions?brought=nothing").Body.String(); strings.Contains(body, "1 message") || !strings.Contains(body, silent) {
		t.Errorf("sessions that brought nothing are\n%s", body)
	}
}

// TestListOnly: the page that is kept up to date has no message read again.
func TestListOnly(t *testing.T) {
	h := newHouse(t)
	id := h.sentMixed()
	body := h.see(http.StatusOK, "/mail/"+id+"?only=list&search=bob").Body.String()
	if strings.Contains(body, "<iframe") || !strings.Contains(body, `href="/mail/`+id+`?search=bob" aria-current="true"`) {
		t.Error(body)
	}
	h.see(http.StatusOK, "/mail/gone?only=list")
}

func TestPagesThatAreNotThere(t *testing.T) {
	h := newHouse(t)
	id := h.sentMixed()
	for path, want := range map[string]string{
		"/mail/none":               "there is no message none",
		"/inbox/bob/mail/" + id:    "there is no message " + id, // it is alice's
		"/mail/" + id + "?view=x":  "view must be one of",
		"/mail/" + id + "/parts/9": "the message has no part 9",
		"/sessions/none":           "there is no session none",
		"/inbox/dave/":             "there is no user dave",
		"/inbox?user=dave":         "there is no user dave",
		"/?nonsense=1":             "nonsense is not known here",
		"/?before=x":               "before must be a number",
		"/sessions?brought=x":      "brought must be",
		"/static/none":             "there is no such file",
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost"+path, nil)
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, r)
		if w.Code/100 != 4 || !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), "What to do:") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestInboxIsChosen(t *testing.T) {
	h := newHouse(t)
	for path, want := range map[string]string{"/inbox?user=alice": "/inbox/alice/", "/inbox?user=": "/", "/inbox": "/"} {
		if got := h.see(http.StatusSeeOther, path).Header().Get("Location"); got != want {
			t.Errorf("%s leads to %s, want %s", path, got, want)
		}
	}
	h.see(http.StatusNotFound, "/inbox/alice/mail/latest")
	id := h.sentMixed()
	if got := h.see(http.StatusSeeOther, "/inbox/alice/mail/latest").Header().Get("Location"); got != "/inbox/alice/mail/"+id {
		t.Errorf("the latest is at %s", got)
	}
}

// TestBodyPolicy: what keeps hostile HTML in is in the answer itself, so that it holds without the frame, too.
func TestBodyPolicy(t *testing.T) {
	h := newHouse(t)
	id := h.sentMixed()
	w := h.see(http.StatusOK, "/mail/"+id+"/body")
	want := "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
	for name, want := range map[string]string{
		"Content-Security-Policy": want, "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Dns-Prefetch-Control": "off",
		"Cross-Origin-Resource-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if body := w.Body.String(); !strings.Contains(body, `<img src="data:image/png;base64,AAEC"/>`) || strings.Contains(body, "alert") {
		t.Error(body)
	}
	w = h.see(http.StatusOK, "/mail/"+id+"/body?remote=images")
	if got := w.Header().Get("Content-Security-Policy"); got != strings.Replace(want, "img-src data:;", "img-src data: http: https:;", 1) {
		t.Errorf("with images from elsewhere: %s", got)
	}
}

func TestDisplay(t *testing.T) {
	for in, want := range map[string]string{
		`<p style="color:red">a</p><style>p{}</style>`:                                      `<p style="color:red">a</p><style>p{}</style>`,
		`<a href="https://x/" target="_top" rel="opener" ping="https://y/">a</a>`:           `<a href="https://x/" target="_blank" rel="noopener noreferrer">a</a>`,
		`<a href="#top">a</a><a href=" JavaScript:alert(1)">b</a><a href="/clear">c</a>`:    `<a href="#top">a</a><a>b</a><a>c</a>`,
		`<form action="https://x/" onsubmit="x()"><button formaction="y">a</button></form>`: `<form><button>a</button></form>`,
		`<svg><style>a</style></svg><math></math><iframe src="x">a</iframe>b`:               `b`,
		`<p><noscript><link rel="preconnect" href="https://x/">a</noscript></p>`:            `<p><noscript>a</noscript></p>`,
		`<img src="cid:none"><!-- <script> -->`:                                             `<img src=""/>`,
		`<img src="https://x/y" referrerpolicy="unsafe-url">`:                               `<img src="https://x/y"/>`,
		`<template><script>x</script></template><object data="x">a</object>`:                ``,
	} {
		got := displayOf(t, in)
		if got = strings.TrimSuffix(got[strings.Index(got, "<body>")+len("<body>"):], "\n</body></html>"); got != want {
			t.Errorf("%s: -want +got\n%s", in, cmp.Diff(want, got))
		}
	}
	head := displayOf(t, `<head><base href="x"><meta http-equiv="refresh" content="0"><meta name="referrer" content="unsafe-url"><meta name="viewport" content="width=9"><title>t</title></head>`)
	if want := `<html><head><meta name="viewport" content="width=9"/><title>t</title></head>`; !strings.HasPrefix(head, want) {
		t.Errorf("the head is %s", head)
	}
}

// displayOf is a message's HTML as the frame gets it.
func displayOf(t testing.TB, text string) string {
	t.Helper()
	got, err := display(&smarthosttest.Message{Raw: []byte("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + text + "\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDisplayGivesUpOnDepth(t *testing.T) {
	h := newHouse(t)
	h.sent("alice", "a@example.org", "b@example.net", "Content-Type: text/html\n\n"+strings.Repeat("<div>\n", 10_000))
	body := h.see(http.StatusOK, "/mail/"+h.Mail.Messages()[0].ID+"/body").Body.String()
	if !strings.Contains(body, "nested too deeply") {
		t.Error(body)
	}
}

// TestPicturesHaveALimit: a small message does not become a large page by naming one picture often.
func TestPicturesHaveALimit(t *testing.T) {
	content := strings.Repeat(strings.Repeat("A", 76)+"\n", 1<<20/76)
	m := &smarthosttest.Message{Raw: []byte("MIME-Version: 1.0\nContent-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n" + strings.Repeat("<img src=cid:p>\n", 100) +
		"\n--r\nContent-Type: image/png\nContent-ID: <p>\nContent-Transfer-Encoding: base64\n\n" + content + "--r--\n")}
	got, err := display(m)
	if err != nil || len(got) > maxInlined+1<<20 || len(got) < maxInlined/2 {
		t.Errorf("%d octets, %v", len(got), err)
	}
}

func FuzzDisplay(f *testing.F) {
	f.Add(`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=y&gt;">`)
	f.Add(`<svg><p><style><a id="</style><script>x</script>">`)
	f.Add(`<noscript><p title="</noscript><link href=x>">`)
	f.Add(`<form><math><mtext></form><form><mglyph><style></math><link rel=preconnect href=x>`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := display(&smarthosttest.Message{Raw: []byte("Content-Type: text/html; charset=utf-8\n\n" + text)})
		if err != nil {
			return
		}
		// A browser that reads it finds none of what was left out.
		root, err := html.ParseWithOptions(strings.NewReader(got), html.ParseOptionEnableScripting(false))
		if err != nil {
			return
		}
		for n := range root.Descendants() {
			if n.Type == html.ElementNode && isLeft(n) {
				t.Errorf("%q became %q, which has <%s>", text, got, n.Data)
			}
		}
	})
}

// TestDownloads: what a sender has attached is never shown, whatever type it says that it is.
func TestDownloads(t *testing.T) {
	h := newHouse(t)
	id := h.sentMixed()
	for part, want := range map[string][2]string{
		"3": {"image/png", `attachment; filename=part-3`},
		"4": {"application/octet-stream", `attachment; filename=_a_b.html`},
		"5": {"application/octet-stream", `attachment; filename=part-5`},
		"0": {"application/octet-stream", `attachment; filename=part-0`},
	} {
		w := h.see(http.StatusOK, "/mail/"+id+"/parts/"+part)
		if got := [2]string{w.Header().Get("Content-Type"), w.Header().Get("Content-Disposition")}; got != want {
			t.Errorf("part %s is %q, want %q", part, got, want)
		}
		closed(t, w)
	}
	w := h.see(http.StatusOK, "/mail/"+id+"/raw")
	if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" || w.Body.String() != strings.ReplaceAll(mixed, "\n", "\r\n") {
		t.Errorf("raw is %s %q", got, w.Body)
	}
	closed(t, w)
}

// closed tells whether nothing can come of an answer, whatever a browser takes it for.
func closed(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	policy := w.Header().Get("Content-Security-Policy")
	if w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(policy, "default-src 'none'; sandbox;") {
		t.Errorf("it is not closed: %v", w.Header())
	}
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{
		"a b.txt": "a b.txt", "../../etc/passwd": "_.._etc_passwd", "": "part-7", "...": "part-7", "C:\\x": "C__x", "gnp\u202eexe.\n": "gnp_exe._",
		strings.Repeat("é", 200) + ".png": strings.Repeat("é", 50) + "…" + strings.Repeat("é", 46) + ".png",
	} {
		if got := fileName(&smarthosttest.Part{ID: "7", FileName: in}); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestSeen(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		"Grüße, 你好 🎉":                            "Grüße, 你好 🎉",
		"a\u202egnp.exe":                         "a⟨U+202E⟩gnp.exe",
		"a\u200bb\ufeffc\x00":                    "a⟨U+200B⟩b⟨U+FEFF⟩c⟨U+0000⟩",
		"a\r\nb\tc":                              "a⟨U+000D⟩⟨U+000A⟩b⟨U+0009⟩c",
		"\xff\xfe":                               "⟨FF⟩⟨FE⟩",
		"e\u0301":                                "e\u0301",
		"z" + strings.Repeat("\u0300", 50) + "y": "z" + strings.Repeat("\u0300", 4) + "…y",
		strings.Repeat("x", 601):                 strings.Repeat("x", 600) + "…",
		strings.Repeat("é", 601):                 strings.Repeat("é", 600) + "…",
	} {
		if got := seen(in); got != want {
			t.Errorf("%q: -want +got\n%s", in, cmp.Diff(want, got))
		}
	}
	if got := seenLines("a\r\nb\tc\rd\n"); got != "a\nb\tc⟨U+000D⟩d\n" {
		t.Errorf("%q", got)
	}
	if got := seenLines(strings.Repeat("x", maxLines+1)); len(got) != maxLines+len("\n…") {
		t.Errorf("%d octets", len(got))
	}
}

// TestClear deletes what was seen on the page, and not what has come since.
func TestClear(t *testing.T) {
	h := newHouse(t)
	h.sentMixed()
	h.sent("bob", "bob@example.org", "x@example.net", "Subject: bob's\n\n")
	field := regexp.MustCompile(`name="up_to" value="(\d+)"`).FindStringSubmatch(h.see(http.StatusOK, "/inbox/alice/").Body.String())
	h.sent("alice", "alice@example.org", "bob@example.net", "Subject: later\n\n")
	post := func(status int, origin, form string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), "POST", "http://localhost/inbox/alice/clear", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		h.serve(status, r)
	}
	post(http.StatusForbidden, "http://evil.example.net", "up_to="+field[1])
	post(http.StatusForbidden, "null", "up_to="+field[1]) // the frame that mail is shown in
	post(http.StatusBadRequest, "http://localhost", "")
	post(http.StatusSeeOther, "http://localhost", "up_to="+field[1])
	var left []string
	for _, m := range h.Mail.Messages() {
		left = append(left, m.Subject())
	}
	if !slices.Equal(left, []string{"bob's", "later"}) {
		t.Errorf("left is %q", left)
	}
}

// TestInATest: what is there to copy works.
func TestInATest(t *testing.T) {
	h := newHouse(t)
	h.sentMixed()
	m := h.Mail.Messages()[0]
	command := curlFor("http://localhost/inbox/alice", m)
	address, err := url.Parse(strings.Trim(strings.TrimPrefix(command, "curl -sS "), "'"))
	if err != nil || strings.Count(command, "'") != 2 {
		t.Fatalf("%s %v", command, err)
	}
	if found := get[MessageList](h, address.RequestURI()); len(found.Messages) != 1 {
		t.Errorf("%s finds %v", command, found)
	}
	if _, err := parser.ParseExpr("func() {" + goFor(m) + "}"); err != nil {
		t.Errorf("%v in %s", err, goFor(m))
	}
	if got := quoted("it's"); got != `'it'\''s'` {
		t.Error(got)
	}
}

func TestOlderMailIsBehindALink(t *testing.T) {
	h := newHouse(t)
	c, err := h.client("alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	for range pageLength + 20 {
		if err := c.Mail("a@example.org"); err != nil {
			t.Fatal(err)
		}
		if err := c.Rcpt("b@example.net"); err != nil {
			t.Fatal(err)
		}
		w, err := c.Data()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	items := func(path string) (int, string) {
		body := h.see(http.StatusOK, path).Body.String()
		next := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(body)
		if next == nil {
			return strings.Count(body, `class="item"`), ""
		}
		return strings.Count(body, `class="item"`), html.UnescapeString(next[1])
	}
	n, next := items("/?search=example.org")
	rest, end := items(next)
	if n != pageLength || rest != 20 || end != "" {
		t.Errorf("%d, then by %s %d, then %q", n, next, rest, end)
	}
}
