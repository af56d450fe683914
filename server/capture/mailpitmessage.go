package capture

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/http"
	"net/mail"
	"net/textproto"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

// mailpitSummary is a message in a list.
type mailpitSummary struct {
	ID          string
	MessageID   string
	Read        bool
	From        mailpitAddress
	To          []mailpitAddress
	Cc          []mailpitAddress
	Bcc         []mailpitAddress
	ReplyTo     []mailpitAddress
	Subject     string
	Created     time.Time
	Username    string
	Tags        []string
	Size        int
	Attachments int
	Snippet     string
}

type mailpitAddress struct{ Name, Address string }

// mailpitWhole is a message with all that is in it.
type mailpitWhole struct {
	ID              string
	MessageID       string
	From            mailpitAddress
	To              []mailpitAddress
	Cc              []mailpitAddress
	Bcc             []mailpitAddress
	ReplyTo         []mailpitAddress
	ReturnPath      string
	Subject         string
	ListUnsubscribe mailpitUnsubscribe
	Date            time.Time
	Tags            []string
	Username        string
	Text            string
	HTML            string
	Size            int
	Inline          []mailpitPart
	Attachments     []mailpitPart
}

type mailpitUnsubscribe struct {
	Header     string
	Links      []string
	Errors     string
	HeaderPost string
}

type mailpitPart struct {
	PartID      string
	FileName    string
	ContentType string
	ContentID   string
	Size        int
	Checksums   struct{ MD5, SHA1, SHA256 string }
}

func (s *Server) mailpitSummary(m *smarthosttest.Message) mailpitSummary {
	text, source := m.Text(), m.HTML()
	if source != "" {
		text = readable(source)
	}
	return mailpitSummary{
		ID: m.ID, MessageID: m.MessageID(), Read: s.read.has(m), From: mailpitFrom(m), To: mailpitAddresses(m.To()), Cc: mailpitAddresses(m.Cc()), Bcc: mailpitBcc(m),
		ReplyTo: mailpitAddresses(m.ReplyTo()), Subject: m.Subject(), Created: created(m), Username: m.User, Tags: []string{}, Size: len(m.Raw),
		Attachments: len(m.Attachments()), Snippet: snippet(text),
	}
}

// created is when a message had come, in milliseconds.
func created(m *smarthosttest.Message) time.Time { return m.Time.UTC().Truncate(time.Millisecond) }

func mailpitFrom(m *smarthosttest.Message) mailpitAddress {
	if of := m.From(); len(of) > 0 {
		return mailpitAddress(of[0])
	}
	return mailpitAddress{}
}

func mailpitAddresses(of []mail.Address) []mailpitAddress {
	all := []mailpitAddress{}
	for _, a := range of {
		all = append(all, mailpitAddress(a))
	}
	return all
}

func mailpitBcc(m *smarthosttest.Message) []mailpitAddress {
	all := []mailpitAddress{}
	for _, address := range m.HiddenRecipients() {
		all = append(all, mailpitAddress{Address: address})
	}
	return all
}

const snippetSize = 200 // octets

// snippet is the beginning of a text, on one line.
func snippet(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= snippetSize {
		return text
	}
	end := snippetSize
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}

// readable is what a reader sees of HTML, without its form.
func readable(source string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(source))
	for hidden := ""; ; {
		switch z.Next() {
		case html.ErrorToken:
			return strings.TrimSpace(b.String())
		case html.TextToken:
			if hidden == "" {
				b.Write(z.Text())
			}
		case html.StartTagToken:
			switch tag := z.Token().Data; tag {
			case "style", "script", "title", "textarea", "noscript":
				hidden = tag
			case "p", "div", "br", "tr", "li", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "a", "img":
				b.WriteByte('\n')
			}
		case html.EndTagToken:
			if tag := z.Token().Data; tag == hidden {
				hidden = ""
			}
		}
	}
}

// named is the message that a path names; "latest" is the newest, or the newest that a search finds.
func (s *Server) named(r *request, id string) (*smarthosttest.Message, error) {
	all, missing := newest(r), "Message not found"
	var err error
	switch query := r.URL.Query().Get("query"); {
	case id != "latest":
		all, missing = filter(all, func(m *smarthosttest.Message) bool { return m.ID == id }), "404 page not found"
	case query != "":
		all, err = s.mailpitFind(all, query, r.URL.Query().Get("tz"))
	}
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, &Fault{Status: http.StatusNotFound, What: missing}
	}
	return all[0], nil
}

// opened is the message that a path names, and it is read with that. Who asks for its header, its source or a part has not read it.
func (s *Server) opened(r *request, id string) (*smarthosttest.Message, error) {
	m, err := s.named(r, id)
	if err == nil {
		s.read.set(true, m)
	}
	return m, err
}

func (s *Server) mailpitMessage(w http.ResponseWriter, r *request) error {
	m, err := s.opened(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	date, err := m.Date()
	if err != nil {
		date = created(m)
	}
	web.Answer(w, http.StatusOK, mailpitWhole{
		ID: m.ID, MessageID: m.MessageID(), From: mailpitFrom(m), To: mailpitAddresses(m.To()), Cc: mailpitAddresses(m.Cc()), Bcc: mailpitBcc(m), ReplyTo: mailpitAddresses(m.ReplyTo()),
		ReturnPath: m.Envelope.From, Subject: m.Subject(), ListUnsubscribe: unsubscribe(m), Date: date, Tags: []string{}, Username: m.User, Text: textOf(m), HTML: m.HTML(),
		Size: len(m.Raw), Inline: mailpitParts(m.Inline()), Attachments: mailpitParts(m.Attachments()),
	})
	return nil
}

// textOf is the text of a message, or of its HTML if it has none.
func textOf(m *smarthosttest.Message) string {
	if text := m.Text(); text != "" {
		return text
	}
	return readable(m.HTML())
}

var inAngles = regexp.MustCompile(`<([^<>]+)>`)

// unsubscribe is the field List-Unsubscribe (RFC 2369, RFC 8058).
func unsubscribe(m *smarthosttest.Message) mailpitUnsubscribe {
	of := mailpitUnsubscribe{Header: m.Header("List-Unsubscribe"), HeaderPost: m.Header("List-Unsubscribe-Post"), Links: []string{}}
	for _, link := range inAngles.FindAllStringSubmatch(of.Header, -1) {
		of.Links = append(of.Links, strings.TrimSpace(link[1]))
	}
	if of.Header != "" && len(of.Links) == 0 {
		of.Errors = "there is no <link> in the field"
	}
	return of
}

func mailpitParts(of []*smarthosttest.Part) []mailpitPart {
	all := []mailpitPart{}
	for _, p := range of {
		content, _ := p.Content() // as far as it can be read
		part := mailpitPart{PartID: p.ID, FileName: p.FileName, ContentType: p.Type, ContentID: p.ContentID, Size: len(content)}
		md, one, two := md5.Sum(content), sha1.Sum(content), sha256.Sum256(content)
		part.Checksums.MD5, part.Checksums.SHA1, part.Checksums.SHA256 = hex.EncodeToString(md[:]), hex.EncodeToString(one[:]), hex.EncodeToString(two[:])
		all = append(all, part)
	}
	return all
}

func (s *Server) mailpitHeaders(w http.ResponseWriter, r *request) error {
	m, err := s.named(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	fields := map[string][]string{}
	for _, f := range m.Headers() {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		fields[name] = append(fields[name], f.Body())
	}
	web.Answer(w, http.StatusOK, fields)
	return nil
}

func (s *Server) mailpitRaw(w http.ResponseWriter, r *request) error {
	m, err := s.named(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	if r.URL.Query().Get("dl") == "1" {
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": m.ID + ".eml"}))
	}
	answerText(w, http.StatusOK, string(m.Raw))
	return nil
}

func (s *Server) mailpitPart(w http.ResponseWriter, r *request) error {
	m, err := s.named(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	p := m.Part(r.PathValue("part"))
	if p == nil {
		return &Fault{Status: http.StatusNotFound, What: "404 page not found"}
	}
	content, _ := p.Content() // as far as it can be read
	answerFile(w, p.Type, p.FileName, content)
	return nil
}

// mailpitView shows a message's text or HTML, as the name ends.
func (s *Server) mailpitView(w http.ResponseWriter, r *request) error {
	id, isHTML := strings.CutSuffix(r.PathValue("file"), ".html")
	id, isText := strings.CutSuffix(id, ".txt")
	m, err := s.opened(r, id)
	if err != nil || isHTML && isText {
		return &Fault{Status: http.StatusNotFound, What: "Message not found"}
	}
	if isText {
		answerText(w, http.StatusOK, textOf(m))
		return nil
	}
	source := m.HTML()
	if source == "" {
		return &Fault{Status: http.StatusNotFound, What: "This message does not contain a HTML part"}
	}
	for _, p := range m.Inline() {
		if p.ContentID != "" {
			source = strings.ReplaceAll(source, "cid:"+p.ContentID, r.home()+"/api/v1/message/"+m.ID+"/part/"+p.ID)
		}
	}
	w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write([]byte(source))
	return nil
}
