package admin

import (
	_ "embed"
	"net/http"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

// openAPI describes the routes; a test holds it against them.
//
//go:embed openapi.json
var openAPI []byte

// A route is one thing that can be asked for.
type route struct {
	method, path string
	scope        Scope // that the caller needs; "" = none, anybody may ask
	handle       func(s *Server, w http.ResponseWriter, r *request) error
}

// request is a request that came to its route.
type request struct {
	*http.Request
	caller Caller
	target string                  // to what the change is, for the log
	again  func() (Caller, *Fault) // asks again who it is, for answers that go on
}

var routes = []route{
	{"GET", "/livez", "", (*Server).live},
	{"GET", "/readyz", "", (*Server).ready},
	{"GET", "/metrics", "", (*Server).metrics},
	{"GET", "/api/v1/openapi.json", Read, (*Server).describe},
	{"GET", "/api/v1/status", Read, (*Server).status},
	{"GET", "/api/v1/config", Read, (*Server).config},
	{"GET", "/api/v1/queue", Read, (*Server).listQueue},
	{"GET", "/api/v1/queue/{id}", Read, (*Server).showMessage},
	{"POST", "/api/v1/queue", Mail, (*Server).changeQueue},
	{"GET", "/api/v1/trace", Read, (*Server).trace},
	{"GET", "/api/v1/rules", Read, (*Server).listRules},
	{"POST", "/api/v1/rules", Mail, (*Server).addRule},
	{"DELETE", "/api/v1/rules/{id}", Mail, (*Server).removeRule},
	{"GET", "/api/v1/users", Read, (*Server).listUsers},
	{"POST", "/api/v1/users/{user}/devices", Users, (*Server).addDevice},
	{"DELETE", "/api/v1/users/{user}/devices/{device}", Users, (*Server).revokeDevice},
	{"GET", "/api/v1/refusals", Read, (*Server).listRefusals},
	{"POST", "/api/v1/reload", All, (*Server).reload},
	{"GET", "/api/v1/doctor", Read, (*Server).examination},
	{"POST", "/api/v1/doctor", All, (*Server).beginExamination},
}

// handler answers at one kind of door.
func (s *Server) handler(trusted bool) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.Handle(rt.method+" "+rt.path, s.serve(rt, trusted))
	}
	for _, rt := range pages {
		mux.Handle(rt.method+" "+rt.path, s.servePage(rt, trusted))
	}
	return s.gate(api.Routes(mux))
}

// serve asks who calls, lets the route answer, and writes changes into the log.
func (s *Server) serve(rt route, trusted bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		req := &request{Request: r}
		if rt.scope != "" {
			c, f := s.caller(r, trusted)
			if f == nil && !c.May(rt.scope) {
				f = web.Fail(http.StatusForbidden, c.Name+" is not good for this", "it needs the scope "+string(rt.scope))
			}
			if f != nil {
				s.refuse(w, r, f)
				return
			}
			req.caller = c
		}
		heard := &listening{ResponseWriter: w, status: http.StatusOK}
		err := rt.handle(s, heard, req)
		if err != nil {
			s.fault(r, err).Answer(heard)
		}
		if rt.method == "GET" {
			return
		}
		s.logChange(rt, req, heard.status, err, began)
	})
}

// logChange leaves out what nobody has asked for who may change something.
func (s *Server) logChange(rt route, req *request, status int, err error, began time.Time) {
	if len(req.caller.Scopes) == 0 {
		return
	}
	event := s.Log.Info().Str("who", req.caller.Name).Str("what", rt.method+" "+rt.path).Str("to", web.Printable(req.target)).Int("status", status)
	if err != nil {
		event = event.Str("cause", web.Printable(err.Error()))
	}
	event.Dur("took", time.Since(began)).Msg("change")
}

// listening remembers the status of an answer, for the log.
type listening struct {
	http.ResponseWriter
	status int
}

func (l *listening) WriteHeader(status int) {
	l.status = status
	l.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (l *listening) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (s *Server) metrics(w http.ResponseWriter, r *request) error {
	if s.Metrics == nil {
		return web.Fail(http.StatusNotFound, "this server has no metrics", "look at /api/v1/status")
	}
	s.Metrics.ServeHTTP(w, r.Request)
	return nil
}

func (s *Server) describe(w http.ResponseWriter, _ *request) error {
	w.Header().Set("Content-Type", "application/json")
	w.Write(openAPI)
	return nil
}

func (s *Server) reload(w http.ResponseWriter, r *request) error {
	if err := s.Reload(r.Context()); err != nil {
		return web.Fail(http.StatusUnprocessableEntity, err.Error(), "what was in force before stays; put it right and reload again")
	}
	web.Answer(w, http.StatusOK, Reloaded{true})
	return nil
}

// Reloaded is the answer to a reload that went well.
type Reloaded struct {
	Reloaded bool `json:"reloaded"`
}
