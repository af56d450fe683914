package capture

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

// pictureTypes are those of pictures in which nothing but a picture can be.
var pictureTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// fileTypes are those that parts are handed out as. All others are octets: what a browser or a program makes of a type is not for the sender to say.
var fileTypes = append([]string{"text/plain", "text/csv", "application/pdf", "application/zip", "message/rfc822"}, pictureTypes...)

// mailRaw answers with the octets of a message as they were sent, as text.
func (s *Server) mailRaw(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	m, err := message(r)
	if err != nil {
		return err
	}
	onlyFile(w.Header())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = w.Write(m.Raw)
	return err
}

// mailPart answers with a part of a message, to be kept and not to be looked at.
func (s *Server) mailPart(w http.ResponseWriter, r *request) error {
	if _, err := query(r); err != nil {
		return err
	}
	m, err := message(r)
	if err != nil {
		return err
	}
	p := m.Part(r.PathValue("part"))
	if p == nil {
		return web.Fail(http.StatusNotFound, "the message has no part "+seen(r.PathValue("part")), "the view of its attachments lists them")
	}
	content, _ := p.Content() // as far as it can be read
	onlyFile(w.Header())
	kind := "application/octet-stream"
	if slices.Contains(fileTypes, p.Type) {
		kind = p.Type
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(p)}))
	_, err = w.Write(content)
	return err
}

// onlyFile is the policy of what is no page: whatever a browser takes it for, nothing comes of it.
func onlyFile(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
}

const maxFileName = 100 // characters

// fileName is what the sender calls a part, without what has a meaning to a file system or is not seen.
func fileName(p *smarthosttest.Part) string {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, p.FileName)
	if name = strings.Trim(name, ". "); name == "" {
		return "part-" + p.ID
	}
	if of := []rune(name); len(of) > maxFileName { // the end says what kind it is
		name = string(of[:maxFileName/2]) + "…" + string(of[len(of)-maxFileName/2:])
	}
	return name
}

// unescaped undoes percent-encoding where it is right.
func unescaped(s string) string {
	if of, err := url.PathUnescape(s); err == nil {
		return of
	}
	return s
}
