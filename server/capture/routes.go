package capture

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

// inbox is what routes ask about mail: of one user, a *smarthosttest.Inbox, or of all, the *smarthosttest.Server.
type inbox interface {
	Messages(...smarthosttest.Match) []*smarthosttest.Message
	WaitN(ctx context.Context, n int, match ...smarthosttest.Match) ([]*smarthosttest.Message, error)
	Delete(...smarthosttest.Match) int
	Sessions() []*smarthosttest.Session
	Lint(except ...string) []smarthosttest.Finding
	RuleStates() []smarthosttest.RuleState
	AddRules(...smarthosttest.Rule) (*smarthosttest.Script, error)
	SetRules(...smarthosttest.Rule) error
	TakeRules() []smarthosttest.RuleState
	Refill(elapsed time.Duration) error
	Reset()
}

// A route is one thing that can be asked for.
type route struct {
	method, path string
	scoped       bool // it is there below /inbox/{user} too, for that user's mail alone
	plain        bool // its faults are plain text, as Mailpit's are
	handle       func(s *Server, w http.ResponseWriter, r *request) error
}

// request is a request that came to its route.
type request struct {
	*http.Request
	inbox inbox
	user  string // whose inbox it is, as the path has it; "" is everybody's
}

// native are the routes of the native API, which openapi.json describes.
var native = []route{
	{"GET", "/livez", true, false, (*Server).alive},
	{"GET", "/readyz", true, false, (*Server).alive},
	{"GET", "/ca.pem", false, false, (*Server).certificate},
	{"GET", "/ca-bundle.pem", false, false, (*Server).bundle},
	{"GET", "/api/t/v1/openapi.json", false, false, (*Server).describe},
	{"GET", "/api/t/v1/users", false, false, (*Server).listUsers},
	{"POST", "/api/t/v1/users", false, false, (*Server).makeUser},
	{"GET", "/api/t/v1/messages", true, false, (*Server).listMessages},
	{"DELETE", "/api/t/v1/messages", true, false, (*Server).deleteMessages},
	{"GET", "/api/t/v1/messages/{id}", true, false, aMessage(showMessage)},
	{"DELETE", "/api/t/v1/messages/{id}", true, false, aMessage(deleteMessage)},
	{"GET", "/api/t/v1/messages/{id}/raw", true, false, aMessage(showRaw)},
	{"GET", "/api/t/v1/messages/{id}/parts/{part}", true, false, aMessage(showPart)},
	{"GET", "/api/t/v1/messages/{id}/links", true, false, aMessage(showLinks)},
	{"GET", "/api/t/v1/messages/{id}/codes", true, false, aMessage(showCodes)},
	{"GET", "/api/t/v1/lint", true, false, (*Server).lint},
	{"GET", "/api/t/v1/sessions", true, false, (*Server).listSessions},
	{"GET", "/api/t/v1/sessions/{session}", true, false, (*Server).showSession},
	{"GET", "/api/t/v1/script", true, false, (*Server).showScript},
	{"PUT", "/api/t/v1/script", true, false, (*Server).setScript},
	{"DELETE", "/api/t/v1/script", true, false, (*Server).endScript},
	{"POST", "/api/t/v1/clock", true, false, (*Server).advance},
	{"POST", "/api/t/v1/reset", true, false, (*Server).reset},
	{"GET", "/api/t/v1/events", true, false, (*Server).follow},
}

// tables are all routes.
func tables() []route { return slices.Concat(native, mailpit) }

// Handler answers what Run does, for a listener of the caller's.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range tables() {
		mux.Handle(rt.method+" "+rt.path, s.serve(rt))
		if rt.scoped {
			mux.Handle(rt.method+" /inbox/{user}"+rt.path, s.serve(rt))
		}
	}
	s.addPages(mux)
	return s.gate(api.Routes(mux))
}

// serve finds the inbox, and lets the route answer.
func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := s.handle(rt, w, r)
		if err == nil {
			return
		}
		f := s.fault(r, err)
		if rt.plain {
			answerText(w, f.Status, f.What)
			return
		}
		f.Answer(w)
	})
}

func (s *Server) handle(rt route, w http.ResponseWriter, r *http.Request) error {
	req := &request{Request: r, inbox: s.Mail, user: r.PathValue("user")}
	if req.user != "" {
		if _, ok := s.Mail.User(req.user); !ok {
			return web.Fail(http.StatusNotFound, "there is no user "+web.Printable(req.user), "POST /api/t/v1/users makes one, GET lists them")
		}
		req.inbox = s.Mail.Inbox(req.user)
	}
	return rt.handle(s, w, req)
}
