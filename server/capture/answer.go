package capture

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// A Fault is an answer that is not what was asked for: what happened, and what to do next.
type Fault struct {
	Status int    `json:"-"`
	What   string `json:"error"`
	Do     string `json:"do"`
}

func (f *Fault) Error() string { return f.What }

const seeAlso = "see /api/t/v1/openapi.json"

// fault makes the answer of an error. What is no Fault is ours: its cause is for the log alone.
func (s *Server) fault(r *http.Request, err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d KiB", maxBody>>10), "send less at a time"}
	}
	s.Log.Error().Err(err).Str("path", shown(r.URL.Path)).Msg("the request could not be answered")
	return &Fault{http.StatusInternalServerError, "this server could not do it", "its log says why"}
}

func refuse(w http.ResponseWriter, f *Fault) { answer(w, f.Status, f) }

// answer writes v as JSON, with < > & as they are: it is nobody's page.
func answer(w http.ResponseWriter, status int, v any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // the types of this package can always be written
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(text.Bytes())
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, text)
}

// secure sets what keeps an answer from being stored, guessed at or put into somebody else's page.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Referrer-Policy", "no-referrer")
}

// readBody reads one JSON value and nothing else into v; fields that are not known are faults, and so is an empty body unless it may be.
func readBody(w http.ResponseWriter, r *http.Request, v any, mayBeEmpty bool) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err == nil {
			err = errors.New("there is something after the first value")
		}
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return err
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() { // its words name the socket
		return &Fault{http.StatusRequestTimeout, fmt.Sprintf("the request's body did not come within %s", readTime), "send it again"}
	}
	if errors.Is(err, io.EOF) {
		if mayBeEmpty {
			return nil
		}
		err = errors.New("it is empty")
	}
	return &Fault{http.StatusBadRequest, "the request's body is not what this route takes: " + err.Error(), seeAlso}
}

// query reads the parameters of a request; others than those named are faults, so that a slip does not choose everything.
func query(r *request, names ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badParameter("the query", "cannot be read")
	}
	for name := range q {
		if !slices.Contains(names, name) {
			return nil, badParameter(shown(name), "is not known here")
		}
		if len(q[name]) > 1 {
			return nil, badParameter(name, "is given twice")
		}
	}
	return q, nil
}

func badParameter(name, fault string) *Fault {
	return &Fault{http.StatusBadRequest, name + " " + fault, seeAlso}
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
