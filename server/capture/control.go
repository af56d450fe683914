package capture

import (
	_ "embed"
	"net/http"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

// openAPI describes the native routes; a test holds it against them.
//
//go:embed openapi.json
var openAPI []byte

func (s *Server) describe(w http.ResponseWriter, _ *request) error {
	w.Header().Set("Content-Type", "application/json")
	w.Write(openAPI)
	return nil
}

// alive answers /livez and /readyz: who is answered is served, for the doors are open before this server is.
func (s *Server) alive(w http.ResponseWriter, _ *request) error {
	answerText(w, http.StatusOK, "ok")
	return nil
}

func (s *Server) certificate(w http.ResponseWriter, _ *request) error {
	w.Header().Set("Content-Type", "application/x-pem-file")
	w.Write(s.Mail.CAPEM())
	return nil
}

func (s *Server) bundle(w http.ResponseWriter, _ *request) error {
	w.Header().Set("Content-Type", "application/x-pem-file")
	w.Write(s.Mail.BundlePEM())
	return nil
}

// An Advance is how much time is to pass.
type Advance struct {
	Advance string `json:"advance"` // "1h"
}

// Done is the answer to what has nothing else to say.
type Done struct {
	Done bool `json:"done"`
}

// advance lets limits refill as if time had passed. Nothing else grows older.
func (s *Server) advance(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	var of Advance
	if err := api.Body(w, r.Request, &of, false); err != nil {
		return err
	}
	d, err := time.ParseDuration(of.Advance)
	if err != nil || d < 0 {
		return badParameter("advance", `must be a duration such as "90s" or "1h"`)
	}
	if err := r.inbox.Refill(d); err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, Done{true})
	return nil
}

// forever is longer than any limit looks back.
const forever = 100 * 365 * 24 * time.Hour

// reset forgets messages, rules, sessions that are over, and what limits have counted.
func (s *Server) reset(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	r.inbox.Reset()
	if err := r.inbox.Refill(forever); err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, Done{true})
	return nil
}
