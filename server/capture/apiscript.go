package capture

import (
	"fmt"
	"net/http"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

const maxRules = 1000 // of one script

// A Rule is a rule in force, and what has become of it so far.
type Rule struct {
	Rule  smarthosttest.Rule `json:"rule"`
	Inbox string             `json:"inbox"` // the user whose inbox it was put into; "" is everybody's
	Seen  int                `json:"seen"`  // how often it could have acted, those that were skipped included
	Acted int                `json:"acted"` // how often it has
	Left  int                `json:"left"`  // how often it still will; -1 is without end
	Unmet bool               `json:"unmet"` // it has not acted, or not as often as it should
}

// Script are rules in force, in the order in which they are asked.
type Script struct {
	Rules []Rule `json:"rules"`
}

// Unmet are the rules of a script that is over that have not done what they should.
type Unmet struct {
	Unmet []Rule `json:"unmet"`
}

func (s *Server) showScript(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, Script{rules(r.inbox.RuleStates(), func(smarthosttest.RuleState) bool { return true })})
	return nil
}

// setScript takes rules in place of those that are in force.
func (s *Server) setScript(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	var of []smarthosttest.Rule
	if err := api.Body(w, r.Request, &of, false); err != nil {
		return err
	}
	if of == nil || len(of) > maxRules {
		return web.Fail(http.StatusBadRequest, fmt.Sprintf("a script is a list of rules, at most %d", maxRules), api.See())
	}
	if err := r.inbox.SetRules(of...); err != nil {
		return web.Fail(http.StatusBadRequest, err.Error(), "put right what is wrong; the rules that were in force still are")
	}
	return s.showScript(w, r)
}

func (s *Server) endScript(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, Unmet{rules(r.inbox.TakeRules(), func(of smarthosttest.RuleState) bool { return of.Unmet })})
	return nil
}

func rules(of []smarthosttest.RuleState, want func(smarthosttest.RuleState) bool) []Rule {
	all := []Rule{}
	for _, x := range of {
		if want(x) {
			all = append(all, Rule(x))
		}
	}
	return all
}
