package capture

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// Limits of what a caller can take up.
const (
	maxHeader  = 16 << 10         // octets of a request's header
	maxBody    = 1 << 20          // octets of a request's body
	maxCallers = 4096             // connections at a time, most of which wait for mail
	headerTime = 5 * time.Second  // for the header to come
	readTime   = 10 * time.Second // for the whole request
	answerTime = time.Minute      // for the answer; one that comes in pieces has it for each
	idleTime   = time.Minute      // of a connection between requests
	closeTime  = 3 * time.Second  // for requests under way, at the end
)

// A Server serves what a test double keeps. Its fields must not change once it is used.
type Server struct {
	// Mail is the test double; required. The caller starts it, and closes it after this server.
	Mail *smarthosttest.Server
	// Hosts are more names that requests may be for, see gate.go for those that are known without.
	Hosts []string
	Log   zerolog.Logger

	events events
	making sync.Mutex // of users
	read   marks
	chaos  chaos
}

// Run answers at the listener until ctx ends, and closes it. Requests that wait are answered then, and others have a moment to end.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	if s.Mail == nil {
		l.Close()
		return errors.New("capture: Mail is required")
	}
	ctx, end := context.WithCancel(ctx)
	h := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          stdlog.New(faults{s.Log}, "", 0),
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		moment, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if h.Shutdown(moment) != nil {
			h.Close()
		}
	})
	err := h.Serve(netutil.LimitListener(l, maxCallers))
	end()
	wg.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

// faults takes what net/http has to say: panics of ours, and clients that went away.
type faults struct{ log zerolog.Logger }

func (f faults) Write(line []byte) (int, error) {
	level := zerolog.DebugLevel
	if strings.HasPrefix(string(line), "http: panic") {
		level = zerolog.ErrorLevel
	}
	f.log.WithLevel(level).Str("cause", string(line)).Msg("request broken off")
	return len(line), nil
}
