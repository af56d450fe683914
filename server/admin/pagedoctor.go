package admin

import (
	"net/http"
	"slices"
)

// doctorSheet is the page of what is wrong with this server, and what to do.
type doctorSheet struct {
	Examination
	Running                   bool
	Problems, Warnings, Notes int
	Good                      []Finding // apart from the others, which come with the gravest first
	May                       bool      // whoever looks may have it examined
}

func (s *Server) doctor(r *request) doctorSheet {
	x := s.examinations.now()
	by := map[string][]Finding{}
	for _, f := range x.Findings {
		by[f.Level] = append(by[f.Level], f)
	}
	x.Findings = slices.Concat(by["problem"], by["warning"], by["note"])
	return doctorSheet{Examination: x, Running: x.running(), Good: by["good"], May: r.caller.May(All),
		Problems: len(by["problem"]), Warnings: len(by["warning"]), Notes: len(by["note"])}
}

// Refresh is after how many seconds a browser without scripts asks for the page again; 0: not at all.
func (d doctorSheet) Refresh() int {
	if d.Running {
		return 2
	}
	return 0
}

func (s *Server) doctorPage(w http.ResponseWriter, r *request) error {
	return s.page(w, r, http.StatusOK, "doctorpage", "Doctor", s.doctor(r))
}

func (s *Server) doctorEvents(w http.ResponseWriter, r *request) error {
	return s.stream(w, r, "doctor", func() (any, error) { return s.doctor(r), nil })
}

// examine begins an examination, or leads to the one under way.
func (s *Server) examine(w http.ResponseWriter, r *request) error {
	s.examinations.begin()
	http.Redirect(w, r.Request, "/doctor", http.StatusSeeOther)
	return nil
}
