package capture

import (
	"net/http"
	"strings"

	"github.com/seed-1397b510/smarthost/server/web"
)

// A Finding is something that a provider would hold against a client.
type Finding struct {
	Name    string `json:"name"`
	RFC     string `json:"rfc"` // the section that asks for something else
	Text    string `json:"text"`
	Advice  string `json:"advice"`
	Session string `json:"session"` // id
	Message string `json:"message"` // id; "" if it is about none
	Line    string `json:"line"`    // of the transcript; "" if it is about none
}

// Findings are those in what clients have sent so far.
type Findings struct {
	Findings []Finding `json:"findings"`
}

func (s *Server) lint(w http.ResponseWriter, r *request) error {
	q, err := query(r, "user", "except")
	if err != nil {
		return err
	}
	inbox := r.inbox
	if user := q.Get("user"); user != "" {
		if r.user != "" {
			return badParameter("user", "is said by the path")
		}
		inbox = s.Mail.Inbox(user)
	}
	all := Findings{[]Finding{}}
	for _, f := range inbox.Lint(strings.Split(q.Get("except"), ",")...) {
		all.Findings = append(all.Findings, Finding(f))
	}
	web.Answer(w, http.StatusOK, all)
	return nil
}
