package capture

import (
	"net/http"
	"sync"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

// mailpitTriggers are how often senders, recipients and logins are refused, and with which code.
type mailpitTriggers struct {
	Sender         mailpitTrigger
	Recipient      mailpitTrigger
	Authentication mailpitTrigger
}

type mailpitTrigger struct {
	ErrorCode   int
	Probability int // percent
}

// calm is where nothing is refused.
var calm = mailpitTriggers{mailpitTrigger{451, 0}, mailpitTrigger{451, 0}, mailpitTrigger{535, 0}}

// chaos are the triggers that are set, by inbox. They are rules behind those of the script, which goes before them; a script that is set or
// ended, and a reset, take them away.
type chaos struct {
	mu  sync.Mutex
	set map[string]chaosSet
}

type chaosSet struct {
	triggers mailpitTriggers
	script   *smarthosttest.Script
	rules    map[string]bool // in JSON
}

// rules are those of the triggers. What they say has an enhanced code, as all replies here have (RFC 3463).
func (t mailpitTriggers) rules() (all []smarthosttest.Rule) {
	for _, of := range []struct {
		mailpitTrigger
		on             smarthosttest.Stage
		enhanced, text string
	}{
		{t.Sender, smarthosttest.MAIL, ".3.0", "Chaos sender error"},
		{t.Recipient, smarthosttest.RCPT, ".3.0", "Chaos recipient error"},
		{t.Authentication, smarthosttest.AUTH, ".7.0", "Chaos authentication error"},
	} {
		if of.Probability > 0 {
			class := string(rune('0' + of.ErrorCode/100))
			all = append(all, smarthosttest.On(of.on).Probability(float64(of.Probability)/100).Reply(of.ErrorCode, class+of.enhanced, of.text))
		}
	}
	return all
}

// check completes what is left out, and says what is wrong.
func (t *mailpitTriggers) check() error {
	for _, of := range []struct{ is, usual *mailpitTrigger }{{&t.Sender, &calm.Sender}, {&t.Recipient, &calm.Recipient}, {&t.Authentication, &calm.Authentication}} {
		if of.is.ErrorCode == 0 {
			of.is.ErrorCode = of.usual.ErrorCode
		}
		if of.is.ErrorCode < 400 || of.is.ErrorCode > 599 {
			return &Fault{Status: http.StatusBadRequest, What: "error code must be between 400 and 599"}
		}
		if of.is.Probability < 0 || of.is.Probability > 100 {
			return &Fault{Status: http.StatusBadRequest, What: "probability must be between 0 and 100"}
		}
	}
	return nil
}

func (s *Server) mailpitChaos(w http.ResponseWriter, r *request) error {
	s.chaos.mu.Lock()
	defer s.chaos.mu.Unlock()
	of, set := s.chaos.set[r.user]
	left := 0
	for _, x := range r.inbox.RuleStates() {
		if of.rules[x.Rule.String()] {
			left++
		}
	}
	if !set || left < len(of.rules) {
		of.triggers = calm
	}
	web.Answer(w, http.StatusOK, of.triggers)
	return nil
}

func (s *Server) mailpitSetChaos(w http.ResponseWriter, r *request) error {
	var t mailpitTriggers
	if err := api.Body(w, r.Request, &t, false); err != nil {
		return err
	}
	if err := t.check(); err != nil {
		return err
	}
	s.chaos.mu.Lock()
	defer s.chaos.mu.Unlock()
	script, err := r.inbox.AddRules(t.rules()...)
	if err != nil {
		return err
	}
	if before := s.chaos.set[r.user].script; before != nil {
		before.Stop()
	}
	of := chaosSet{t, script, map[string]bool{}}
	for _, rule := range t.rules() {
		of.rules[rule.String()] = true
	}
	if s.chaos.set == nil {
		s.chaos.set = map[string]chaosSet{}
	}
	s.chaos.set[r.user] = of
	web.Answer(w, http.StatusOK, t)
	return nil
}
