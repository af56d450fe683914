package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

const (
	standardLimit = 100
	mostAtOnce    = 1000 // entries of one answer
	maxRule       = 2000 // octets of a rule, which all new mail is compared with
)

func limitOf(q url.Values) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return standardLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > mostAtOnce {
		return 0, badParameter("limit", fmt.Sprintf("must be a number from 1 to %d", mostAtOnce))
	}
	return n, nil
}

func (s *Server) listQueue(w http.ResponseWriter, r *request) error {
	q, err := query(r, "id", "account", "sender", "destination", "state", "reply", "older_than", "newer_than", "after", "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	f := Filter{IDs: q["id"], Account: q.Get("account"), Sender: q.Get("sender"), Destination: q.Get("destination"), State: q.Get("state"), Reply: q.Get("reply")}
	for name, span := range map[string]*Span{"older_than": &f.OlderThan, "newer_than": &f.NewerThan} {
		if text := q.Get(name); text != "" {
			if err := span.UnmarshalText([]byte(text)); err != nil {
				return badParameter(name, "is wrong: "+err.Error())
			}
		}
	}
	if err := checkState(f.State); err != nil {
		return err
	}
	page, err := s.Queue.List(r.Context(), f, q.Get("after"), limit)
	if err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, page)
	return nil
}

func checkState(state string) error {
	if !slices.Contains([]string{"", "queued", "leased", "waiting", "held", "damaged"}, state) {
		return badParameter("state", "must be queued, leased, waiting, held or damaged")
	}
	return nil
}

func (s *Server) showMessage(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	id := r.PathValue("id")
	page, err := s.Queue.List(r.Context(), Filter{IDs: []string{id}}, "", mostAtOnce)
	if err != nil {
		return err
	}
	if len(page.Entries) == 0 {
		return web.Fail(http.StatusNotFound, "the queue has no message "+web.Printable(id), "it has been delivered or returned, or was never here; /api/v1/trace tells")
	}
	web.Answer(w, http.StatusOK, page)
	return nil
}

// changeQueue carries an order out. Who accepts JSON lines gets one after each piece of it.
func (s *Server) changeQueue(w http.ResponseWriter, r *request) error {
	var o Order
	if err := api.Body(w, r.Request, &o, false); err != nil {
		return err
	}
	o.By = r.caller.Name
	choice, _ := json.Marshal(o.Filter) // strings and numbers
	r.target = o.Do + " " + string(choice)
	if o.DryRun {
		r.target = "dry run: " + r.target
	}
	if err := checkOrder(&o); err != nil {
		return err
	}
	if err := checkState(o.Filter.State); err != nil {
		return err
	}
	control := http.NewResponseController(w)
	lines := r.Header.Get("Accept") == "application/x-ndjson"
	begun := false
	outcome, err := s.Queue.Change(r.Context(), o, func(piece Outcome) {
		control.SetWriteDeadline(time.Now().Add(answerTime))
		if !lines {
			return
		}
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			begun = true
		}
		json.NewEncoder(w).Encode(piece)
		control.Flush()
	})
	switch {
	case err != nil && begun:
		json.NewEncoder(w).Encode(s.fault(r.Request, err)) // the last line; the status is on its way already
		return nil
	case err != nil:
		return err
	}
	outcome.Done = true
	r.target += fmt.Sprintf(": %d changed, %d being tried, %d left alone", outcome.Changed, outcome.Leased, outcome.Skipped)
	if begun {
		return json.NewEncoder(w).Encode(outcome)
	}
	web.Answer(w, http.StatusOK, outcome)
	return nil
}

// Stories is the answer of /api/v1/trace.
type Stories struct {
	Stories []Story `json:"stories"`
}

func (s *Server) trace(w http.ResponseWriter, r *request) error {
	q, err := query(r, "of", "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	of := q.Get("of")
	if of == "" || len(of) > 1000 {
		return badParameter("of", "must be an id, a Message-ID or an address")
	}
	stories, err := s.Queue.Trace(r.Context(), of, limit)
	if err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, Stories{append([]Story{}, stories...)})
	return nil
}

// RuleList is the answer of /api/v1/rules.
type RuleList struct {
	Rules []Rule `json:"rules"`
}

func (s *Server) listRules(w http.ResponseWriter, r *request) error {
	rules, err := s.Queue.Rules(r.Context())
	if err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, RuleList{append([]Rule{}, rules...)})
	return nil
}

func (s *Server) addRule(w http.ResponseWriter, r *request) error {
	var rule Rule
	if err := api.Body(w, r.Request, &rule, false); err != nil {
		return err
	}
	r.target = fmt.Sprintf("account=%s sender=%s destination=%s", rule.Account, rule.Sender, rule.Destination)
	if rule.ID != 0 || !rule.Added.IsZero() {
		return badParameter("id and added", "are this server's to set")
	}
	if rule.Account == "" && rule.Sender == "" && rule.Destination == "" {
		return badParameter("a rule", "needs an account, a sender or a destination")
	}
	if len(rule.Account)+len(rule.Sender)+len(rule.Destination)+len(rule.Note) > maxRule {
		return badParameter("a rule", fmt.Sprintf("has at most %d octets", maxRule))
	}
	rule, err := s.Queue.AddRule(r.Context(), rule)
	if err != nil {
		return err
	}
	web.Answer(w, http.StatusCreated, rule)
	return nil
}

func (s *Server) removeRule(w http.ResponseWriter, r *request) error {
	r.target = r.PathValue("id")
	id, err := strconv.ParseInt(r.target, 10, 64)
	if err != nil {
		return badParameter("id", "must be the number of a rule")
	}
	if err := s.Queue.RemoveRule(r.Context(), id); err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, Removed{id})
	return nil
}

// Removed is the answer to a rule that was taken away.
type Removed struct {
	ID int64 `json:"id"`
}
