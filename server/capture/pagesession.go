package capture

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

const (
	mostTold     = 2000 // lines of one transcript on a page
	mostFindings = 500  // on one page
	mostRules    = 500
)

// sessionsView is a list of sessions, and beside it the one that is open.
type sessionsView struct {
	Home    string
	Search  string
	List    []sitting
	Next    string // link to older ones
	Total   int
	Open    *told
	Doors   doors
	Silent  bool // only those that brought no mail are listed
	Filters []tab
}

func (v sessionsView) refresh() int {
	if v.Total == 0 {
		return 3
	}
	return 0
}

// sitting is a session in the list.
type sitting struct {
	*smarthosttest.Session
	Who     string // "nobody" if nobody has logged in
	Mail    int    // messages that it brought and that are kept
	Refused string // the last refusal
	Open    bool   // it has not ended
	Link    string
	Current bool
}

// told is a session that is looked at.
type told struct {
	sitting
	Took  string
	Lines []said
	More  int
	Text  string // link to the whole transcript
	Mails []mailLink
}

type said struct {
	At, Line string
	Who      string // client, server, note
	Bad      bool   // a refusal, a violation, or a rule
}

type mailLink struct{ Link, Subject string }

func (s *Server) sessionsPage(w http.ResponseWriter, r *request) error {
	q, err := query(r, "search", "before", "brought")
	if err != nil {
		return err
	}
	if brought := q.Get("brought"); brought != "" && brought != "nothing" {
		return badParameter("brought", `must be "nothing"`)
	}
	v := listSessionsFor(r, q)
	v.Doors = s.doorsFor(r)
	title := "Sessions"
	if id := r.PathValue("id"); id != "" {
		x := find(r.inbox.Sessions(), func(x *smarthosttest.Session) bool { return x.ID == id })
		if x == nil {
			return web.Fail(http.StatusNotFound, "there is no session "+seen(id), "it may have given way to newer ones; the list has those that are there")
		}
		v.Open = tellSession(r, x)
		title = "Session " + x.ID
	}
	s.write(w, r, http.StatusOK, "sessions", title, v)
	return nil
}

func listSessionsFor(r *request, q url.Values) sessionsView {
	all := r.inbox.Sessions()
	search, before := strings.TrimSpace(q.Get("search")), q.Get("before")
	v := sessionsView{Home: r.home(), Search: search, Total: len(all), Silent: q.Get("brought") == "nothing"}
	v.Filters = []tab{
		{withQuery(r.home()+"/sessions", "search", search), "All", "brought-all", -1, !v.Silent},
		{withQuery(r.home()+"/sessions", "search", search, "brought", "nothing"), "Without mail", "brought-nothing", -1, v.Silent},
	}
	brought := broughtBy(r.inbox.Messages())
	if i := slices.IndexFunc(all, func(x *smarthosttest.Session) bool { return x.ID == before }); i >= 0 {
		all = all[:i]
	}
	for i := len(all) - 1; i >= 0; i-- {
		x := sit(r, all[i], len(brought[all[i].ID]))
		if v.Silent && x.Mail > 0 || search != "" && !strings.Contains(strings.ToLower(x.ID+"\n"+x.Who+"\n"+x.Session.Transcript()), strings.ToLower(search)) {
			continue
		}
		if len(v.List) == pageLength {
			v.Next = withQuery(r.home()+"/sessions", "search", search, "brought", q.Get("brought"), "before", v.List[pageLength-1].ID)
			break
		}
		x.Link = withQuery(x.Link, "search", search, "brought", q.Get("brought"))
		x.Current = x.ID == r.PathValue("id")
		v.List = append(v.List, x)
	}
	return v
}

func sit(r *request, x *smarthosttest.Session, mail int) sitting {
	of := sitting{Session: x, Mail: mail, Open: x.Ended.IsZero(), Link: r.home() + "/sessions/" + url.PathEscape(x.ID), Who: x.User}
	if of.Who == "" {
		of.Who = "nobody"
		if x.Claimed != "" {
			of.Who = "nobody, who says to be " + x.Claimed
		}
	}
	for _, e := range slices.Backward(x.Events) {
		if kindOf(e) == "refused" {
			of.Refused = e.Line
			break
		}
	}
	return of
}

func tellSession(r *request, x *smarthosttest.Session) *told {
	mails := r.inbox.Messages(smarthosttest.In(x.ID))
	t := &told{sitting: sit(r, x, len(mails)), Text: r.home() + "/api/t/v1/sessions/" + url.PathEscape(x.ID) + ".txt"}
	if !t.Open {
		t.Took = x.Ended.Sub(x.Began).Round(time.Millisecond).String()
	}
	for _, m := range mails {
		t.Mails = append(t.Mails, mailLink{r.home() + "/mail/" + m.ID, cmp.Or(m.Subject(), "(no subject)")})
	}
	t.More = max(0, len(x.Events)-mostTold)
	for _, e := range x.Events[t.More:] {
		who := map[smarthosttest.Dir]string{smarthosttest.Client: "client", smarthosttest.Served: "server"}[e.Dir]
		bad := kindOf(e) == "refused" || e.Kind == smarthosttest.KindViolation || e.Kind == smarthosttest.KindFault
		t.Lines = append(t.Lines, said{fmt.Sprintf("%.3f", e.At.Seconds()), e.Line, cmp.Or(who, "note"), bad})
	}
	return t
}

// sessionOfView is the session that brought a message; it may have been forgotten.
func sessionOfView(_ *Server, r *request, m *smarthosttest.Message, _ url.Values) any {
	x := find(r.inbox.Sessions(), func(x *smarthosttest.Session) bool { return x.ID == m.Session })
	if x == nil {
		return (*told)(nil)
	}
	return tellSession(r, x)
}

// lintList are findings of the lint.
type lintList struct {
	List []lintRow
	More int
	Home string
}

type lintRow struct {
	smarthosttest.Finding
	Link string // to the message or session that it is about
}

func lintOf(r *request, is func(smarthosttest.Finding) bool) lintList {
	f := lintList{Home: r.home()}
	for _, of := range r.inbox.Lint() {
		if !is(of) {
			continue
		}
		if len(f.List) == mostFindings {
			f.More++
			continue
		}
		x := lintRow{of, r.home() + "/sessions/" + url.PathEscape(of.Session)}
		if of.Message != "" {
			x.Link = r.home() + "/mail/" + of.Message
		}
		f.List = append(f.List, x)
	}
	return f
}

func findingsOfView(_ *Server, r *request, m *smarthosttest.Message, _ url.Values) any {
	return lintOf(r, func(f smarthosttest.Finding) bool {
		return f.Message == m.ID || f.Message == "" && f.Session == m.Session
	})
}

func (s *Server) findingsPage(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	s.write(w, r, http.StatusOK, "findings", "Findings", lintOf(r, func(smarthosttest.Finding) bool { return true }))
	return nil
}

// ruleState is a rule with what has become of it.
type ruleState struct {
	Text, Inbox       string
	Seen, Acted, Left int
	Unmet             bool
}

func (s *Server) rulesPage(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	v := struct {
		Home, Base string
		List       []ruleState
		More       int
	}{Home: r.home(), Base: quoted(r.base() + "/api/t/v1/script")}
	for i, of := range r.inbox.RuleStates() {
		if i >= mostRules {
			v.More++
			continue
		}
		text, err := json.Marshal(of.Rule)
		if err != nil {
			return fmt.Errorf("write a rule: %w", err)
		}
		v.List = append(v.List, ruleState{string(text), of.Inbox, of.Seen, of.Acted, of.Left, of.Unmet})
	}
	s.write(w, r, http.StatusOK, "rules", "Rules in force", v)
	return nil
}
