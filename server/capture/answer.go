package capture

import (
	"cmp"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"github.com/seed-1397b510/smarthost/server/web"
)

// A Fault is an answer that is not what was asked for: what happened, and what to do next.
type Fault = web.Fault

var api = &web.API{Document: "/api/t/v1/openapi.json", MaxBody: maxBody}

func query(r *request, names ...string) (url.Values, error) { return api.Query(r.Request, names...) }

func badParameter(name, fault string) *Fault { return api.BadParameter(name, fault) }

// fault makes the answer of an error.
func (s *Server) fault(r *http.Request, err error) *Fault { return web.FaultOf(err, r, s.Log) }

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, text)
}

// number is the value of a parameter, from least to most; standard if it is not given.
func number(q url.Values, name string, least, most, standard int) (int, error) {
	if !q.Has(name) {
		return standard, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < least || n > most {
		return 0, badParameter(name, fmt.Sprintf("must be a number from %d to %d", least, most))
	}
	return n, nil
}

// answerFile writes what a message brought. It is for programs: a browser keeps it as a file and guesses no type.
func answerFile(w http.ResponseWriter, kind, name string, octets []byte) {
	disposition := "attachment"
	if name != "" {
		disposition = cmp.Or(mime.FormatMediaType(disposition, map[string]string{"filename": name}), disposition)
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(octets)))
	w.Header().Set("Content-Disposition", disposition)
	w.Write(octets)
}
