package admin

import (
	_ "embed"
	"net/http"
	"time"
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
	return s.gate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern == "" {
			s.noRoute(w, r, h)
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

// serve asks who calls, lets the route answer, and writes changes into the log.
func (s *Server) serve(rt route, trusted bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		req := &request{Request: r}
		if rt.scope != "" {
			c, f := s.caller(r, trusted)
			if f == nil && !c.May(rt.scope) {
				f = &Fault{http.StatusForbidden, c.Name + " is not good for this", "it needs the scope " + string(rt.scope)}
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
			f := s.fault(r, err)
			answer(heard, f.Status, f)
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
	event := s.Log.Info().Str("who", req.caller.Name).Str("what", rt.method+" "+rt.path).Str("to", logged(req.target)).Int("status", status)
	if err != nil {
		event = event.Str("cause", logged(err.Error()))
	}
	event.Dur("took", time.Since(began)).Msg("change")
}

// noRoute answers in JSON what the mux would in plain text: that there is no such path, or not by this method.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request, h http.Handler) {
	said := &mute{header: http.Header{}}
	h.ServeHTTP(said, r)
	f := &Fault{http.StatusNotFound, "there is nothing at " + logged(r.URL.Path), "/api/v1/openapi.json lists all that there is"}
	if said.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", said.header.Get("Allow"))
		f = &Fault{said.status, "this is not there by " + logged(r.Method), "use one of: " + said.header.Get("Allow")}
	}
	answer(w, f.Status, f)
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

// mute hears a handler's answer and keeps it.
type mute struct {
	header http.Header
	status int
}

func (m *mute) Header() http.Header         { return m.header }
func (m *mute) WriteHeader(status int)      { m.status = status }
func (m *mute) Write(p []byte) (int, error) { return len(p), nil }

func (s *Server) metrics(w http.ResponseWriter, r *request) error {
	if s.Metrics == nil {
		return &Fault{http.StatusNotFound, "this server has no metrics", "look at /api/v1/status"}
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
		return &Fault{http.StatusUnprocessableEntity, err.Error(), "what was in force before stays; put it right and reload again"}
	}
	answer(w, http.StatusOK, Reloaded{true})
	return nil
}

// Reloaded is the answer to a reload that went well.
type Reloaded struct {
	Reloaded bool `json:"reloaded"`
}
