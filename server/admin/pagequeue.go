package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// verbs are what can be done to mail from a page, with what they mean.
var verbs = []verb{
	{"retry", "Try now", "is tried at once"},
	{"hold", "Hold", "stays until it is released"},
	{"release", "Release", "goes on"},
	{"return", "Return to sender", "ends with a report to its sender"},
	{"drop", "Drop", "is deleted, and nobody is told"},
}

type verb struct {
	Do, Label, Means string
}

// filterForm is a filter as the fields of a form.
type filterForm struct {
	ID, Account, Sender, Destination, State, Reply, OlderThan, NewerThan string
}

// readFilter reads the fields of a form.
func readFilter(q url.Values) (form filterForm, f Filter, err error) {
	get := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	form = filterForm{get("id"), get("account"), get("sender"), get("destination"), get("state"), get("reply"), get("older_than"), get("newer_than")}
	f = Filter{Account: form.Account, Sender: form.Sender, Destination: form.Destination, State: form.State, Reply: form.Reply}
	if form.ID != "" {
		f.IDs = []string{form.ID}
	}
	for _, age := range []struct {
		name, text string
		span       *Span
	}{{"older than", form.OlderThan, &f.OlderThan}, {"newer than", form.NewerThan, &f.NewerThan}} {
		if age.text != "" {
			if err := age.span.UnmarshalText([]byte(age.text)); err != nil {
				return form, f, badParameter(age.name, "is wrong: "+err.Error())
			}
		}
	}
	return form, f, checkState(f.State)
}

// Fields are the names and values that are set.
func (f filterForm) Fields() (list []field) {
	for _, one := range []field{{"id", f.ID}, {"account", f.Account}, {"sender", f.Sender}, {"destination", f.Destination}, {"state", f.State},
		{"reply", f.Reply}, {"older_than", f.OlderThan}, {"newer_than", f.NewerThan}} {
		if one.Value != "" {
			list = append(list, one)
		}
	}
	return list
}

type field struct {
	Name, Value string
}

// Query is the filter as the query of a link, with one more field.
func (f filterForm) Query(name, value string) string {
	q := url.Values{name: {value}}
	for _, one := range f.Fields() {
		q.Set(one.Name, one.Value)
	}
	return q.Encode()
}

// Label is a field's name in words.
func (f field) Label() string { return strings.ReplaceAll(f.Name, "_", " ") }

// queueList is the page of the queue.
type queueList struct {
	Filter  filterForm
	Narrow  bool // it chooses by more than the state
	Total   int  // deliveries that wait, of all states
	States  []stateCount
	Entries []Entry
	Next    string // where the next page is; "" if there is none
	First   string // and the first; "" if this is it
	Verbs   []verb
	May     bool // whoever looks may change it
}

func (s *Server) queuePage(w http.ResponseWriter, r *request) error {
	q, err := query(r, "id", "account", "sender", "destination", "state", "reply", "older_than", "newer_than", "after")
	if err != nil {
		return err
	}
	form, f, err := readFilter(q)
	if err != nil {
		return err
	}
	page, err := s.Queue.List(r.Context(), f, q.Get("after"), pageLength)
	if err != nil {
		return err
	}
	status, err := s.Status(r.Context())
	if err != nil {
		return err
	}
	list := queueList{Filter: form, States: status.Queue.states(), Entries: page.Entries, Verbs: verbs, May: r.caller.May(Mail)}
	list.Narrow = slices.ContainsFunc(form.Fields(), func(f field) bool { return f.Name != "state" })
	for _, state := range list.States {
		list.Total += state.Count
	}
	if q.Get("after") != "" {
		list.First = "/queue?" + form.Query("after", "")
	}
	if page.Next != "" {
		list.Next = "/queue?" + form.Query("after", page.Next)
	}
	return s.page(w, r, http.StatusOK, "queue", "Queue", list)
}

// orderSheet is an order before, and after it was carried out.
type orderSheet struct {
	Verb    verb
	Filter  filterForm
	Outcome Outcome
	Done    bool
}

// readOrder reads an order from the fields of a link or a form.
func readOrder(q url.Values) (o Order, sheet orderSheet, err error) {
	for _, v := range verbs {
		if v.Do == q.Get("do") {
			sheet.Verb = v
		}
	}
	if sheet.Verb.Do == "" {
		return o, sheet, badParameter("what to do", "must be chosen")
	}
	o.Do = sheet.Verb.Do
	if sheet.Filter, o.Filter, err = readFilter(q); err != nil {
		return o, sheet, err
	}
	o.All = !o.Filter.chooses()
	return o, sheet, nil
}

// confirmOrder says what an order would come to, and asks.
func (s *Server) confirmOrder(w http.ResponseWriter, r *request) error {
	o, sheet, err := readOrder(r.URL.Query())
	if err != nil {
		return err
	}
	o.DryRun = true
	if sheet.Outcome, err = s.Queue.Change(r.Context(), o, func(Outcome) {}); err != nil {
		return err
	}
	return s.page(w, r, http.StatusOK, "order", sheet.Verb.Label+"?", sheet)
}

func (s *Server) carryOut(w http.ResponseWriter, r *request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	o, sheet, err := readOrder(r.PostForm)
	if err != nil {
		return err
	}
	if o.All && r.PostForm.Get("all") != "yes" { // a form that lost its fields must not mean everything
		return badParameter("the choice", "is empty")
	}
	o.By, r.target = r.caller.Name, sheet.Filter.Query("do", o.Do)
	control := http.NewResponseController(w)
	sheet.Outcome, err = s.Queue.Change(r.Context(), o, func(Outcome) { control.SetWriteDeadline(time.Now().Add(answerTime)) })
	if err != nil {
		return err
	}
	sheet.Done = true
	r.target += fmt.Sprintf(": %d changed, %d being tried, %d left alone", sheet.Outcome.Changed, sheet.Outcome.Leased, sheet.Outcome.Skipped)
	return s.page(w, r, http.StatusOK, "order", "Done", sheet)
}

// storyList is the page of what became of mail.
type storyList struct {
	Of      string
	Stories []Story
	Verbs   []verb
	May     bool
}

const mostStories = 20

func (s *Server) tracePage(w http.ResponseWriter, r *request) error {
	q, err := query(r, "of")
	if err != nil {
		return err
	}
	list, err := s.stories(r, strings.TrimSpace(q.Get("of")))
	if err != nil {
		return err
	}
	return s.page(w, r, http.StatusOK, "trace", "What became of it", list)
}

func (s *Server) stories(r *request, of string) (list storyList, err error) {
	list = storyList{Of: of, Verbs: verbs, May: r.caller.May(Mail)}
	if len(of) > 1000 {
		return list, badParameter("what to look for", "must be an id, a Message-ID or an address")
	}
	if of != "" {
		list.Stories, err = s.Queue.Trace(r.Context(), of, mostStories)
	}
	return list, err
}
