package web

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"path"

	template "github.com/DataDog/datadog-agent/pkg/template/html"
)

//go:embed templates
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// PagePolicy is a Content-Security-Policy that allows what pages are made of: this server's own sheet of styles, its script, and what that
// asks for. More can be added to it.
const PagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// SetPagePolicy allows an answer what a page needs: policy in place of the Gate's, and to say where its forms come from. With no-referrer
// browsers send "Origin: null" with the forms of these very pages.
func SetPagePolicy(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "same-origin")
}

// Templates are what pages are made with.
type Templates struct{ *template.Template }

// NewTemplates reads those below templates in files, and beside them "top", all before the body of a document, and "fault", what a Fault
// says. They need the function "show", which makes a value of somebody else's fit for a page.
//
// The template engine is the standard library's without calls of methods: with them the linker keeps every exported method of the
// program. What a page needs of a method is a function.
func NewTemplates(files fs.FS, functions template.FuncMap) Templates {
	t := template.Must(template.New("").Funcs(functions).ParseFS(templateFiles, "templates/*.html"))
	return Templates{template.Must(t.ParseFS(files, "templates/*.html"))}
}

// WritePage answers with a page: the template of that name between "head" and "foot". about has a Title, a Hostname, and Refresh, the
// seconds after which a browser without scripts asks again, 0 for never. On an error nothing was written.
func (t Templates) WritePage(w http.ResponseWriter, status int, name string, about any) error {
	var text bytes.Buffer
	for _, part := range []string{"head", name, "foot"} {
		if err := t.ExecuteTemplate(&text, part, about); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	text.WriteTo(w)
	return nil
}

// WriteStatic answers with the file of a name below static: with what all pages have in common, and behind it what files has of that
// name. It is a Fault if there is neither.
func WriteStatic(w http.ResponseWriter, files fs.FS, name string) error {
	var text []byte
	found := false
	for _, from := range []fs.FS{staticFiles, files} {
		if part, err := fs.ReadFile(from, "static/"+name); err == nil {
			text, found = append(text, part...), true
		}
	}
	if !found {
		return Fail(http.StatusNotFound, "there is no such file", "start from /")
	}
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	w.Header().Set("Content-Type", kinds[path.Ext(name)])
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(text)
	return nil
}
