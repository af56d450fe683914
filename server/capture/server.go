package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
	"github.com/seed-1397b510/smarthost/server/web"
)

// Limits of what a caller can take up, besides those of package web.
const (
	maxBody    = 1 << 20     // octets of a request's body
	maxCallers = 4096        // connections at a time, most of which wait for mail
	answerTime = time.Minute // for the answer; one that comes in pieces has it for each
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
	h := web.NewServer(s.Handler(), answerTime, s.Log)
	h.BaseContext = func(net.Listener) context.Context { return ctx }
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		web.Close(h, end)
	})
	err := h.Serve(netutil.LimitListener(l, maxCallers))
	end()
	wg.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}
