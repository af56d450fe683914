package admin

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/seed-1397b510/smarthost/server/web"
)

// browser is somebody who looks at pages, with a cookie once logged in.
type browser struct {
	*house
	handler http.Handler
	cookie  *http.Cookie
}

func newBrowser(trusted bool) *browser {
	h := newHouse()
	return &browser{house: h, handler: h.Server.handler(trusted)}
}

func (b *browser) request(method, path string, form url.Values) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Host = "localhost:8587"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://localhost:8587")
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	return r
}

func (b *browser) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookie = c
	}
	return w
}

// get asks for a page, and holds it to what all pages have.
func (b *browser) get(t *testing.T, path string, want int) string {
	t.Helper()
	return b.hold(t, b.send(b.request("GET", path, nil)), want)
}

func (b *browser) post(t *testing.T, path string, form url.Values, want int) string {
	t.Helper()
	return b.hold(t, b.send(b.request("POST", path, form)), want)
}

func (b *browser) hold(t *testing.T, w *httptest.ResponseRecorder, want int) string {
	t.Helper()
	if w.Code != want {
		t.Errorf("%d, want %d: %s", w.Code, want, w.Body)
	}
	if h := w.Header(); h.Get("Content-Security-Policy") != web.PagePolicy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("the header is %v", h)
	}
	if w.Code != http.StatusSeeOther {
		checkMarkup(t, w.Body.String())
	}
	return w.Body.String()
}

func (b *browser) login(t *testing.T, token string) {
	t.Helper()
	b.post(t, "/login", url.Values{"token": {token}, "next": {"/queue"}}, http.StatusSeeOther)
}

// checkMarkup holds a page to its form: what is open is closed, no script or style within, each field has a label, one heading of the first rank.
func checkMarkup(t *testing.T, text string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	attr := func(n *html.Node, name string) string {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val
			}
		}
		return ""
	}
	labels, ids, headings := map[string]bool{}, map[string]int{}, 0
	for n := range root.Descendants() {
		labels[attr(n, "for")] = true
		if id := attr(n, "id"); id != "" {
			if ids[id]++; ids[id] > 1 {
				t.Errorf("the id %s is there twice", id)
			}
		}
		if n.Data == "h1" {
			headings++
		}
	}
	for n := range root.Descendants() {
		switch {
		case n.Type != html.ElementNode:
			continue
		case n.Data == "script" && (n.FirstChild != nil || attr(n, "src") != "/static/pages.js"), n.Data == "style", n.Data == "img", n.Data == "iframe", n.Data == "b":
			t.Errorf("the page has a <%s> %v", n.Data, n.Attr)
		case (n.Data == "input" && attr(n, "type") != "hidden" || n.Data == "select" || n.Data == "textarea") && !labels[attr(n, "id")]:
			t.Errorf("no label is for %v", n.Attr)
		}
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") || a.Key == "href" && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") {
				t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
			}
		}
	}
	if headings != 1 || ids["main"] != 1 {
		t.Errorf("%d headings, %v", headings, ids)
	}
}

// Whoever has not logged in sees the form and nothing else, and gets to where they wanted with a token.
func TestLogin(t *testing.T) {
	b := newBrowser(false)
	for _, p := range pages {
		if p.scope == "" {
			continue
		}
		w := b.send(b.request(p.method, p.path+"?of=a", url.Values{}))
		if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(to, "/login") || w.Body.Len() > 100 {
			t.Errorf("%s %s: %d %s %s", p.method, p.path, w.Code, to, w.Body)
		}
	}
	if text := b.get(t, "/login?next=%2Fqueue%3Faccount%3Dalice", 200); !strings.Contains(text, `name="next" value="/queue?account=alice"`) {
		t.Error(text)
	}
	for _, token := range []string{"", "wrong", strings.Repeat("a", 2000)} {
		if text := b.post(t, "/login", url.Values{"token": {token}}, 401); b.cookie != nil || !strings.Contains(text, "not known") {
			t.Errorf("%q: %v %s", token, b.cookie, text)
		}
	}
	b.login(t, "queue")
	if c := b.cookie; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || strings.Contains(c.Value, "queue") || len(c.Value) < 26 {
		t.Errorf("the cookie is %v", c)
	}
	if text := b.get(t, "/queue", 200); !strings.Contains(text, "token of queue") {
		t.Error(text)
	}
	old := b.cookie
	b.post(t, "/logout", url.Values{}, http.StatusSeeOther)
	if b.cookie.MaxAge >= 0 {
		t.Errorf("the cookie stays: %v", b.cookie)
	}
	b.cookie = old
	b.get(t, "/queue", http.StatusSeeOther)
	if log := b.log.String(); strings.Contains(log, `"wrong"`) || strings.Contains(log, old.Value) || !strings.Contains(log, `"who":"token of queue","what":"POST /login"`) {
		t.Error(log)
	}
}

func TestCookieIsForTLSBehindAProxy(t *testing.T) {
	b := newBrowser(false)
	r := b.request("POST", "/login", url.Values{"token": {"reader"}})
	r.Header.Set("X-Forwarded-Proto", "https")
	if b.send(r); b.cookie == nil || !b.cookie.Secure {
		t.Errorf("%v", b.cookie)
	}
}

// Nobody is sent to another site by a link to the form.
func TestWhereTheLoginLeads(t *testing.T) {
	for next, want := range map[string]string{
		"":                     "/",
		"/trace?of=a%40b":      "/trace?of=a%40b",
		"//evil.example":       "/",
		"///evil.example":      "/",
		"/\\evil.example":      "/",
		"https://evil.example": "/",
		"javascript:alert(1)":  "/",
		"queue":                "/",
		"/queue\r\nX: y":       "/",
	} {
		if got := ownPath(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// A session ends an hour after its last use, when its token is revoked, and when there are too many.
func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l sessions
		first := l.begin("one")
		time.Sleep(sessionTime - time.Second)
		if got := l.token(first, true); got != "one" {
			t.Errorf("%q", got)
		}
		time.Sleep(sessionTime - time.Second)
		if got := l.token(first, false); got != "one" {
			t.Errorf("%q", got)
		}
		time.Sleep(2 * time.Second)
		if got := l.token(first, true); got != "" {
			t.Errorf("it goes on: %q", got)
		}
		first = l.begin("one")
		time.Sleep(time.Second)
		for range maxSessions {
			l.begin("more")
		}
		if got := l.token(first, true); got != "" || len(l.open) != maxSessions {
			t.Errorf("%q, %d sessions", got, len(l.open))
		}
	})
	b := newBrowser(false)
	b.login(t, "all")
	b.Token = func(string) (Caller, error) { return Caller{}, ErrToken }
	b.get(t, "/queue", http.StatusSeeOther)
}

// A token that can look cannot change, and pages of foreign sites can do nothing with the cookie.
func TestWhoMayChangeFromPages(t *testing.T) {
	b := newBrowser(false)
	order := url.Values{"do": {"drop"}, "id": {"id1"}}
	b.login(t, "reader")
	if text := b.get(t, "/queue", 200); strings.Contains(text, "/queue/order") {
		t.Error("the page offers what it will refuse")
	}
	b.get(t, "/queue/order?do=drop&id=id1", 403)
	b.post(t, "/queue/order", order, 403)
	b.login(t, "queue")
	for _, header := range [][2]string{{"Origin", "http://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		r := b.request("POST", "/queue/order", order)
		r.Header.Set(header[0], header[1])
		if w := b.send(r); w.Code != 403 {
			t.Errorf("%v: %d", header, w.Code)
		}
	}
	if len(b.orders) > 0 {
		t.Errorf("orders were carried out: %v", b.orders)
	}
}

// An order is shown before it is given, and given as it was shown.
func TestOrdersFromPages(t *testing.T) {
	b := newBrowser(true)
	if text := b.get(t, "/queue/order?do=hold&account=alice&older_than=2h", 200); !strings.Contains(text, "3 deliveries would change") || !strings.Contains(text, `name="older_than" value="2h"`) {
		t.Error(text)
	}
	if text := b.get(t, "/queue/order?do=drop", 200); !strings.Contains(text, "all mail that waits") {
		t.Error(text)
	}
	for _, o := range b.orders {
		if !o.DryRun {
			t.Errorf("looking carried out %v", o)
		}
	}
	b.orders = nil
	if text := b.post(t, "/queue/order", url.Values{"do": {"hold"}, "account": {"alice"}, "older_than": {"2h"}}, 200); !strings.Contains(text, "3 deliveries changed") {
		t.Error(text)
	}
	if len(b.orders) != 1 || b.orders[0].By != "socket" || b.orders[0].Do != "hold" || b.orders[0].DryRun || b.orders[0].All || b.orders[0].Filter.Account != "alice" || b.orders[0].Filter.OlderThan != Span(2*time.Hour) {
		t.Errorf("%+v", b.orders)
	}
	if log := b.log.String(); !strings.Contains(log, `"what":"POST /queue/order","to":"account=alice&do=hold&older_than=2h: 3 changed, 0 being tried, 0 left alone","status":200`) {
		t.Error(log)
	}
	b.orders = nil
	for _, form := range []url.Values{{}, {"do": {"drop"}}, {"do": {"reroute"}, "all": {"yes"}}, {"do": {"drop"}, "older_than": {"2"}}, {"do": {"drop"}, "state": {"lost"}}} {
		if text := b.post(t, "/queue/order", form, 400); !strings.Contains(text, "go back") {
			t.Error(text)
		}
	}
	b.post(t, "/queue/order", url.Values{"do": {strings.Repeat("a", maxBody)}}, 413)
	if len(b.orders) > 0 {
		t.Errorf("orders were carried out: %v", b.orders)
	}
	if b.post(t, "/queue/order", url.Values{"do": {"drop"}, "all": {"yes"}}, 200); len(b.orders) != 1 || !b.orders[0].All {
		t.Errorf("%+v", b.orders)
	}
}

// The search finds what is in any part of a refusal, and pages go on where the last one ended.
func TestRefusalsAreFound(t *testing.T) {
	b := newBrowser(true)
	for n := range 130 {
		r := Refusal{At: time.Now(), Address: netip.MustParseAddr("192.0.2.7"), Stage: "MAIL", Account: "bob", Code: 550, Reply: "5.7.1 not an address of bob"}
		if n%2 == 1 {
			r.Account, r.Device, r.Code, r.Reply = "alice", "Laptop", 451, "4.7.0 TLS failed 3 s ago"
		}
		b.Refusals.Add(r)
	}
	text := b.get(t, "/refusals?search=LAPTOP+failed", 200)
	if n := strings.Count(text, "TLS failed"); n != pageLength || strings.Contains(text, "bob") {
		t.Errorf("%d found", n)
	}
	_, query, _ := strings.Cut(text, `href="/refusals?before=`)
	query, _, _ = strings.Cut(query, `"`)
	text = b.get(t, "/refusals?before="+html.UnescapeString(query), 200)
	if n := strings.Count(text, "TLS failed"); n != 15 || strings.Contains(text, "Older") {
		t.Errorf("%d on the second page", n)
	}
	if text := b.get(t, "/refusals?search=nothing", 200); !strings.Contains(text, "Nothing here") {
		t.Error(text)
	}
	b.get(t, "/refusals?before=x", 400)
}

// What others have chosen is shown as text, bounded, and without signs that are not seen or change the order of the rest.
func TestHostileValuesAreInert(t *testing.T) {
	const evil = `"><script>alert(1)</script><b x='` + "\u202egro.elpmaxe\u2066\x00\x1b[31m\r\nSet-Cookie: a=b"
	long := strings.Repeat("ü<b>", 2500)
	b := newBrowser(false)
	b.Server.Token = func(string) (Caller, error) { return Caller{evil, []Scope{All}}, nil }
	at := time.Now()
	b.entry = Entry{ID: evil, State: evil, Account: evil, Device: long, From: evil, Destination: long, Relay: evil, Parent: evil, Next: &at}
	for range 500 {
		b.entry.Recipients = append(b.entry.Recipients, Recipient{evil, long, evil})
	}
	story := Story{ID: evil, MessageID: long, Session: evil, Account: evil, Device: evil, From: long, Parent: evil, Ended: &at, Waiting: []Entry{b.entry}}
	for range 10 {
		story.Attempts = append(story.Attempts, Attempt{Destination: evil, Reports: []string{evil}, Tries: []Try{{Address: evil, Hop: long, TLS: evil, Reply: evil}}})
	}
	story.Orders = []Ordered{{Destination: evil, Do: evil, Relay: long, By: evil}}
	b.told = func() []Story { return []Story{story} }
	b.users = []User{{evil, []Device{{Device: evil, Class: long, Senders: []string{evil, long}, LastSeen: &Sighting{Hello: evil}}}}}
	b.is = Status{Version: evil, Hostname: evil, Config: ConfigSummary{Doors: []string{evil}, Relay: long}, Certificate: CertificateInForce{Names: []string{evil}, Issuer: long},
		Limits: []LimitInUse{{Account: evil, Class: evil}}}
	b.inForce = ConfigInForce{evil, []Setting{{evil, long, true}}}
	b.Refusals.Add(Refusal{Session: evil, Stage: evil, Account: evil, Device: long, Hello: evil, From: evil, Reply: long})
	b.Refusals.Add(Refusal{Hello: long, From: long, Reply: evil})
	b.login(t, "all")
	query := "=" + url.QueryEscape(evil)
	for _, path := range []string{"/refusals", "/refusals?search=b", "/refusals?search" + query, "/queue", "/queue?sender" + query + "&after" + query, "/queue/order?do=drop&sender" + query,
		"/trace?of" + query, "/trace?of=" + url.QueryEscape(long[:900]), "/users", "/users/revoke?user" + query + "&device" + query, "/now", "/config", "/config?search" + query} {
		text := b.get(t, path, 200)
		if i := strings.IndexAny(text, "\u202e\u2066\x00\x1b"); i >= 0 {
			// A field of a form keeps what was typed.
			if around := text[max(0, i-200):i]; !strings.Contains(around, `value="`) {
				t.Errorf("%s shows %q", path, text[max(0, i-80):i+10])
			}
		}
		if len(text) > 400_000 {
			t.Errorf("%s has %d octets", path, len(text))
		}
	}
	b.get(t, "/queue?state"+query, 400)
	b.get(t, "/queue?"+url.QueryEscape(evil)+"=1", 400)
	b.get(t, "/static/..%2fpages.go", 404)
}

// A page that is open hears of what has changed, once, until the token is revoked or the server ends.
func TestPagesAreKeptUpToDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newHouse(), newPipes()
		token := h.Token
		var revoked atomic.Bool
		h.Token = func(secret string) (Caller, error) {
			if revoked.Load() {
				return Caller{}, ErrToken
			}
			return token(secret)
		}
		stop := h.run(t, Door{Listener: l})
		defer stop()
		began := time.Now()
		h.told = func() []Story {
			if time.Since(began) < time.Minute { // longer than any deadline of a request
				return []Story{{ID: "id1", Account: "<alice>"}}
			}
			return []Story{{ID: "id1", Account: "bob"}}
		}
		open := func() (*bufio.Reader, *http.Response, func()) {
			conn := l.dial()
			r := httptest.NewRequest("GET", "/trace/events?of=id1", nil)
			r.Host = "localhost"
			r.AddCookie(&http.Cookie{Name: sessionName, Value: h.sessions.begin("reader")})
			go r.Write(conn)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			return bufio.NewReader(response.Body), response, func() { conn.Close() }
		}
		body, response, done := open()
		defer func() { done() }()
		if kind := response.Header.Get("Content-Type"); kind != "text/event-stream" {
			t.Error(kind)
		}
		next := func() (text string) {
			for {
				line, err := body.ReadString('\n')
				if err != nil {
					return "end"
				}
				if data, ok := strings.CutPrefix(line, "data: "); ok {
					if err := json.Unmarshal([]byte(data), &text); err != nil {
						t.Error(err)
					}
					return text
				}
			}
		}
		if text := next(); !strings.Contains(text, "&lt;alice&gt;") {
			t.Error(text)
		}
		if text := next(); !strings.Contains(text, "bob") || time.Since(began) > time.Minute+2*eventPause {
			t.Errorf("after %s: %s", time.Since(began), text)
		}
		asked := time.Now()
		revoked.Store(true)
		if text := next(); text != "end" || time.Since(asked) > 2*eventPause {
			t.Errorf("after the end of the token, %s: %s", time.Since(asked), text)
		}
		revoked.Store(false)
		done()
		body, _, done = open()
		if text := next(); !strings.Contains(text, "bob") {
			t.Error(text)
		}
		asked = time.Now()
		var ending sync.WaitGroup
		ending.Go(stop)
		if text := next(); text != "end" || time.Since(asked) > time.Second {
			t.Errorf("after %s: %s", time.Since(asked), text)
		}
		ending.Wait()
	})
}

// Each key is shown with its value, and found by either.
func TestConfigInForce(t *testing.T) {
	b := newBrowser(false)
	b.inForce = ConfigInForce{Settings: []Setting{{"forward.relay", `"smtp://relay.example"`, true}, {"listen.submission", `[":587"]`, false}}}
	b.login(t, "reader")
	if text := b.get(t, "/config", 200); !strings.Contains(text, "smtp://relay.example") || !strings.Contains(text, "a restart<") {
		t.Error(text)
	}
	for _, search := range []string{"SUBMISSION", "587"} {
		if text := b.get(t, "/config?search="+search, 200); strings.Contains(text, "relay.example") || !strings.Contains(text, "listen.submission") {
			t.Error(text)
		}
	}
}

// That a mail bounces is said of mail alone: what becomes of a login that fails is the client's to decide.
func TestWhatARefusalMeans(t *testing.T) {
	for stage, want := range map[string]bool{"connection": false, "AUTH": false, "MAIL": true, "RCPT": true, "DATA": true} {
		b := newBrowser(true)
		b.Refusals.Add(Refusal{Stage: stage, Code: 550})
		if text := b.get(t, "/refusals", 200); strings.Contains(text, "the mail bounces<") != want {
			t.Errorf("%s: %s", stage, text)
		}
	}
}
