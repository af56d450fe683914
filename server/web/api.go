package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
)

// An API is what its routes have in common.
type API struct {
	Document string   // path of its description, where its faults lead
	MaxBody  int64    // octets of a request's body
	Often    []string // parameters that may be given more than once
}

// Routes answers by the routes of a mux. What is at none is a fault in JSON: that there is no such path, or not by this method.
func (a *API) Routes(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, pattern := mux.Handler(r); pattern == "" {
			a.noRoute(w, r, h)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// noRoute says in JSON what h, which is the mux's, would in plain text.
func (a *API) noRoute(w http.ResponseWriter, r *http.Request, h http.Handler) {
	said := &mute{header: http.Header{}}
	h.ServeHTTP(said, r)
	f := Fail(http.StatusNotFound, "there is nothing at "+Printable(r.URL.Path), a.Document+" lists what there is")
	if said.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", said.header.Get("Allow"))
		f = &Fault{said.status, "this is not there by " + Printable(r.Method), "use one of: " + said.header.Get("Allow")}
	}
	f.Answer(w)
}

// mute hears a handler's answer and keeps its status.
type mute struct {
	header http.Header
	status int
}

func (m *mute) Header() http.Header         { return m.header }
func (m *mute) WriteHeader(status int)      { m.status = status }
func (m *mute) Write(p []byte) (int, error) { return len(p), nil }

// See is what somebody is to do who has asked wrongly.
func (a *API) See() string { return "see " + a.Document }

// BadParameter is the fault of a parameter, or of another part of a request that is called name.
func (a *API) BadParameter(name, fault string) *Fault {
	return Fail(http.StatusBadRequest, fmt.Sprintf("%s %s", name, fault), a.See())
}

// Query reads the parameters of a request; others than those named are faults, so that a slip does not choose everything.
func (a *API) Query(r *http.Request, names ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, a.BadParameter("the query", "cannot be read")
	}
	for name := range q {
		if !slices.Contains(names, name) {
			return nil, a.BadParameter(Printable(name), "is not known here")
		}
		if len(q[name]) > 1 && !slices.Contains(a.Often, name) {
			return nil, a.BadParameter(name, "is given twice")
		}
	}
	return q, nil
}

// Body reads one JSON value and nothing else into v. Fields that are not known are faults, and so is an empty body unless it may be.
func (a *API) Body(w http.ResponseWriter, r *http.Request, v any, mayBeEmpty bool) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, a.MaxBody))
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
		return Fail(http.StatusRequestTimeout, fmt.Sprintf("the request's body did not come within %s", ReadTime), "send it again")
	}
	if errors.Is(err, io.EOF) {
		if mayBeEmpty {
			return nil
		}
		err = errors.New("it is empty")
	}
	return a.BadParameter("the request's body", "is not what this route takes: "+Printable(err.Error()))
}
