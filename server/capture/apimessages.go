package capture

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

const maxWait = 10 * time.Minute

// MessageList is a list of messages, in the order of arrival.
type MessageList struct {
	Messages []Summary `json:"messages"`
	Seq      int       `json:"seq"`  // for after_seq, to ask for what comes after this answer
	More     bool      `json:"more"` // there are younger ones, which are left out
}

// Deleted is how many messages are gone.
type Deleted struct {
	Deleted int `json:"deleted"`
}

// choice are the parameters that choose messages.
var choice = []string{"to", "from", "subject", "user", "session", "after_seq"}

// chosen are the matches for a choice: of addresses, in any case of letters and with * for any octets, of subjects octet for octet.
func chosen(q url.Values) ([]smarthosttest.Match, int, error) {
	var match []smarthosttest.Match
	for name, of := range map[string]func(string) smarthosttest.Match{
		"to": smarthosttest.To, "from": exactFrom, "subject": smarthosttest.Subject, "user": smarthosttest.By, "session": smarthosttest.In,
	} {
		if q.Get(name) == "" && q.Has(name) && name != "from" && name != "subject" {
			return nil, 0, badParameter(name, "is empty")
		}
		if q.Has(name) {
			match = append(match, of(q.Get(name)))
		}
	}
	after, err := number(q, "after_seq", 0, 1<<53, 0)
	if after > 0 {
		match = append(match, smarthosttest.That(fmt.Sprintf("after seq %d", after), func(m *smarthosttest.Message) bool { return m.Seq > after }))
	}
	return match, after, err
}

// exactFrom is From, where "" is the null reverse-path.
func exactFrom(pattern string) smarthosttest.Match {
	if pattern == "" {
		return smarthosttest.That("from <>", func(m *smarthosttest.Message) bool { return m.Envelope.From == "" })
	}
	return smarthosttest.From(pattern)
}

// listMessages answers with those that are there, or waits until there are as many as are asked for.
func (s *Server) listMessages(w http.ResponseWriter, r *request) error {
	q, err := query(r, append([]string{"wait", "count", "limit"}, choice...)...)
	if err != nil {
		return err
	}
	match, after, err := chosen(q)
	if err != nil {
		return err
	}
	count, err := number(q, "count", 1, mostListed, 1)
	if err != nil {
		return err
	}
	limit, err := number(q, "limit", 1, mostListed, standardList)
	if err != nil {
		return err
	}
	var of []*smarthosttest.Message
	switch {
	case q.Has("wait"):
		of, err = wait(w, r, q.Get("wait"), count, match)
	case q.Has("count"):
		err = badParameter("count", "is for wait: how many messages to wait for")
	default:
		of = r.inbox.Messages(match...)
	}
	if err != nil {
		return err
	}
	list := MessageList{Messages: []Summary{}, Seq: after, More: len(of) > limit}
	for _, m := range of[:min(len(of), limit)] {
		list.Messages = append(list.Messages, summary(m))
		list.Seq = m.Seq
	}
	web.Answer(w, http.StatusOK, list)
	return nil
}

// wait waits for messages, by what the test double tells and not by looking again and again.
func wait(w http.ResponseWriter, r *request, text string, count int, match []smarthosttest.Match) ([]*smarthosttest.Message, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return nil, badParameter("wait", fmt.Sprintf("must be a duration such as 10s, at most %s", maxWait))
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{}) // it has been read, and a deadline that passes would end the request
	control.SetWriteDeadline(time.Now().Add(d + answerTime))
	ctx, cancel := context.WithTimeoutCause(r.Context(), d, fmt.Errorf("within %s", d))
	defer cancel()
	of, err := r.inbox.WaitN(ctx, count, match...)
	switch {
	case err == nil:
		return of, nil
	case r.Context().Err() != nil:
		return nil, web.Fail(http.StatusServiceUnavailable, "this server ends", "ask another one")
	}
	return nil, web.Fail(http.StatusNotFound, err.Error(), "look at /api/t/v1/sessions for what was refused, or wait longer")
}

func (s *Server) deleteMessages(w http.ResponseWriter, r *request) error {
	q, err := query(r, choice...)
	if err != nil {
		return err
	}
	match, _, err := chosen(q)
	if err != nil {
		return err
	}
	web.Answer(w, http.StatusOK, Deleted{r.inbox.Delete(match...)})
	return nil
}

// message is the one that a path names.
func message(r *request) (*smarthosttest.Message, error) {
	id := r.PathValue("id")
	of := r.inbox.Messages(smarthosttest.ID(id))
	if len(of) == 0 {
		return nil, web.Fail(http.StatusNotFound, "there is no message "+web.Printable(id), "it has been deleted, or is in another inbox; the list of messages has those that are there")
	}
	return of[0], nil
}

// aMessage is a route about one message, without parameters.
func aMessage(tell func(w http.ResponseWriter, r *request, m *smarthosttest.Message) error) func(*Server, http.ResponseWriter, *request) error {
	return func(_ *Server, w http.ResponseWriter, r *request) error {
		if _, err := query(r); err != nil {
			return err
		}
		m, err := message(r)
		if err != nil {
			return err
		}
		return tell(w, r, m)
	}
}

func showMessage(w http.ResponseWriter, _ *request, m *smarthosttest.Message) error {
	web.Answer(w, http.StatusOK, whole(m))
	return nil
}

func showRaw(w http.ResponseWriter, _ *request, m *smarthosttest.Message) error {
	answerFile(w, "message/rfc822", "", m.Raw)
	return nil
}

func showPart(w http.ResponseWriter, r *request, m *smarthosttest.Message) error {
	p := m.Part(r.PathValue("part"))
	if p == nil {
		return web.Fail(http.StatusNotFound, "the message has no part "+web.Printable(r.PathValue("part")), "GET the message, whose parts list them")
	}
	content, _ := p.Content() // as far as it can be read; the message's parts tell the fault
	answerFile(w, "application/octet-stream", "", content)
	return nil
}

func showLinks(w http.ResponseWriter, _ *request, m *smarthosttest.Message) error {
	web.Answer(w, http.StatusOK, Links{links(m)})
	return nil
}

func showCodes(w http.ResponseWriter, _ *request, m *smarthosttest.Message) error {
	web.Answer(w, http.StatusOK, Codes{listed(m.Codes())})
	return nil
}

func deleteMessage(w http.ResponseWriter, r *request, m *smarthosttest.Message) error {
	web.Answer(w, http.StatusOK, Deleted{r.inbox.Delete(smarthosttest.ID(m.ID))})
	return nil
}
