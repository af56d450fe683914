package admin

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestWhoMayAskForWhat(t *testing.T) {
	h := newHouse()
	body := map[string]string{
		"POST /api/v1/queue":                `{"do":"retry","all":true}`,
		"POST /api/v1/rules":                `{"account":"alice"}`,
		"POST /api/v1/users/{user}/devices": `{"device":"laptop"}`,
	}
	for _, r := range routes {
		a := asked{method: r.method, path: strings.NewReplacer("{user}", "alice", "{device}", "laptop", "{id}", "id1").Replace(r.path), body: body[r.method+" "+r.path]}
		switch a.path {
		case "/api/v1/trace":
			a.path += "?of=x"
		case "/api/v1/rules/id1":
			a.path = "/api/v1/rules/1"
		}
		made := http.StatusOK
		if r.method == "POST" && (strings.HasSuffix(r.path, "devices") || strings.HasSuffix(r.path, "rules")) {
			made = http.StatusCreated
		}
		if r.method == "POST" && r.path == "/api/v1/doctor" {
			made = http.StatusAccepted
		}
		may := map[Scope]string{"": "reader queue users all", Read: "reader queue users all", Mail: "queue all", Users: "users all", All: "all"}[r.scope]
		for _, token := range []string{"reader", "queue", "users", "all"} {
			a.token, a.want = token, http.StatusForbidden
			if strings.Contains(may, token) {
				a.want = made
			}
			h.check(t, a)
		}
		for _, token := range []string{"", "wrong", "Reader", "reader "} {
			a.token, a.want = token, http.StatusUnauthorized
			if r.scope == "" || token == "reader " && r.scope == Read { // blanks around a token are none of it
				a.want = made
			}
			if token == "reader " && r.scope != Read && r.scope != "" {
				a.want = http.StatusForbidden
			}
			h.check(t, a)
		}
		h.examinations = examinations{} // nobody makes the one that was asked for
		a.token, a.trusted, a.want = "", true, made
		h.check(t, a)
	}
	if log := h.log.String(); strings.Contains(log, "Bearer") || strings.Contains(log, `"wrong"`) || strings.Contains(log, "made-secret") {
		t.Errorf("the log tells a secret:\n%s", log)
	}
}

func TestMetricsAreOpen(t *testing.T) {
	h := newHouse()
	if got := h.check(t, asked{method: "GET", path: "/metrics", want: 200}); got != "counted 1\n" {
		t.Error(got)
	}
	h.Metrics = nil
	h.check(t, asked{method: "GET", path: "/metrics", want: 404})
}

func TestTokensThatCannotBeRead(t *testing.T) {
	h := newHouse()
	w := h.ask(asked{method: "GET", path: "/api/v1/status", token: "broken"})
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "disk") || !strings.Contains(h.log.String(), "disk of broken") {
		t.Errorf("%d %s\n%s", w.Code, w.Body, h.log)
	}
}

// What package web refuses reaches no route, by no door.
func TestForeignPages(t *testing.T) {
	h := newHouse()
	for _, trusted := range []bool{false, true} {
		for _, rt := range slices.Concat(routes, pages) {
			a := asked{trusted: trusted, method: rt.method, path: strings.NewReplacer("{$}", "", "{file}", "style.css", "{user}", "alice", "{device}", "laptop", "{id}", "id1").Replace(rt.path), token: "all"}
			a.host, a.want = "evil.example:8587", http.StatusMisdirectedRequest
			h.check(t, a)
			for _, origin := range []string{"http://evil.example", "null"} {
				a.host, a.origin, a.want = "", origin, http.StatusForbidden
				h.check(t, a)
			}
		}
	}
	if len(h.orders) > 0 || strings.Contains(h.log.String(), `"message":"change"`) {
		t.Errorf("something was changed: %v\n%s", h.orders, h.log)
	}
}

func TestWhoIsServed(t *testing.T) {
	h := newHouse()
	for host, want := range map[string]int{
		"localhost:8587":       200,
		"[::1]:8587":           200,
		"MX.example.org.:8587": 200,
		"mail:8587":            421,
		"evilmx.example.org":   421,
		"x.localhost":          421,
	} {
		for _, trusted := range []bool{false, true} {
			h.check(t, asked{trusted: trusted, method: "POST", path: "/api/v1/reload", token: "all", host: host, want: want})
		}
	}
}

func TestRequestsThatAreWrong(t *testing.T) {
	h := newHouse()
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/nothing", "", 404},
		{"GET", "/api/v1/nothing", "", 404},
		{"GET", "/api/v1/../../etc/passwd", "", 404},
		{"PUT", "/api/v1/status", "", 405},
		{"DELETE", "/api/v1/queue", "", 405},
		{"GET", "/api/v1/reload", "", 405},
		{"GET", "/api/v1/queue?acount=alice", "", 400},
		{"GET", "/api/v1/queue?account=a&account=b", "", 400},
		{"GET", "/api/v1/queue?limit=0", "", 400},
		{"GET", "/api/v1/queue?limit=1001", "", 400},
		{"GET", "/api/v1/queue?state=lost", "", 400},
		{"GET", "/api/v1/queue?older_than=2", "", 400},
		{"GET", "/api/v1/queue?%zz", "", 400},
		{"GET", "/api/v1/queue?account=broken", "", 500},
		{"GET", "/api/v1/queue/id2", "", 404},
		{"GET", "/api/v1/queue/id1?x=y", "", 400},
		{"GET", "/api/v1/trace", "", 400},
		{"GET", "/api/v1/refusals?before=-1", "", 400},
		{"GET", "/api/v1/refusals?limit=x", "", 400},
		{"POST", "/api/v1/queue", "", 400},
		{"POST", "/api/v1/queue", "[]", 400},
		{"POST", "/api/v1/queue", `{"do":"retry"}`, 400},
		{"POST", "/api/v1/queue", `{"do":"retry","all":true,"filter":{"account":"a"}}`, 400},
		{"POST", "/api/v1/queue", `{"do":"explode","all":true}`, 400},
		{"POST", "/api/v1/queue", `{"do":"retry","all":true,"relay":"smtp://x"}`, 400},
		{"POST", "/api/v1/queue", `{"do":"retry","filter":{"state":"lost"}}`, 400},
		{"POST", "/api/v1/queue", `{"do":"retry","filter":{"older_than":"-2h"}}`, 400},
		{"POST", "/api/v1/queue", `{"do":"retry","all":true}{}`, 400},
		{"POST", "/api/v1/queue", `{"do":"retry","all":true}]`, 400},
		{"POST", "/api/v1/queue", `{"do":"retry","all":true,"al":1}`, 400},
		{"POST", "/api/v1/queue", `{"do":"retry","filter":{"account":"` + strings.Repeat("a", maxBody) + `"}}`, 413},
		{"POST", "/api/v1/rules", `{}`, 400},
		{"POST", "/api/v1/rules", `{"id":1,"account":"a"}`, 400},
		{"POST", "/api/v1/rules", `{"sender":"` + strings.Repeat("*", maxRule+1) + `"}`, 400},
		{"DELETE", "/api/v1/rules/x", "", 400},
		{"DELETE", "/api/v1/users/nobody/devices/laptop", "", 404},
	} {
		got := h.check(t, asked{trusted: true, method: c.method, path: c.path, body: c.body, want: c.want})
		if strings.Contains(got, relayPassword) {
			t.Errorf("%s %s tells the cause of a fault: %s", c.method, c.path, got)
		}
	}
	if len(h.orders) > 0 {
		t.Errorf("orders were carried out: %v", h.orders)
	}
	if allow := h.ask(asked{method: "PUT", path: "/api/v1/queue"}).Header().Get("Allow"); allow != "GET, HEAD, POST" {
		t.Errorf("Allow: %s", allow)
	}
}

// Every change is a line: who, what, to what, and what came of it.
func TestChangesAreLogged(t *testing.T) {
	h := newHouse()
	h.check(t, asked{method: "DELETE", path: "/api/v1/users/alice/devices/laptop", token: "users", want: 200})
	h.check(t, asked{method: "DELETE", path: "/api/v1/users/nobody/devices/x", token: "users", want: 404})
	h.check(t, asked{method: "POST", path: "/api/v1/queue", token: "queue", want: 200,
		body: `{"do":"reroute","filter":{"sender":"a@b\n\u202e"},"relay":"smtp://u:` + relayPassword + `@relay.example"}`})
	h.check(t, asked{method: "GET", path: "/api/v1/queue", token: "queue", want: 200})
	log := h.log.String()
	for _, want := range []string{
		`"who":"token of users","what":"DELETE /api/v1/users/{user}/devices/{device}","to":"alice/laptop","status":200`,
		`"to":"nobody/x","status":404,"cause":"there is no nobody"`,
		`"who":"token of queue","what":"POST /api/v1/queue","to":"reroute {\"sender\":\"a@b\\n?\"}: 3 changed, 0 being tried, 0 left alone","status":200`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Count(log, `"message":"change"`) != 3 || strings.Contains(log, relayPassword) {
		t.Errorf("the log is\n%s", log)
	}
	if len(h.orders) != 1 || string(h.orders[0].Relay) != "smtp://u:"+relayPassword+"@relay.example" || h.orders[0].By != "token of queue" {
		t.Errorf("orders %v", h.orders)
	}
}
