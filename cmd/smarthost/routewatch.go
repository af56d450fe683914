package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward"
	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/route"
	"github.com/seed-1397b510/smarthost/server/admin"
)

const (
	routeFails   = 3                // failures before health says so: tries in a row at the relay; without one, destinations
	routePatient = 5 * time.Minute  // since mail was last taken, while servers answer and put off
	routesKept   = 100 * routeFails // destinations that are remembered as broken, and as many that took mail
)

// watchedRoutes stands between the Forwarder and those who find and talk to hops, and remembers whether that works. It sends nothing
// of its own: what it knows is from the mail that there was, and from the Forwarder's questions to a relay that was dead.
type watchedRoutes struct {
	*currentRouter
	forward.Deliverer

	mu     sync.Mutex
	took   map[string]bool // destinations that took mail; when there are too many, any of them is forgotten
	good   time.Time       // when a hop last took mail, or refused it for good; at first when this began
	taken  bool            // a hop has
	bad    int             // attempts since then that brought no mail on
	broken map[string]int  // of them, by destination, those at which no hop could be talked to: DNS, connection, greeting, TLS or login
}

func (w *watchedRoutes) Hops(ctx context.Context, destination string) ([]route.Hop, error) {
	hops, err := w.currentRouter.Hops(ctx, destination)
	if ctx.Err() == nil && temporary(err) {
		w.breaks(destination)
	}
	return hops, err
}

func (w *watchedRoutes) RelayHops(ctx context.Context, relay route.Relay) ([]route.Hop, error) {
	hops, err := w.currentRouter.RelayHops(ctx, relay)
	if ctx.Err() == nil && temporary(err) {
		w.breaks(net.JoinHostPort(relay.Host, strconv.Itoa(int(relay.Port))))
	}
	return hops, err
}

func (w *watchedRoutes) Deliver(ctx context.Context, hop route.Hop, m deliver.Message) ([]deliver.Result, error) {
	results, err := w.Deliverer.Deliver(ctx, hop, m)
	destination := net.JoinHostPort(hop.Host, strconv.Itoa(int(hop.Port))) // of a relay that an operator has named for some mail
	if !hop.Relay || w.isRelay(hop) {
		destination = w.Destination(m.Recipients[0].Address)
	}
	w.note(destination, results, err)
	return results, err
}

// isRelay tells of a hop that it is the relay in force.
func (w *watchedRoutes) isRelay(hop route.Hop) bool {
	relay := w.Load().Relay
	return relay != nil && relay.Host == hop.Host && relay.Port == hop.Port
}

// Try opens the way to the relay if it answers. That it does not is no news.
func (w *watchedRoutes) Try(ctx context.Context, hop route.Hop) error {
	err := w.Deliverer.Try(ctx, hop)
	if err == nil && w.isRelay(hop) {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.broken, route.RelayDestination)
	}
	return err
}

// temporary tells of a reply that puts off. Any other error is a fault of this server or the end of an attempt, and says nothing of a route.
func temporary(err error) bool {
	reply, ok := errors.AsType[*smtp.SMTPError](err)
	return ok && reply.Temporary()
}

// note counts an attempt. That a hop refuses a recipient for good (5xx) shows that the way to it is open.
func (w *watchedRoutes) note(destination string, results []deliver.Result, err error) {
	if temporary(err) {
		w.breaks(destination)
		return
	}
	works := false
	for _, r := range results {
		works = works || r.Reply.Code/100 == 2 || r.Reply.Code/100 == 5 && err == nil && !r.Unfit
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case works:
		w.good, w.taken, w.bad, w.broken = time.Now(), true, 0, nil
		w.takes(destination)
	case len(results) > 0: // it answers, and puts off
		w.bad++
		delete(w.broken, destination)
	}
}

// takes remembers a destination that took mail.
func (w *watchedRoutes) takes(destination string) {
	if w.took == nil {
		w.took = map[string]bool{}
	}
	w.took[destination] = true
	if len(w.took) <= routesKept {
		return
	}
	for other := range w.took {
		if other != destination {
			delete(w.took, other)
			return
		}
	}
}

// lost tells whether destinations that are broken say something of all: one of them took mail before, or nothing ever did since the start.
// Others may be slips in a domain, of which there can be some for days.
func (w *watchedRoutes) lost() bool {
	for destination := range w.broken {
		if w.took[destination] {
			return true
		}
	}
	return !w.taken
}

// breaks counts an attempt that found nobody to talk to.
func (w *watchedRoutes) breaks(destination string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad++
	if w.broken == nil {
		w.broken = map[string]int{}
	}
	if _, known := w.broken[destination]; known || len(w.broken) < routesKept {
		w.broken[destination]++
	}
}

// use puts a router in force. A relay that was not tried yet is not blamed for what another one did.
func (w *watchedRoutes) use(r *route.Router) {
	old := w.Swap(r)
	if old == nil || old.Relay == r.Relay || old.Relay != nil && r.Relay != nil && *old.Relay == *r.Relay {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad, w.broken = 0, nil
}

// check judges what was noted. Where no mail waits, nothing is known of today, and nothing is missing. With a relay there is one route,
// and a few tries tell; without one a destination that is dead says nothing about the others, and a few of them have to be,
// of which one is known to have been alive.
func (w *watchedRoutes) check(waits bool) (admin.State, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	since := "mail was last taken at " + w.good.UTC().Format("2006-01-02 15:04 UTC")
	if !w.taken {
		since = "nothing has been delivered yet"
	}
	relay := w.Load().Relay != nil
	switch tries := w.broken[route.RelayDestination]; {
	case !waits:
		return admin.OK, since
	case relay && tries >= routeFails:
		return admin.Failed, fmt.Sprintf("%s, and %d attempts in a row found no way to the relay (DNS, connection, greeting, TLS or login); mail is taken and waits, smarthost queue says why", since, tries)
	case !relay && len(w.broken) >= routeFails && w.lost():
		return admin.Failed, fmt.Sprintf("%s, and since then no mail server could be talked to for any of %d destinations (DNS, connection, greeting or TLS); mail is taken and waits, smarthost queue says why", since, len(w.broken))
	case w.bad >= routeFails && time.Since(w.good) >= routePatient:
		return admin.Degraded, fmt.Sprintf("%s, and %d attempts since then brought nothing on; smarthost queue says why", since, w.bad)
	}
	return admin.OK, since
}
