package capture

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

// mailpit are the routes of Mailpit (v1.30) that its client libraries use, answered field by field as it does. What is otherwise, because a test
// would not notice what it should:
//   - Message, size and headers are what was sent: no Return-Path, Received, Message-ID or Bcc is added. Bcc lists the recipients that are in no To or Cc.
//   - A list that is empty is [] everywhere, and never null. Line ends in text are \n.
//   - What cannot be read deletes nothing and finds nothing, but is a 400; and so is a field of a body that is not known.
//   - Parts are downloads, and HTML is shown in a sandbox.
//   - Chaos is always there, and is made of rules, see chaos.
//   - There are no tags.
var mailpit = []route{
	{"GET", "/api/v1/messages", true, true, (*Server).mailpitList},
	{"PUT", "/api/v1/messages", true, true, (*Server).mailpitMark},
	{"DELETE", "/api/v1/messages", true, true, (*Server).mailpitDelete},
	{"GET", "/api/v1/search", true, true, (*Server).mailpitSearch},
	{"DELETE", "/api/v1/search", true, true, (*Server).mailpitDeleteFound},
	{"GET", "/api/v1/message/{id}", true, true, (*Server).mailpitMessage},
	{"GET", "/api/v1/message/{id}/headers", true, true, (*Server).mailpitHeaders},
	{"GET", "/api/v1/message/{id}/raw", true, true, (*Server).mailpitRaw},
	{"GET", "/api/v1/message/{id}/part/{part}", true, true, (*Server).mailpitPart},
	{"GET", "/view/{file}", true, true, (*Server).mailpitView},
	{"GET", "/api/v1/info", true, true, (*Server).mailpitInfo},
	{"GET", "/api/v1/tags", true, true, (*Server).mailpitTags},
	{"GET", "/api/v1/chaos", true, true, (*Server).mailpitChaos},
	{"PUT", "/api/v1/chaos", true, true, (*Server).mailpitSetChaos},
}

const (
	mailpitVersion = "v1.30.5" // whose answers these are like
	mailpitLimit   = 50        // of a list, if no other is asked for
)

// mailpitMessages is a page of a list, the newest first.
type mailpitMessages struct {
	Total          int              `json:"total"`
	Unread         int              `json:"unread"`
	Count          int              `json:"count"`
	MessagesCount  int              `json:"messages_count"`
	MessagesUnread int              `json:"messages_unread"`
	Start          int              `json:"start"`
	Tags           []string         `json:"tags"`
	Messages       []mailpitSummary `json:"messages"`
}

// marks are the messages that were read by Mailpit's routes, by id.
type marks struct {
	mu   sync.Mutex
	read map[string]bool
}

func (k *marks) set(read bool, of ...*smarthosttest.Message) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.read == nil {
		k.read = map[string]bool{}
	}
	for _, m := range of {
		if read {
			k.read[m.ID] = true
		} else {
			delete(k.read, m.ID)
		}
	}
}

func (k *marks) has(m *smarthosttest.Message) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.read[m.ID]
}

// unread is how many of these were not read.
func (k *marks) unread(of []*smarthosttest.Message) (n int) {
	for _, m := range of {
		if !k.has(m) {
			n++
		}
	}
	return n
}

// prune forgets the messages that are not there any more.
func (k *marks) prune(there []*smarthosttest.Message) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.read) <= 2*len(there)+100 {
		return
	}
	left := map[string]bool{}
	for _, m := range there {
		if k.read[m.ID] {
			left[m.ID] = true
		}
	}
	k.read = left
}

// newest are the inbox's messages, the newest first.
func newest(r *request) []*smarthosttest.Message {
	all := r.inbox.Messages()
	slices.Reverse(all)
	return all
}

func (s *Server) mailpitList(w http.ResponseWriter, r *request) error {
	all := newest(r)
	if text := r.URL.Query().Get("before"); text != "" {
		before, err := mailpitDate(text, time.Local)
		if err != nil {
			return err
		}
		all = filter(all, func(m *smarthosttest.Message) bool { return m.Time.Before(before) })
	}
	web.Answer(w, http.StatusOK, s.mailpitPage(r, all))
	return nil
}

// mailpitPage is the page of a list that a request asks for.
func (s *Server) mailpitPage(r *request, of []*smarthosttest.Message) mailpitMessages {
	all := r.inbox.Messages()
	s.read.prune(s.Mail.Messages())
	page := mailpitMessages{
		Total: len(all), Unread: s.read.unread(all), MessagesCount: len(of), MessagesUnread: s.read.unread(of), Tags: []string{}, Messages: []mailpitSummary{},
	}
	limit := mailpitLimit
	if n, err := strconv.Atoi(r.URL.Query().Get("start")); err == nil && n > 0 {
		page.Start = n
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && n >= 0 {
		limit = n
	}
	of = of[min(page.Start, len(of)):]
	if limit > 0 {
		of = of[:min(limit, len(of))]
	}
	for _, m := range of {
		page.Messages = append(page.Messages, s.mailpitSummary(m))
	}
	page.Count = len(of)
	return page
}

// mailpitChange says which messages are meant: those with the ids, or that a search finds; all without either.
type mailpitChange struct {
	IDs    []string
	Search string
	Read   bool
}

func (s *Server) chosen(r *request, c mailpitChange) ([]*smarthosttest.Message, error) {
	all := newest(r)
	if c.Search != "" {
		return s.mailpitFind(all, c.Search, r.URL.Query().Get("tz"))
	}
	if len(c.IDs) > 0 {
		all = filter(all, func(m *smarthosttest.Message) bool { return slices.Contains(c.IDs, m.ID) })
	}
	return all, nil
}

func (s *Server) mailpitMark(w http.ResponseWriter, r *request) error {
	var c mailpitChange
	if err := api.Body(w, r.Request, &c, true); err != nil {
		return err
	}
	of, err := s.chosen(r, c)
	if err != nil {
		return err
	}
	s.read.set(c.Read, of...)
	answerText(w, http.StatusOK, "ok")
	return nil
}

func (s *Server) mailpitDelete(w http.ResponseWriter, r *request) error {
	var c struct{ IDs []string }
	if err := api.Body(w, r.Request, &c, true); err != nil {
		return err
	}
	of, err := s.chosen(r, mailpitChange{IDs: c.IDs})
	if err != nil {
		return err
	}
	remove(r, of)
	answerText(w, http.StatusOK, "ok")
	return nil
}

// remove deletes just these messages, and none that has come meanwhile.
func remove(r *request, of []*smarthosttest.Message) {
	gone := map[*smarthosttest.Message]bool{}
	for _, m := range of {
		gone[m] = true
	}
	r.inbox.Delete(smarthosttest.That("to be deleted", func(m *smarthosttest.Message) bool { return gone[m] }))
}

func (s *Server) mailpitSearch(w http.ResponseWriter, r *request) error {
	of, err := s.found(r)
	if err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, s.mailpitPage(r, of))
	return nil
}

func (s *Server) mailpitDeleteFound(w http.ResponseWriter, r *request) error {
	of, err := s.found(r)
	if err != nil {
		return err
	}
	remove(r, of)
	answerText(w, http.StatusOK, "ok")
	return nil
}

// found is what a search has found, the newest first.
func (s *Server) found(r *request) ([]*smarthosttest.Message, error) {
	q := r.URL.Query()
	if strings.TrimSpace(q.Get("query")) == "" {
		return nil, &Fault{Status: http.StatusBadRequest, What: "Error: no search query"}
	}
	return s.mailpitFind(newest(r), q.Get("query"), q.Get("tz"))
}

func (s *Server) mailpitTags(w http.ResponseWriter, _ *request) error {
	web.Answer(w, http.StatusOK, []string{})
	return nil
}

// mailpitAbout is what Mailpit tells about itself. What is not counted here is 0.
type mailpitAbout struct {
	Version       string
	LatestVersion string
	Database      string
	DatabaseSize  int // octets of all messages
	Messages      int
	Unread        int
	Tags          map[string]int
	RuntimeStats  struct{ Uptime, Memory, MessagesDeleted, SMTPAccepted, SMTPAcceptedSize, SMTPRejected, SMTPIgnored int }
}

func (s *Server) mailpitInfo(w http.ResponseWriter, r *request) error {
	all := r.inbox.Messages()
	about := mailpitAbout{Version: mailpitVersion, LatestVersion: mailpitVersion, Database: "memory", Messages: len(all), Unread: s.read.unread(all), Tags: map[string]int{}}
	for _, m := range all {
		about.DatabaseSize += len(m.Raw)
	}
	about.RuntimeStats.SMTPAccepted, about.RuntimeStats.SMTPAcceptedSize = len(all), about.DatabaseSize
	web.Answer(w, http.StatusOK, about)
	return nil
}
