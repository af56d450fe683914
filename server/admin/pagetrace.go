package admin

// A fate is what became of a mail, in a word and with its class for the colour.
type fate struct{ Word, Class string }

// fateOf reads the last answer about each recipient. A history that was cut short may have none.
func fateOf(s Story) fate {
	if s.Ended == nil {
		return fate{"waits", "later"}
	}
	last := map[string]int{}
	for _, a := range s.Attempts {
		for _, t := range a.Tries {
			last[t.Address] = t.Code
		}
	}
	delivered := 0
	for _, code := range last {
		if code/100 == 2 {
			delivered++
		}
	}
	switch {
	case len(last) == 0:
		return fate{"ended", ""}
	case delivered == len(last):
		return fate{"delivered", "good"}
	case delivered == 0:
		return fate{"not delivered", "bad"}
	}
	return fate{"partly delivered", "bad"}
}
