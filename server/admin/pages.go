package admin

import (
	"embed"
	"net/http"
	"net/url"
	"time"

	template "github.com/DataDog/datadog-agent/pkg/template/html"

	"github.com/seed-1397b510/smarthost/server/web"
)

//go:embed templates
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// pages are what operators look at with a browser. Their scope is that of who has logged in.
var pages = []route{
	{"GET", "/{$}", "", (*Server).front},
	{"GET", "/login", "", (*Server).loginPage},
	{"POST", "/login", "", (*Server).login},
	{"POST", "/logout", "", (*Server).logout},
	{"GET", "/static/{file}", "", (*Server).static},
	{"GET", "/now", Read, (*Server).nowPage},
	{"GET", "/now/events", Read, (*Server).nowEvents},
	{"GET", "/refusals", Read, (*Server).refusalsPage},
	{"GET", "/queue", Read, (*Server).queuePage},
	{"GET", "/queue/order", Mail, (*Server).confirmOrder},
	{"POST", "/queue/order", Mail, (*Server).carryOut},
	{"GET", "/trace", Read, (*Server).tracePage},
	{"GET", "/trace/events", Read, (*Server).traceEvents},
	{"GET", "/users", Read, (*Server).usersPage},
	{"POST", "/users/devices", Users, (*Server).makeDevice},
	{"GET", "/users/revoke", Users, (*Server).confirmRevoke},
	{"POST", "/users/revoke", Users, (*Server).revoke},
	{"GET", "/config", Read, (*Server).configPage},
	{"GET", "/doctor", Read, (*Server).doctorPage},
	{"POST", "/doctor", All, (*Server).examine},
	{"GET", "/doctor/events", Read, (*Server).doctorEvents},
}

// links are the pages in the navigation, in its order.
var links = []link{
	{"/now", "Now"},
	{"/refusals", "Refusals"},
	{"/queue", "Queue"},
	{"/trace", "Trace"},
	{"/users", "Users"},
	{"/config", "Config"},
	{"/doctor", "Doctor"},
}

type link struct {
	Path, Label string
}

// A sheet is what the template of a page gets.
type sheet struct {
	Title    string
	Path     string // of the page, to mark it in the navigation
	Hostname string
	Who      string // has logged in; "" on a socket, where nobody has to, and before
	LoggedIn bool
	Refresh  int // seconds after which a browser without scripts asks again; 0: never
	Body     any
}

// servePage is serve for people: they log in with a form, and read faults as pages.
func (s *Server) servePage(rt route, trusted bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		web.SetPagePolicy(w.Header(), web.PagePolicy)
		w.Header().Set("X-Frame-Options", "DENY")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		req := &request{Request: r, again: func() (Caller, *Fault) { return s.visitor(r, trusted, false) }}
		if rt.scope != "" {
			c, f := s.visitor(r, trusted, true)
			if f != nil && f.Status == http.StatusUnauthorized {
				s.toLogin(w, r)
				return
			}
			if req.caller = c; f == nil && !c.May(rt.scope) {
				f = web.Fail(http.StatusForbidden, "your token is not good for this", "log in with one that has the scope "+string(rt.scope))
			}
			if f != nil {
				s.logRefused(r, f)
				s.faultPage(w, req, f)
				return
			}
		}
		heard := &listening{ResponseWriter: w, status: http.StatusOK}
		err := rt.handle(s, heard, req)
		if err != nil {
			f := s.fault(r, err)
			if f.Status == http.StatusBadRequest {
				f = web.Fail(f.Status, f.What, "go back, put it right and try again")
			}
			s.faultPage(heard, req, f)
		}
		if rt.method != "GET" {
			s.logChange(rt, req, heard.status, err, began)
		}
	})
}

// toLogin sends a visitor to the form, and from there back to what was asked for.
func (s *Server) toLogin(w http.ResponseWriter, r *http.Request) {
	to := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (s *Server) front(w http.ResponseWriter, r *request) error {
	http.Redirect(w, r.Request, "/now", http.StatusSeeOther)
	return nil
}

// What a page needs of a method is a function here: templates call none.
var templates = web.NewTemplates(templateFiles, template.FuncMap{
	"show":  shown,
	"ago":   ago,
	"stamp": stamp,
	"bytes": web.Octets[int64],
	"class": replyClass,
	"count": count,
	"num":   grouped,
	"few":   few,
	"left":  left,
	"verbs": func() []verb { return verbs },
	"links": func() []link { return links },

	"fields":   filterForm.Fields,
	"label":    field.Label,
	"fate":     fateOf,
	"steps":    Story.Steps,
	"did":      Ordered.Did,
	"ofMail":   Refusal.OfMail,
	"revoke":   Device.Link,
	"userLink": LimitInUse.Link,
})

// page writes a page: the template of that name within the frame of them all.
func (s *Server) page(w http.ResponseWriter, r *request, status int, name, title string, body any) error {
	about := sheet{Title: title, Path: r.URL.Path, Hostname: s.Hostname, Who: r.caller.Name, LoggedIn: len(r.caller.Scopes) > 0, Body: body}
	if unfinished, ok := body.(interface{ Refresh() int }); ok {
		about.Refresh = unfinished.Refresh()
	}
	return templates.WritePage(w, status, name, about)
}

func (s *Server) faultPage(w http.ResponseWriter, r *request, f *Fault) {
	if err := s.page(w, r, f.Status, "faultpage", "This did not work", f); err != nil {
		panic(err) // the template of a fault can always be filled in
	}
}

// static answers with the styles, the script or the icon.
func (s *Server) static(w http.ResponseWriter, r *request) error {
	return web.WriteStatic(w, staticFiles, r.PathValue("file"))
}
