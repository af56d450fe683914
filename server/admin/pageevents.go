package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

const (
	eventPause = 2 * time.Second  // between two looks
	eventTime  = 10 * time.Minute // of one stream; the browser asks again
	maxStreams = 32               // at a time
)

type stopKey struct{}

// withStop lets streams end as soon as the server is to end; other requests have a moment.
func withStop(requests, server context.Context) context.Context {
	return context.WithValue(requests, stopKey{}, server.Done())
}

// traceEvents sends the stories of a page again whenever they have changed.
func (s *Server) traceEvents(w http.ResponseWriter, r *request) error {
	q, err := query(r, "of")
	if err != nil {
		return err
	}
	return s.stream(w, r, "stories", func() (any, error) { return s.stories(r, strings.TrimSpace(q.Get("of"))) })
}

// stream sends what a template makes of a body as server-sent events, whenever it has changed, as long as who looks may.
func (s *Server) stream(w http.ResponseWriter, r *request, name string, body func() (any, error)) error {
	if s.streams.Add(1); s.streams.Load() > maxStreams {
		s.streams.Add(-1)
		return web.Fail(http.StatusServiceUnavailable, "too many pages are open that are kept up to date", "load the page again to see how things are")
	}
	defer s.streams.Add(-1)
	stop, _ := r.Context().Value(stopKey{}).(<-chan struct{})
	ctx, cancel := context.WithTimeout(r.Context(), eventTime)
	defer cancel()
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{}) // it has been read, and a deadline that passes would end the request
	tick := time.NewTicker(eventPause)
	defer tick.Stop()
	for last := ""; ; {
		if _, f := r.again(); f != nil {
			return nil
		}
		text, err := fragment(name, body)
		if err != nil && last == "" {
			return err
		}
		if err != nil {
			return nil
		}
		control.SetWriteDeadline(time.Now().Add(answerTime))
		event := ": nothing new\n\n"
		if text != last {
			line, _ := json.Marshal(text) // a string
			event, last = fmt.Sprintf("data: %s\n\n", line), text
		}
		w.Header().Set("Content-Type", "text/event-stream")
		if _, err := w.Write([]byte(event)); err != nil || control.Flush() != nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		case <-stop:
			return nil
		}
	}
}

func fragment(name string, body func() (any, error)) (string, error) {
	v, err := body()
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	err = templates.ExecuteTemplate(&text, name, v)
	return text.String(), err
}
