package smarthosttest

import "slices"

// A RuleState is a rule in force, and what has become of it so far.
type RuleState struct {
	Rule  Rule
	Inbox string // the user whose inbox it was put into; "" is everybody's
	Seen  int    // how often it could have acted, those that were skipped included
	Acted int    // how often it has
	Left  int    // how often it still will; -1 is without end
	Unmet bool   // it has not acted, or not as often as it should
}

// RuleStates are the rules in force, those that have done all that they should included, in their order.
func (v view) RuleStates() []RuleState {
	of := &v.server.scripts
	of.mu.Lock()
	defer of.mu.Unlock()
	states := []RuleState{}
	for _, r := range of.rules {
		if v.holds(r) {
			states = append(states, r.state())
		}
	}
	return states
}

// TakeRules does what ClearRules does, and returns what had become of the rules.
func (v view) TakeRules() []RuleState {
	states := v.RuleStates()
	v.ClearRules()
	return states
}

// SetRules puts rules in force in place of those that are: all of them or, beside an error, none. Like AddRules it asks nobody at a test's end.
func (v view) SetRules(rules ...Rule) error {
	s, err := v.AddRules(rules...)
	if err != nil {
		return err
	}
	of := &v.server.scripts
	of.mu.Lock()
	defer of.mu.Unlock()
	of.rules = slices.DeleteFunc(of.rules, func(r *scripted) bool { return v.holds(r) && !slices.Contains(s.rules, r) })
	return nil
}

// holds tells whether a rule was put into the inbox in view.
func (v view) holds(r *scripted) bool { return v.user == "" || r.inbox == v.user }

// state is what has become of the rule; the scripts' mu is held.
func (r *scripted) state() RuleState {
	left := -1
	switch {
	case r.spent():
		left = 0
	case r.times > 0:
		left = r.times - r.acted
	}
	return RuleState{r.Rule, r.inbox, r.seen, r.acted, left, !r.optional && r.acted < max(r.times, 1)}
}
