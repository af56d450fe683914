package capture

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// What package web refuses reaches no route.
func TestForeignPages(t *testing.T) {
	h := newHouse(t)
	over, end := context.WithCancel(t.Context())
	end() // so that a stream that should not begin ends
	var routes [][2]string
	for _, rt := range tables() {
		routes = append(routes, [2]string{rt.method, rt.path})
	}
	for _, p := range pages {
		routes = append(routes, [2]string{p.method, p.path})
	}
	for _, rt := range routes {
		path := strings.NewReplacer("{$}", "", "{file}", "style.css", "{session}", "x", "{id}", "x", "{part}", "1").Replace(rt[1])
		for _, c := range []struct {
			host, origin string
			want         int
		}{
			{"evil.example", "", http.StatusMisdirectedRequest},
			{"localhost", "http://evil.example", http.StatusForbidden},
			{"localhost", "null", http.StatusForbidden},
		} {
			for _, before := range []string{"", "/inbox/alice"} {
				r := httptest.NewRequestWithContext(over, rt[0], "http://localhost"+before+path, nil)
				r.Host = c.host
				if c.origin != "" {
					r.Header.Set("Origin", c.origin)
				}
				h.serve(c.want, r)
			}
		}
	}
}

func TestWhoIsServed(t *testing.T) {
	h := newHouse(t)
	for host, want := range map[string]int{
		"localhost:8025":            200,
		"[::1]:8025":                200,
		"mail:8025":                 200,
		"web.test":                  200,
		"app.localhost":             200,
		"host.docker.internal:8025": 200,
		"Mail.Example.Org.:8025":    200,
		"other.example.org":         421,
		"localhost.evil.example":    421,
		"eviltest":                  200, // a name without dots is nobody's in the public DNS
		"evil.xtest":                421,
	} {
		r := httptest.NewRequest("POST", "http://localhost/api/t/v1/reset", nil)
		r.Host = host
		h.serve(want, r)
	}
}

func TestRequestsThatAreWrong(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/nothing", "", 404},
		{"GET", "/inbox/alice/nothing", "", 404},
		{"GET", "/inbox/alice/ca.pem", "", 404},
		{"GET", "/api/t/v1/../../../etc/passwd", "", 404},
		{"GET", "/inbox/nobody/api/t/v1/sessions", "", 404},
		{"PUT", "/api/t/v1/sessions", "", 405},
		{"GET", "/api/t/v1/reset", "", 405},
		{"GET", "/api/t/v1/sessions?usr=alice", "", 400},
		{"GET", "/api/t/v1/sessions?limit=0", "", 400},
		{"GET", "/api/t/v1/sessions?limit=1&limit=2", "", 400},
		{"GET", "/api/t/v1/sessions?%zz", "", 400},
		{"GET", "/api/t/v1/sessions/x", "", 404},
		{"GET", "/api/t/v1/events?after=-1", "", 400},
		{"POST", "/api/t/v1/users", "{", 400},
		{"POST", "/api/t/v1/users", `{"usr":"x"}`, 400},
		{"POST", "/api/t/v1/users", `{} {}`, 400},
		{"POST", "/api/t/v1/users", `{"user":"alice"}`, 409},
		{"POST", "/api/t/v1/users", `{"user":"ALICE"}`, 409},
		{"POST", "/api/t/v1/users", `{"user":"a\u0000b"}`, 400},
		{"POST", "/api/t/v1/users", `{"limits":{"messages":"often"}}`, 400},
		{"POST", "/api/t/v1/users", `{"user":"` + strings.Repeat("x", maxBody) + `"}`, 413},
		{"PUT", "/api/t/v1/script", "", 400},
		{"PUT", "/api/t/v1/script", "null", 400},
		{"PUT", "/api/t/v1/script", `[{"on":"lunch"}]`, 400},
		{"PUT", "/api/t/v1/script", `[{"on":"mail","do":{"reply":[250,"","yes"]}}]`, 400},
		{"PUT", "/inbox/alice/api/t/v1/script", `[{"on":"banner","do":{"end":"drop"}}]`, 400},
		{"POST", "/api/t/v1/clock", `{"advance":"-1h"}`, 400},
		{"POST", "/api/t/v1/clock", `{"advance":"soon"}`, 400},
	} {
		var f Fault
		text := h.ask(c.status, c.method, c.path, c.body)
		if f = decode[Fault](h, text); f.What == "" || f.Do == "" {
			t.Errorf("%s %s: it is not said what is wrong, or what to do: %s", c.method, c.path, text)
		}
	}
}

// Run answers until its context ends, and requests that go on end with it.
func TestRun(t *testing.T) {
	h := newHouse(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + l.Addr().String() + "/api/t/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := answer.Body.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	l.Close()
	if err := h.Run(t.Context(), l); err == nil {
		t.Error("a listener that is closed is no fault")
	}
	if err := new(Server).Run(t.Context(), l); err == nil {
		t.Error("Mail may be missing")
	}
}

var _ inbox = (*smarthosttest.Inbox)(nil)
