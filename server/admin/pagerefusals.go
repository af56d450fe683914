package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const pageLength = 50 // entries of one page

// refusalList is the page of refusals.
type refusalList struct {
	Search   string
	Refusals []Refusal
	Older    string // where the next page is; "" if there is none
	Newest   bool   // the list begins with the newest of all
}

// refusalsPage lists who was told what, newest first.
func (s *Server) refusalsPage(w http.ResponseWriter, r *request) error {
	q, err := query(r, "search", "before")
	if err != nil {
		return err
	}
	list := refusalList{Search: q.Get("search"), Newest: q.Get("before") == ""}
	var before uint64
	if text := q.Get("before"); text != "" {
		if before, err = strconv.ParseUint(text, 10, 64); err != nil {
			return badParameter("before", "must be the number of a refusal")
		}
	}
	words := strings.Fields(strings.ToLower(list.Search))
	for _, refusal := range s.Refusals.Before(before, keptRefusals) {
		if !refusal.holds(words) {
			continue
		}
		if len(list.Refusals) == pageLength {
			last := list.Refusals[pageLength-1].Number
			list.Older = "/refusals?" + url.Values{"search": {list.Search}, "before": {strconv.FormatUint(last, 10)}}.Encode()
			break
		}
		list.Refusals = append(list.Refusals, refusal)
	}
	return s.page(w, r, http.StatusOK, "refusals", "Refusals", list)
}

// holds tells whether each of the words, in lower case, is in what is shown of the refusal.
func (r *Refusal) holds(words []string) bool {
	text := strings.ToLower(fmt.Sprintln(r.Session, r.Address, r.Stage, r.Account, r.Device, r.Hello, r.From, r.Code, r.Reply))
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// OfMail tells whether it was a mail that was refused, and not a connection or a login before it.
func (r Refusal) OfMail() bool { return r.Stage == "MAIL" || r.Stage == "RCPT" || r.Stage == "DATA" }
