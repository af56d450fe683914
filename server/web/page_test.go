package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	template "github.com/DataDog/datadog-agent/pkg/template/html"
)

type about struct {
	Title, Hostname string
	Refresh         int
	Body            any
}

func TestWritePage(t *testing.T) {
	files := fstest.MapFS{"templates/frame.html": {Data: []byte(`{{define "head"}}{{template "top" .}}<body>{{end}}{{define "foot"}}</body>{{end}}
		{{define "faultpage"}}{{template "fault" .Body}}{{end}}{{define "broken"}}before {{show .None}}{{end}}`)}}
	pages := NewTemplates(files, template.FuncMap{"show": func(s string) string { return s }})
	w := httptest.NewRecorder()
	fault := Fail(http.StatusNotFound, "<b>none</b>", "look")
	if err := pages.WritePage(w, fault.Status, "faultpage", about{"<i>Title", "mx.example.org", 5, fault}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<!doctype html>", `http-equiv="refresh" content="5"`, "<title>&lt;i&gt;Title – mx.example.org</title>", "<bdi>&lt;b&gt;none&lt;/b&gt;</bdi>", "What to do: <bdi>look</bdi>", "</body>"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %s:\n%s", want, w.Body)
		}
	}
	if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	if err := pages.WritePage(w, http.StatusOK, "broken", about{}); err == nil || w.Body.Len() > 0 || len(w.Header()) > 0 {
		t.Errorf("%v, and %q was written", err, w.Body)
	}
}

// A file that all pages have comes first, and what the pages of a server add to it behind.
func TestWriteStatic(t *testing.T) {
	common, err := staticFiles.ReadFile("static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"static/style.css": {Data: []byte("h1 {}")}, "static/pages.js": {Data: []byte("run()")}, "templates/secret": {}}
	for name, want := range map[string][2]string{
		"style.css": {"text/css; charset=utf-8", string(common) + "h1 {}"},
		"pages.js":  {"text/javascript; charset=utf-8", "run()"},
		"icon.svg":  {"image/svg+xml", ""},
	} {
		w := httptest.NewRecorder()
		err := WriteStatic(w, files, name)
		if got := [2]string{w.Header().Get("Content-Type"), w.Body.String()}; err != nil || got[0] != want[0] || want[1] != "" && got[1] != want[1] || got[1] == "" || w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %v %q %v", name, err, got, w.Header())
		}
	}
	for _, name := range []string{"none", "", ".", "..", "../templates/secret", "../templates/frame.html"} {
		w := httptest.NewRecorder()
		if f, ok := WriteStatic(w, files, name).(*Fault); !ok || f.Status != http.StatusNotFound || w.Body.Len() > 0 {
			t.Errorf("%q: %v %s", name, f, w.Body)
		}
	}
}

func TestTexts(t *testing.T) {
	at := time.Date(2026, 11, 24, 1, 2, 3, 0, time.FixedZone("", 3600))
	for got, want := range map[string]string{
		Octets(9999):                         "9999 B",
		Octets(int64(10_000)):                "10 kB",
		Octets(9_999_999):                    "9999 kB",
		Octets(98_765_432):                   "98 MB",
		string(Moment(at, WithDay)):          `<time datetime="2026-11-24T00:02:03Z">2026-11-24 00:02:03 UTC</time>`,
		string(Moment(at, "15:04:05")):       `<time datetime="2026-11-24T00:02:03Z">00:02:03</time>`,
		string(Moment(time.Time{}, WithDay)): "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
