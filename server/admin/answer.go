package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// A Fault is an answer that is not what was asked for: what happened, and what to do next.
type Fault struct {
	Status int    `json:"-"`
	What   string `json:"error"`
	Do     string `json:"do"`
}

func (f *Fault) Error() string { return f.What }

// fault makes the answer of an error. What is no Fault is ours: its cause is for the log alone.
func (s *Server) fault(r *http.Request, err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d KiB", maxBody>>10), "send less at a time"}
	}
	s.Log.Error().Err(err).Str("path", logged(r.URL.Path)).Msg("the request could not be answered")
	return &Fault{http.StatusInternalServerError, "this server could not do it", "its log says why"}
}

func answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types of this package can always be written
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}

// secure sets what keeps an answer from being stored, guessed at or put into somebody else's page.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
}

// readBody reads one JSON object and nothing else into v; fields that are not known are faults.
func readBody(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err == nil {
			err = errors.New("there is something after the object")
		}
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return err
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() { // its words name the socket
		return &Fault{http.StatusRequestTimeout, fmt.Sprintf("the request's body did not come within %s", readTime), "send it again"}
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	return &Fault{http.StatusBadRequest, "the request's body is not what this route takes: " + logged(err.Error()), "see /api/v1/openapi.json"}
}
