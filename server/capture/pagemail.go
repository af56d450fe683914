package capture

import (
	"cmp"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"strings"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

const (
	pageLength = 100 // messages or sessions of a list
	mostLinks  = 200 // of one message
	mostNamed  = 50  // recipients of one message
)

// mailView is a list of messages, and beside it the one that is open.
type mailView struct {
	Home   string
	Search string
	All    bool // everybody's, so that each says whose it is
	List   []row
	Next   string // link to older ones
	Newest int    // Seq of the newest message in the inbox; 0: it is empty
	Total  int
	Open   *opened
	Doors  doors
}

func (v mailView) refresh() int {
	if v.Total == 0 {
		return 3
	}
	return 0
}

// doors are what a program that sends mail has to be told.
type doors struct{ Host, Port, TLSPort, User string }

type row struct {
	*smarthosttest.Message
	Subject string
	To      string // the first recipient
	More    int    // recipients
	Link    string
	Current bool
}

// opened is the message that is looked at.
type opened struct {
	*smarthosttest.Message
	Link        string // of its page
	Subject     string
	From        string // the header fields, as they are
	To, Cc      string
	Recipients  []string // of the envelope, a few of them
	MoreTo      int      // that are not in Recipients
	Hidden      []string
	Size        int
	SessionLink string
	Views       []tab
	View        string
	Err         string // what is wrong with the message as a message
	Show        any    // what the view shows
}

// mailPage is the list and, if the path names a message, that message. The script asks for the list only, to keep it up to date.
func (s *Server) mailPage(w http.ResponseWriter, r *request) error {
	q, err := query(r, "search", "before", "view", "remote", "only")
	if err != nil {
		return err
	}
	if r.PathValue("id") == "latest" {
		return toLatest(w, r)
	}
	before, err := number(q, "before", 1, 1<<31-1, 1<<31-1)
	if err != nil {
		return err
	}
	v := s.listMail(r, strings.TrimSpace(q.Get("search")), before)
	title := "Mail"
	if r.PathValue("id") != "" && q.Get("only") != "list" {
		m, err := message(r)
		if err != nil {
			return err
		}
		if v.Open, err = s.openMail(r, m, q); err != nil {
			return err
		}
		title = cmp.Or(seen(m.Subject()), "(no subject)")
	}
	s.write(w, r, http.StatusOK, "mail", title, v)
	return nil
}

// toLatest leads to the newest message.
func toLatest(w http.ResponseWriter, r *request) error {
	all := r.inbox.Messages()
	if len(all) == 0 {
		return web.Fail(http.StatusNotFound, "there is no message yet", "send one; the list shows it when it is there")
	}
	http.Redirect(w, r.Request, r.home()+"/mail/"+all[len(all)-1].ID, http.StatusSeeOther)
	return nil
}

func (s *Server) listMail(r *request, search string, before int) mailView {
	all := r.inbox.Messages()
	v := mailView{Home: r.home(), Search: search, All: r.user == "", Total: len(all), Doors: s.doorsFor(r)}
	if len(all) > 0 {
		v.Newest = all[len(all)-1].Seq
	}
	at := r.PathValue("id")
	for i := len(all) - 1; i >= 0; i-- {
		m := all[i]
		if m.Seq >= before || search != "" && !isAbout(m, search) {
			continue
		}
		if len(v.List) == pageLength {
			v.Next = withQuery(r.home()+"/", "search", search, "before", fmt.Sprint(v.List[pageLength-1].Seq))
			break
		}
		l := row{Message: m, Subject: m.Subject(), Link: withQuery(r.home()+"/mail/"+m.ID, "search", search), Current: m.ID == at}
		if to := m.Envelope.Recipients; len(to) > 0 {
			l.To, l.More = to[0].Address, len(to)-1
		}
		v.List = append(v.List, l)
	}
	return v
}

// isAbout tells whether a message's header lines for people, or its envelope, have a text in them.
func isAbout(m *smarthosttest.Message, search string) bool {
	h := m.Headers()
	texts := []string{m.ID, m.User, m.Envelope.From, h.First("Subject"), h.First("From"), h.First("To"), h.First("Cc")}
	for _, to := range m.Envelope.Recipients {
		texts = append(texts, to.Address)
	}
	return strings.Contains(strings.ToLower(strings.Join(texts, "\n")), strings.ToLower(search))
}

// withQuery is a path with those parameters that are not "".
func withQuery(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

func (s *Server) doorsFor(r *request) doors {
	host, port := s.door(r, s.Mail.Addr)
	_, implicit := s.door(r, s.Mail.TLSAddr)
	d := doors{Host: host, Port: fmt.Sprint(port), TLSPort: fmt.Sprint(implicit), User: r.user}
	if users := s.Mail.Users(); d.User == "" && len(users) > 0 {
		d.User = users[0].Name
	}
	return d
}

// view is a way to look at a message. What it shows is made when it is asked for.
type view struct {
	name, label string
	show        func(s *Server, r *request, m *smarthosttest.Message, q url.Values) any
}

var views = []view{
	{"html", "HTML", htmlView},
	{"source", "HTML source", func(_ *Server, _ *request, m *smarthosttest.Message, _ url.Values) any { return m.HTML() }},
	{"text", "Text", func(_ *Server, _ *request, m *smarthosttest.Message, _ url.Values) any { return m.Text() }},
	{"headers", "Headers", headersView},
	{"raw", "Raw", func(_ *Server, _ *request, m *smarthosttest.Message, _ url.Values) any { return string(m.Raw) }},
	{"files", "Attachments", filesView},
	{"session", "SMTP session", sessionOfView},
	{"findings", "Findings", findingsOfView},
	{"test", "In a test", testView},
}

func (s *Server) openMail(r *request, m *smarthosttest.Message, q url.Values) (*opened, error) {
	root := m.Root()
	o := &opened{
		Message: m, Subject: m.Subject(), Hidden: firstOf(m.HiddenRecipients()), Size: len(m.Raw), Link: r.home() + "/mail/" + m.ID,
		From: people(m.From()), To: people(m.To()), Cc: people(m.Cc()), SessionLink: r.home() + "/sessions/" + url.PathEscape(m.Session), View: q.Get("view"),
	}
	for _, to := range m.Envelope.Recipients {
		o.Recipients = append(o.Recipients, to.Address)
	}
	o.MoreTo = max(0, len(o.Recipients)-mostNamed)
	o.Recipients = firstOf(o.Recipients)
	if err := m.Err(); err != nil {
		o.Err = err.Error()
	}
	hasHTML := false
	for p := range root.All() {
		hasHTML = hasHTML || p.Type == "text/html"
	}
	hasHTML = hasHTML && m.HTML() != ""
	if o.View == "" {
		o.View = "text"
		if hasHTML {
			o.View = "html"
		}
	}
	for _, of := range views {
		if !hasHTML && (of.name == "html" || of.name == "source") && of.name != o.View {
			continue
		}
		t := tab{withQuery(o.Link, "search", q.Get("search"), "view", of.name), of.label, "view-" + of.name, -1, of.name == o.View}
		if of.name == "files" {
			t.Count = len(m.Attachments()) + len(m.Inline())
		}
		if t.Current {
			o.Show = of.show(s, r, m, q)
		}
		o.Views = append(o.Views, t)
	}
	if o.Show == nil {
		return nil, badParameter("view", "must be one of those above a message")
	}
	return o, nil
}

func firstOf(list []string) []string { return list[:min(len(list), mostNamed)] }

// people are addresses as a header has them, decoded.
func people(of []mail.Address) string {
	var texts []string
	for i, a := range of {
		if i == mostNamed {
			texts = append(texts, "…")
			break
		}
		if a.Name == "" {
			texts = append(texts, a.Address)
			continue
		}
		texts = append(texts, a.Name+" <"+a.Address+">")
	}
	return strings.Join(texts, ", ")
}

// framed is the HTML of a message: where it is served, and where its links lead to.
type framed struct {
	Body   string
	Remote bool   // images from elsewhere are loaded
	Load   string // link that loads them
	Links  []smarthosttest.Link
	More   int
}

func htmlView(_ *Server, r *request, m *smarthosttest.Message, q url.Values) any {
	page := r.home() + "/mail/" + m.ID
	f := framed{Body: page + "/body", Load: withQuery(page, "search", q.Get("search"), "view", "html", "remote", "images")}
	if q.Get("remote") == "images" {
		f.Body, f.Remote = f.Body+"?remote=images", true
		f.Load = withQuery(page, "search", q.Get("search"), "view", "html")
	}
	f.Links = m.Links()
	f.More = max(0, len(f.Links)-mostLinks)
	f.Links = f.Links[:len(f.Links)-f.More]
	return f
}

// heading is a field of a header.
type heading struct {
	Name, Value string
	Sent        string // the field's body if it was sent in another form
}

func headersView(_ *Server, _ *request, m *smarthosttest.Message, _ url.Values) any {
	v := struct {
		Fields []heading
		Added  string
	}{Added: string(m.Added)}
	for _, f := range m.Headers() {
		h := heading{Name: f.Name, Value: f.Value()}
		if h.Value != f.Body() {
			h.Sent = f.Body()
		}
		v.Fields = append(v.Fields, h)
	}
	return v
}

// file is a part that is handed out as a file.
type file struct {
	Link, Name, Type string
	Size             int
	Inline           bool // it is shown amid the text
}

func filesView(_ *Server, r *request, m *smarthosttest.Message, _ url.Values) any {
	files := []file{}
	for i, list := range [][]*smarthosttest.Part{m.Attachments(), m.Inline()} {
		for _, p := range list {
			files = append(files, file{r.home() + "/mail/" + m.ID + "/parts/" + p.ID, cmp.Or(p.FileName, "part "+p.ID), p.Type, p.Size(), i == 1})
		}
	}
	return files
}

func testView(s *Server, r *request, m *smarthosttest.Message, _ url.Values) any {
	mine := &request{Request: r.Request, inbox: s.Mail, user: m.User}
	return struct{ Curl, Raw, Go string }{curlFor(mine.base(), m), "curl -sS " + quoted(mine.base()+"/api/t/v1/messages/"+m.ID+"/raw"), goFor(m)}
}
