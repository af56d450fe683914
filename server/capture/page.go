package capture

import (
	"embed"
	"net/http"
	"net/url"
	"strings"

	template "github.com/DataDog/datadog-agent/pkg/template/html"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

//go:embed templates
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// A page is one that people look at with a browser.
type page struct {
	method, path string
	scoped       bool // it is there below /inbox/{user} too, for that user's mail alone
	handle       func(s *Server, w http.ResponseWriter, r *request) error
}

var pages = []page{
	{"GET", "/{$}", true, (*Server).mailPage},
	{"GET", "/mail/{id}", true, (*Server).mailPage},
	{"GET", "/mail/{id}/body", true, (*Server).mailBody},
	{"GET", "/mail/{id}/raw", true, (*Server).mailRaw},
	{"GET", "/mail/{id}/parts/{part}", true, (*Server).mailPart},
	{"GET", "/sessions", true, (*Server).sessionsPage},
	{"GET", "/sessions/{id}", true, (*Server).sessionsPage},
	{"GET", "/findings", true, (*Server).findingsPage},
	{"GET", "/rules", true, (*Server).rulesPage},
	{"POST", "/clear", true, (*Server).clearInbox},
	{"GET", "/inbox", false, (*Server).chooseInbox},
	{"GET", "/static/{file}", false, (*Server).static},
}

// addPages puts the pages beside the other routes.
func (s *Server) addPages(mux *http.ServeMux) {
	for _, p := range pages {
		mux.Handle(p.method+" "+p.path, s.servePage(p))
		if p.scoped {
			mux.Handle(p.method+" /inbox/{user}"+p.path, s.servePage(p))
		}
	}
}

// pagePolicy allows what pages are made of, and the frame that mail is shown in.
const pagePolicy = web.PagePolicy + "; frame-src 'self'"

// servePage is serve for people, who read faults as pages.
func (s *Server) servePage(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.SetPagePolicy(w.Header(), pagePolicy)
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		req := &request{Request: r, inbox: s.Mail, user: r.PathValue("user")}
		err := s.scope(req)
		if err == nil {
			err = p.handle(s, w, req)
		}
		if err != nil {
			f := s.fault(r, err)
			if f.Do == api.See() {
				f = web.Fail(f.Status, f.What, "put the address right, or start from the first page")
			}
			s.write(w, req, f.Status, "faultpage", "This did not work", f)
		}
	})
}

// scope finds the inbox that a page is about.
func (s *Server) scope(r *request) error {
	if r.user == "" {
		return nil
	}
	u, ok := s.Mail.User(r.user)
	if !ok {
		r.user = ""
		return web.Fail(http.StatusNotFound, "there is no user "+seen(r.PathValue("user")), "choose one of the inboxes above")
	}
	r.user, r.inbox = u.Name, s.Mail.Inbox(u.Name)
	return nil
}

// home is where the pages of the request's inbox begin: "" or "/inbox/app".
func (r *request) home() string {
	if r.user == "" {
		return ""
	}
	return "/inbox/" + url.PathEscape(r.user)
}

// base is home with the address by which the browser has come here.
func (r *request) base() string { return "http://" + r.Host + r.home() }

// A sheet is what the template of a page gets.
type sheet struct {
	Title    string
	Hostname string // of the test double
	Home     string // see home
	User     string // whose inbox it is; "" is everybody's
	Inboxes  []string
	More     int // inboxes that are not in the list
	Nav      []tab
	Refresh  int // seconds after which a browser without scripts asks again; 0: never
	Body     any
}

// tab is a link to a page, or to one of its views.
type tab struct {
	Link, Label, ID string
	Count           int // -1: none is shown
	Current         bool
}

const mostInboxes = 1000 // of a list to choose from

// What a page needs of a method is a function here: templates call none.
var templates = web.NewTemplates(templateFiles, template.FuncMap{
	"show":  seen,
	"lines": seenLines,
	"clock": clock,
	"stamp": stamp,
	"bytes": web.Octets[int],
	"count": count,
	"plus":  func(a, b int) int { return a + b },

	"search":  func(action, text string) searching { return searching{action, text} },
	"nothing": func(text string, d doors) emptiness { return emptiness{text, d} },
})

// searching is a form to search with.
type searching struct{ Action, Search string }

// emptiness is that nothing is there, and what to do so that something comes.
type emptiness struct {
	Nothing string
	Doors   doors
}

// write writes a page: the template of that name within the frame of them all.
func (s *Server) write(w http.ResponseWriter, r *request, status int, name, title string, body any) {
	about := sheet{Title: title, Hostname: s.Mail.ClientTLS().ServerName, Home: r.home(), User: r.user, Body: body}
	s.fillIn(&about, r)
	if unfinished, ok := body.(interface{ refresh() int }); ok {
		about.Refresh = unfinished.refresh()
	}
	if err := templates.WritePage(w, status, name, about); err != nil {
		s.Log.Error().Err(err).Str("page", name).Msg("the page could not be written")
		answerText(w, http.StatusInternalServerError, "this page could not be written; the server's log says why")
	}
}

// fillIn adds what all pages show: the inboxes, and how much is in the one that is looked at.
func (s *Server) fillIn(about *sheet, r *request) {
	for _, u := range s.Mail.Users() {
		if len(about.Inboxes) >= mostInboxes && u.Name != r.user {
			about.More++
			continue
		}
		about.Inboxes = append(about.Inboxes, u.Name)
	}
	here := strings.TrimPrefix(r.URL.EscapedPath(), r.home())
	in := func(path string) bool { return here == path || strings.HasPrefix(here, path+"/") }
	about.Nav = []tab{
		{about.Home + "/", "Mail", "nav-mail", len(r.inbox.Messages()), here == "/" || in("/mail")},
		{about.Home + "/sessions", "Sessions", "nav-sessions", len(r.inbox.Sessions()), in("/sessions")},
		{about.Home + "/findings", "Findings", "nav-findings", -1, in("/findings")},
		{about.Home + "/rules", "Rules", "nav-rules", len(r.inbox.RuleStates()), in("/rules")},
	}
}

// chooseInbox leads from the form with the inboxes to the one that was chosen.
func (s *Server) chooseInbox(w http.ResponseWriter, r *request) error {
	q, err := query(r, "user")
	if err != nil {
		return err
	}
	to := &request{Request: r.Request, inbox: s.Mail, user: q.Get("user")}
	if to.user != "" {
		if _, ok := s.Mail.User(to.user); !ok {
			return web.Fail(http.StatusNotFound, "there is no user "+seen(to.user), "choose one of the inboxes above")
		}
	}
	http.Redirect(w, r.Request, to.home()+"/", http.StatusSeeOther)
	return nil
}

// clearInbox forgets the messages that were there when the page was made, and no later ones.
func (s *Server) clearInbox(w http.ResponseWriter, r *request) error {
	if err := r.ParseForm(); err != nil {
		return badParameter("the form", "cannot be read")
	}
	last, err := number(r.PostForm, "up_to", 0, 1<<31-1, -1)
	if err != nil || last < 0 {
		return badParameter("up_to", "must be the number of a message")
	}
	r.inbox.Delete(smarthosttest.That("seen on the page", func(m *smarthosttest.Message) bool { return m.Seq <= last }))
	http.Redirect(w, r.Request, r.home()+"/", http.StatusSeeOther)
	return nil
}

// static answers with the styles, the script or the icon.
func (s *Server) static(w http.ResponseWriter, r *request) error {
	return web.WriteStatic(w, staticFiles, r.PathValue("file"))
}
