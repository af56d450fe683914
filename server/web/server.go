package web

import (
	"context"
	stdlog "log"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Limits of what a caller can take up, besides the number of callers and the time for an answer.
const (
	MaxHeader  = 16 << 10         // octets of a request's header
	HeaderTime = 5 * time.Second  // for the header to come
	ReadTime   = 10 * time.Second // for the whole request
	IdleTime   = time.Minute      // of a connection between requests
	closeTime  = 3 * time.Second  // for requests under way, at the end
)

// NewServer answers with h within these limits, and within answerTime; an answer that comes in pieces sets itself a new deadline for each.
// What net/http has to say goes to log: panics as errors, and clients that went away for whoever debugs.
func NewServer(h http.Handler, answerTime time.Duration, log zerolog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: HeaderTime,
		ReadTimeout:       ReadTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       IdleTime,
		MaxHeaderBytes:    MaxHeader,
		ErrorLog:          stdlog.New(&complaints{log}, "", 0),
	}
}

// Close ends s: requests under way have a moment, then cut is called, which ends their contexts, and their connections are closed.
func Close(s *http.Server, cut func()) {
	moment, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if s.Shutdown(moment) != nil {
		cut()
		s.Close()
	}
}

// complaints takes what net/http has to say.
type complaints struct{ log zerolog.Logger }

func (c *complaints) Write(line []byte) (int, error) {
	level := zerolog.DebugLevel
	if strings.HasPrefix(string(line), "http: panic") {
		level = zerolog.ErrorLevel
	}
	c.log.WithLevel(level).Str("cause", string(line)).Msg("HTTP request broken off")
	return len(line), nil
}
