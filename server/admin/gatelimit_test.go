package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever makes requests that are refused gets so many lines a minute of each kind, and then one with a count.
func TestRefusedRequestsDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		flood := func() {
			for i := range 100 {
				h.ask(asked{method: "GET", path: "/api/v1/status", token: "wrong"})
				h.ask(asked{method: "GET", path: "/api/v1/status", host: fmt.Sprintf("evil%d.example", i)})
				h.ask(asked{method: "GET", path: "/queue", origin: "http://evil.example"})
				h.ask(asked{method: "POST", path: "/login", body: "token=wrong"})
				h.ask(asked{method: "POST", path: "/logout"})
				h.ask(asked{method: "GET", path: "/api/v1/status", token: "broken"})
			}
		}
		flood()
		if lines := strings.Count(h.log.String(), "\n"); lines != 5*refusedLines { // 401, 403, 421, 503, and the cause of the last
			t.Errorf("%d lines in the first minute, want %d:\n%s", lines, 5*refusedLines, h.log)
		}
		stop := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			h.refused.run(ctx, h.Log)
			close(stop)
		}()
		time.Sleep(refusedEvery) // the bubble's clock
		synctest.Wait()
		for _, want := range []string{`"status":"401","requests":180,`, `"status":"403","requests":80,`, `"status":"421","requests":80,`, `"status":"503","requests":80,`} {
			if strings.Count(h.log.String(), want) != 1 {
				t.Errorf("the log lacks %s:\n%s", want, h.log)
			}
		}
		flood()
		cancel()
		<-stop
		if got, want := strings.Count(h.log.String(), "\n"), 2*(5*refusedLines+5); got != want {
			t.Errorf("%d lines in two minutes, want %d", got, want)
		}
	})
}

// An address that guesses has to wait, and nobody else has; this machine and sockets never.
func TestGuessesAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		ask := func(from, token string) int {
			return h.ask(asked{method: "GET", path: "/api/v1/status", from: from, token: token}).Code
		}
		guess := func(from string, want int) {
			t.Helper()
			for i := range freeGuesses {
				if got := ask(from, "wrong"); got != http.StatusUnauthorized {
					t.Fatalf("guess %d of %s: %d", i, from, got)
				}
			}
			if got := ask(from, "reader"); got != want {
				t.Errorf("%s: the right token after %d wrong ones: %d, want %d", from, freeGuesses, got, want)
			}
		}
		guess("192.0.2.1:1", http.StatusTooManyRequests)
		guess("[2001:db8::1]:1", http.StatusTooManyRequests)
		for from, want := range map[string]int{"192.0.2.1:2": 429, "[::ffff:192.0.2.1]:2": 429, "192.0.2.2:1": 200, "[2001:db8::2]:1": 429, "[2001:db8:0:1::1]:1": 200} {
			token := map[bool]string{true: "reader", false: "all"}[want == 200]
			if got := ask(from, token); got != want {
				t.Errorf("%s: %d, want %d", from, got, want)
			}
		}
		for _, from := range []string{"127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "@", ""} {
			guess(from, http.StatusOK)
		}
		form := asked{method: "POST", path: "/login", body: "token=all", from: "192.0.2.1:3"}
		if w := h.ask(form); w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "too many wrong tokens") {
			t.Errorf("the form: %d %s", w.Code, w.Body)
		}
		if w := h.ask(asked{method: "GET", path: "/api/v1/status", from: "192.0.2.1:4", token: "wrong"}); w.Header().Get("Retry-After") == "" {
			t.Error("it is not said when to try again")
		}
		time.Sleep(guessEvery) // the bubble's clock
		for _, want := range []int{http.StatusOK, http.StatusOK} {
			if got := ask("192.0.2.1:5", "reader"); got != want {
				t.Errorf("after the wait: %d, want %d", got, want)
			}
		}
		ask("192.0.2.1:5", "wrong")
		for token, want := range map[string]int{"reader": 200, "wrong": 429, "all": 429} {
			if got := ask("192.0.2.1:5", token); got != want {
				t.Errorf("%s after one more guess, when only reader was right before: %d", token, got)
			}
		}
	})
}

// Behind a proxy all have its address: who is known is not kept out for what others guess, as long as his token is right.
func TestKnownTokensDoNotWait(t *testing.T) {
	h := newHouse()
	ask := func(token string, want int) {
		t.Helper()
		if w := h.ask(asked{method: "GET", path: "/api/v1/status", from: "192.0.2.1:1", token: token}); w.Code != want {
			t.Errorf("%s: %d, want %d", token, w.Code, want)
		}
	}
	ask("reader", 200)
	for range freeGuesses {
		ask("wrong", 401)
	}
	ask("wrong", 429)
	ask("reader", 200)
	valid := h.Token
	h.Token = func(string) (Caller, error) { return Caller{}, ErrToken } // revoked
	ask("reader", 401)
	ask("reader", 429)
	h.Token = valid
	ask("reader", 429)
}

func TestGuessersAreForgotten(t *testing.T) {
	g := new(guesses)
	for i := range 2 * maxRemembered {
		g.limiter(fmt.Sprintf("[2001:db8:%x:%x::1]:25", i>>16, i&0xffff))
	}
	if n := g.by.Len(); n != maxRemembered {
		t.Errorf("%d addresses are remembered", n)
	}
}

// open are the routes that need no token: they tell whether the server is well, count, or are there to log in.
var open = []string{"GET /livez", "GET /readyz", "GET /metrics", "GET /{$}", "GET /login", "POST /login", "POST /logout", "GET /static/{file}"}

// Every route there is, of the API, of pages and of streams: nothing without a token, and nothing for pages of other sites by any door.
func TestEveryRouteIsGuarded(t *testing.T) {
	h := newHouse()
	openSeen := 0
	for i, table := range [][]route{routes, pages} {
		for _, rt := range table {
			a := asked{method: rt.method, path: strings.NewReplacer("{$}", "", "{file}", "style.css", "{user}", "alice", "{device}", "laptop", "{id}", "id1").Replace(rt.path)}
			name := rt.method + " " + rt.path
			for _, trusted := range []bool{false, true} {
				a.trusted = trusted
				for _, bad := range []struct {
					host, origin, site string
					want               int
				}{
					{"evil.example", "", "", 421}, {"evil.example:8587", "http://evil.example:8587", "same-origin", 421}, {"127.0.0.1.evil.example", "", "", 421},
					{"", "http://evil.example", "cross-site", 403}, {"", "http://evil.example", "", 403}, {"", "null", "", 403}, {"", "http://localhost:1", "same-site", 403},
				} {
					a.host, a.origin, a.site = bad.host, bad.origin, bad.site
					a.token = "all"
					if w := h.ask(a); w.Code != bad.want {
						t.Errorf("%s of %+v, trusted %v: %d", name, bad, trusted, w.Code)
					}
				}
			}
			a = asked{method: a.method, path: a.path}
			if rt.scope == "" {
				openSeen++
				if !strings.Contains(" "+strings.Join(open, ", ")+",", " "+name+",") {
					t.Errorf("%s needs no token", name)
				}
				continue
			}
			w := h.ask(a)
			if i == 0 && w.Code != http.StatusUnauthorized {
				t.Errorf("%s without a token: %d", name, w.Code)
			}
			if at := w.Header().Get("Location"); i == 1 && (w.Code != http.StatusSeeOther || !strings.HasPrefix(at, "/login")) {
				t.Errorf("%s without a login: %d %s", name, w.Code, at)
			}
		}
	}
	if openSeen != len(open) {
		t.Errorf("%d routes need no token, want %d", openSeen, len(open))
	}
	if len(h.orders) > 0 || strings.Contains(h.log.String(), `"message":"change"`) {
		t.Errorf("something was changed: %v\n%s", h.orders, h.log)
	}
}

// What Go can tell of a running program, its memory included, is told by no door.
func TestNothingToDebug(t *testing.T) {
	h := newHouse()
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "/debug/requests", "/debug/events"} {
		h.check(t, asked{method: "GET", path: path, want: 404})
		h.check(t, asked{method: "GET", path: path, trusted: true, want: 404})
	}
}
