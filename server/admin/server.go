package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/server/web"
)

// Limits of what a caller can take up, besides those of package web.
const (
	maxBody    = 64 << 10         // octets of a request's body
	maxCallers = 128              // connections at a time, of each door
	answerTime = 30 * time.Second // for the answer; one that comes in pieces has it for each
)

// A Door is a listener.
type Door struct {
	net.Listener
	Trusted bool // whoever can open it may do everything, and needs no token
}

// A Server answers operators, probes and pages. Its fields must not change once Run was called.
type Server struct {
	Hostname string // a name that requests may be for, besides localhost and addresses; required
	// Token tells whose token this is; ErrToken if nobody's. Required.
	Token  func(secret string) (Caller, error)
	Health *Health // required
	// Status tells how things are. Required.
	Status func(context.Context) (Status, error)
	// Config tells what is in force, without secrets. Required.
	Config    func(context.Context) (ConfigInForce, error)
	Queue     Queue      // required
	Accounts  Accounts   // required
	Refusals  *Refusals  // required
	Enrolment *Enrolment // nil: devices are made without the configuration of a client
	// Counts is asked all the time, for the plots of the last hour; nil: there are none.
	Counts  func(context.Context) (Counts, error)
	Metrics http.Handler // answers /metrics, to anybody; nil: there are none
	// Reload reads config, accounts and certificate again, and returns when they are in force or refused. Required.
	Reload func(context.Context) error
	// Examine looks for what is wrong with this server and around it, and returns when it is done, or soon after ctx has ended. It tells
	// what it finds, and what it is at, from several goroutines at the same time. It is called once at a time. Required.
	Examine func(ctx context.Context, found func(Finding), doing func(what string)) error
	Log     zerolog.Logger

	refused      refusedLog
	guesses      guesses
	sessions     sessions
	samples      samples
	examinations examinations
	streams      atomic.Int32 // pages that are kept up to date
}

// Run answers at the doors until ctx ends, and closes them. Requests under way have a moment to end. It returns nil when no goroutine is
// left; an error if a field is missing or a listener breaks.
func (s *Server) Run(ctx context.Context, doors []Door) error {
	if err := s.check(); err != nil {
		for _, d := range doors {
			d.Close()
		}
		return err
	}
	ctx, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	// Requests end with the server, but only after their moment.
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var wg sync.WaitGroup
	if s.Counts != nil {
		wg.Go(func() { s.samples.take(ctx, s.Counts) })
	}
	wg.Go(func() { s.refused.run(ctx, s.Log) })
	wg.Go(func() { s.examinations.serve(ctx, s.Examine) })
	handlers := map[bool]http.Handler{true: s.handler(true), false: s.handler(false)}
	for _, d := range doors {
		h := web.NewServer(handlers[d.Trusted], answerTime, s.Log)
		h.BaseContext = func(net.Listener) context.Context { return withStop(requests, ctx) }
		h.ConnContext = withPeer
		wg.Go(func() {
			if err := h.Serve(limit(d.Listener, maxCallers)); !errors.Is(err, http.ErrServerClosed) {
				broken(fmt.Errorf("serve %s: %w", d.Addr(), err))
			}
		})
		wg.Go(func() {
			<-ctx.Done()
			web.Close(h, cut)
		})
	}
	<-ctx.Done()
	wg.Wait()
	s.Health.wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (s *Server) check() error {
	if s.Hostname == "" || s.Token == nil || s.Health == nil || s.Status == nil || s.Config == nil || s.Queue == nil || s.Accounts == nil || s.Refusals == nil || s.Reload == nil || s.Examine == nil {
		return errors.New("admin: Hostname, Token, Health, Status, Config, Queue, Accounts, Refusals, Reload and Examine are required")
	}
	return nil
}
