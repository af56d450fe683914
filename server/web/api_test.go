package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

var api = &API{Document: "/api.json", MaxBody: 2 << 10, Often: []string{"id"}}

func TestRoutes(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a/{id}", func(w http.ResponseWriter, r *http.Request) { Answer(w, http.StatusOK, r.PathValue("id")) })
	mux.HandleFunc("POST /a/{id}", func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/a/%3Cb%3E", 200, "\"<b>\"\n"},
		{"GET", "/b\u202e", 404, `{"error":"there is nothing at /b?","do":"/api.json lists what there is"}` + "\n"},
		{"PUT", "/a/b", 405, `{"error":"this is not there by PUT","do":"use one of: GET, HEAD, POST"}` + "\n"},
		{"GET", "/c/../d", 404, `{"error":"there is nothing at /c/../d","do":"/api.json lists what there is"}` + "\n"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(c.method, "/", nil)
		if strings.Contains(c.path, "%") {
			r.URL.Path, r.URL.RawPath = "/a/<b>", c.path
		} else {
			r.URL.Path = c.path
		}
		api.Routes(mux).ServeHTTP(w, r)
		if w.Code != c.status || w.Body.String() != c.want || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %q %v", c.method, c.path, w.Code, w.Body, w.Header())
		}
		if allow := w.Header().Get("Allow"); (allow != "") != (c.status == http.StatusMethodNotAllowed) {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, allow)
		}
	}
}

func TestQuery(t *testing.T) {
	for query, want := range map[string]string{
		"":                             "",
		"id=1&id=2&user=":              "",
		"user=a":                       "",
		"usr=a":                        "usr is not known here",
		"user=a&user=b":                "user is given twice",
		"%0Aid=1":                      "?id is not known here",
		"user=%zz":                     "the query cannot be read",
		"a" + strings.Repeat("b", 300): "a" + strings.Repeat("b", 199) + "… is not known here",
	} {
		q, err := api.Query(&http.Request{URL: httptest.NewRequest("GET", "/?"+query, nil).URL}, "id", "user")
		if got := what(err); got != want || err == nil && len(q["id"]) != strings.Count(query, "id=") {
			t.Errorf("%q: %q, want %q; %v", query, got, want, q)
		}
	}
}

// what says what happened, if it is a fault that leads to the description.
func what(err error) string {
	var f *Fault
	switch {
	case err == nil:
		return ""
	case errors.As(err, &f) && f.Status == http.StatusBadRequest && f.Do == "see /api.json":
		return f.What
	}
	return fmt.Sprintf("%T %v", err, err)
}

type late struct{}

func (late) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func TestBody(t *testing.T) {
	const wrong = "the request's body is not what this route takes: "
	for body, want := range map[string]string{
		`{"a":1}`:         "",
		"{\"a\":1}\n":     "",
		``:                wrong + "it is empty",
		`{`:               wrong + "unexpected EOF",
		`{"a":1}{}`:       wrong + "there is something after the first value",
		`{"a":1}]`:        wrong + "invalid character ']' looking for beginning of value",
		`{"a":1,"b":2}`:   wrong + `json: unknown field "b"`,
		"{\"b\u202e\":2}": wrong + `json: unknown field "b\u202e"`, // in ASCII
	} {
		var v struct{ A int }
		err := api.Body(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(body)), &v, false)
		if got := what(err); got != want || want == "" && v.A != 1 {
			t.Errorf("%s: %q, want %q; %+v", body, got, want, v)
		}
	}
	var v struct{ A int }
	if err := api.Body(httptest.NewRecorder(), httptest.NewRequest("POST", "/", http.NoBody), &v, true); err != nil {
		t.Errorf("a body that may be empty: %v", err)
	}
	for want, body := range map[int]io.Reader{
		http.StatusRequestEntityTooLarge: strings.NewReader(`{"a":` + strings.Repeat(" ", 2<<10) + `1}`),
		http.StatusRequestTimeout:        late{},
	} {
		r := httptest.NewRequest("POST", "/", body)
		if f := FaultOf(api.Body(httptest.NewRecorder(), r, &v, false), r, zerolog.Nop()); f.Status != want {
			t.Errorf("%d %s, want %d", f.Status, f.What, want)
		}
	}
}

// A cause that is ours is in the log, and not in the answer.
func TestFaultOf(t *testing.T) {
	var log strings.Builder
	r := httptest.NewRequest("GET", "/a", nil)
	r.URL.Path = "/a\n"
	ours := FaultOf(errors.New("the disk's secret"), r, zerolog.New(&log))
	text, _ := json.Marshal(ours)
	if ours.Status != http.StatusInternalServerError || strings.Contains(string(text), "secret") || !strings.Contains(log.String(), "the disk's secret") || !strings.Contains(log.String(), `"path":"/a?"`) {
		t.Errorf("%d %s\n%s", ours.Status, text, &log)
	}
	log.Reset()
	theirs := Fail(http.StatusConflict, "there is one", "take another")
	if got := FaultOf(fmt.Errorf("make: %w", theirs), r, zerolog.New(&log)); got != theirs || log.Len() > 0 {
		t.Errorf("%v %s", got, &log)
	}
	large := FaultOf(&http.MaxBytesError{Limit: 64 << 10}, r, zerolog.New(&log))
	if large.Status != http.StatusRequestEntityTooLarge || large.What != "the request is larger than 64 KiB" || log.Len() > 0 {
		t.Errorf("%d %s %s", large.Status, large.What, &log)
	}
}
