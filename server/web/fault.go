package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/rs/zerolog"
)

// A Fault is an answer that is not what was asked for: what happened, and what to do next.
type Fault struct {
	Status int    `json:"-"`
	What   string `json:"error"`
	Do     string `json:"do"`
}

func (f *Fault) Error() string { return f.What }

// Fail is a fault of an HTTP status.
func Fail(status int, what, do string) *Fault { return &Fault{status, what, do} }

// Answer writes the fault as JSON.
func (f *Fault) Answer(w http.ResponseWriter) { Answer(w, f.Status, f) }

// FaultOf makes the answer to a request that has ended in err. What is no Fault is ours: its cause is for the log alone.
func FaultOf(err error, r *http.Request, log zerolog.Logger) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return Fail(http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d KiB", large.Limit>>10), "send less at a time")
	}
	log.Error().Err(err).Str("path", Printable(r.URL.Path)).Msg("the request could not be answered")
	return Fail(http.StatusInternalServerError, "this server could not do it", "its log says why")
}

// Answer writes v as JSON, with < > & as they are: it is nobody's page, since browsers guess at no type behind a Gate. v must be of a type
// that can always be written.
func Answer(w http.ResponseWriter, status int, v any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(text.Bytes())
}
