package web

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// gate is one that is for mx.example.org and for all names without dots.
func gate(next http.Handler) http.Handler {
	return Gate{
		Ours:   func(name string) bool { return name == "mx.example.org" || !strings.Contains(name, ".") },
		Advice: "use mx.example.org",
		Policy: "default-src 'none'",
		Refuse: func(w http.ResponseWriter, _ *http.Request, f *Fault) { f.Answer(w) },
	}.Before(next)
}

// A page of a foreign site can make a browser send requests, and by DNS rebinding read the answers: it gets through no gate.
func TestGate(t *testing.T) {
	const get, post = "GET", "POST"
	passed := 0
	h := gate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		passed++
		io.WriteString(w, "let through")
	}))
	for _, c := range []struct {
		method, host, origin, site string
		want                       int
	}{
		{post, "localhost", "", "", 200},
		{post, "LocalHost.:8587", "", "", 200},
		{post, "127.0.0.1:8587", "", "", 200},
		{post, "[::1]:8587", "", "", 200},
		{post, "192.0.2.7", "", "", 200},
		{post, "192.0.2.7:1", "", "", 200},
		{post, "MX.example.org.:8587", "", "", 200},
		{post, "evil.example", "", "", 421},
		{post, "localhost.evil.example:8587", "", "", 421},
		{post, "mx.example.org@evil.example", "", "", 421},
		{get, "evil.example:8587", "", "", 421},
		{get, "127.0.0.1.evil.example", "", "", 421},
		{get, "localhost/b", "", "", 421},
		{get, ":8587", "", "", 421},
		{get, "evilmx.example.org", "", "", 421},
		{get, "evil.example@localhost", "", "", 421},
		{post, "localhost:8587", "http://localhost:8587", "same-origin", 200},
		{post, "localhost:8587", "http://localhost:8587", "", 200},
		{post, "localhost:8587", "http://evil.example", "cross-site", 403},
		{post, "localhost:8587", "http://evil.example", "", 403},
		{post, "localhost:8587", "null", "", 403},
		{post, "localhost:8587", "", "cross-site", 403},
		{post, "localhost:8587", "", "same-site", 403},
		{post, "localhost:8587", "http://localhost:9999", "same-site", 403},
		{get, "localhost:8587", "http://localhost:9999", "", 403},
		{get, "localhost:8587", "http://evil.example", "cross-site", 403},
		{get, "localhost:8587", "null", "", 403},
		{get, "localhost:8587", "http://localhost:8587", "same-origin", 200},
		// Load balancers may ask in HTTP/1.0, without a Host.
		{get, "", "", "", 200},
		{get, "", "http://evil.example", "", 403},
		{get, "", "null", "", 403},
		{post, "", "null", "", 403},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		r.Host = c.host
		for name, value := range map[string]string{"Origin": c.origin, "Sec-Fetch-Site": c.site} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		before := passed
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != c.want || (passed > before) != (c.want == http.StatusOK) {
			t.Errorf("%+v: %d %s", c, w.Code, w.Body)
		}
		var f Fault
		if err := json.Unmarshal(w.Body.Bytes(), &f); c.want >= 400 && (err != nil || f.What == "" || f.Do == "") {
			t.Errorf("%+v: %q does not say what happened and what to do", c, w.Body)
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%+v: %s is %q, want %q", c, name, got, want)
			}
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"Grüße <b>":                    "Grüße <b>",
		"a\r\nb\tc\x00":                "a??b?c?",
		"a\u202eb\xff":                 "a?b?",
		strings.Repeat("x", 201):       strings.Repeat("x", 200) + "…",
		"x" + strings.Repeat("ü", 100): "x" + strings.Repeat("ü", 99) + "?…",
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}
