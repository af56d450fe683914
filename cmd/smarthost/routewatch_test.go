package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/route"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// upstream is the world behind the routes: what it says to every attempt.
type upstream struct {
	results []deliver.Result
	err     error
}

func (u *upstream) Deliver(context.Context, route.Hop, deliver.Message) ([]deliver.Result, error) {
	return u.results, u.err
}

func (u *upstream) Try(context.Context, route.Hop) error { return u.err }

// deaf is a DNS that does not answer.
type deaf struct{}

func (deaf) LookupMX(context.Context, string) ([]*net.MX, error) { return nil, errors.New("deaf") }

func (deaf) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("deaf")
}

var (
	works    = upstream{results: []deliver.Result{{Reply: smtp.SMTPError{Code: 250}}}}
	refuses  = upstream{results: []deliver.Result{{Reply: smtp.SMTPError{Code: 550}}}}
	putsOff  = upstream{results: []deliver.Result{{Reply: smtp.SMTPError{Code: 451}}}}
	unfit    = upstream{results: []deliver.Result{{Reply: smtp.SMTPError{Code: 550}, Unfit: true}}}
	silent   = upstream{err: &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 4, 1}, Message: "no connection"}}
	brokeOff = upstream{err: context.Canceled}
)

type watched struct {
	*watchedRoutes
	t *testing.T
}

func watchRoutes(t *testing.T, relay *route.Relay) *watched {
	w := &watched{&watchedRoutes{currentRouter: new(currentRouter), good: time.Now()}, t}
	w.use(&route.Router{Relay: relay, Resolver: deaf{}})
	return w
}

// try makes an attempt at a domain, by the relay if there is one.
func (w *watched) try(u upstream, domain string) {
	hop := route.Hop{Host: "mx." + domain, Port: 25}
	if relay := w.Load().Relay; relay != nil {
		hop = route.Hop{Host: relay.Host, Port: relay.Port, Relay: true}
	}
	w.attempt(u, hop, domain)
}

func (w *watched) attempt(u upstream, hop route.Hop, domain string) {
	w.Deliverer = &u
	w.Deliver(w.t.Context(), hop, deliver.Message{Recipients: []deliver.Recipient{{Address: "bob@" + domain}}})
}

func (w *watched) is(when string, want admin.State) {
	w.t.Helper()
	if state, why := w.check(true); state != want {
		w.t.Errorf("%s: %s, %s; want %s", when, state, why, want)
	}
	if state, why := w.check(false); state != admin.OK {
		w.t.Errorf("%s, when no mail waits: %s, %s", when, state, why)
	}
}

// With a relay a few tries tell, and the next that goes well does.
func TestRelayThatIsBroken(t *testing.T) {
	first, second := &route.Relay{Host: "relay.example", Port: 587}, &route.Relay{Host: "relay.example", Port: 587, Password: "other"}
	w := watchRoutes(t, first)
	w.is("at first", admin.OK)
	for _, u := range []upstream{silent, silent, brokeOff} {
		w.try(u, "a.example")
	}
	w.is("after two tries and one that was broken off here", admin.OK)
	w.try(silent, "b.example")
	w.is("after three, of whatever mail", admin.Failed)
	if _, why := w.check(true); !strings.Contains(why, "3 attempts in a row") || strings.Contains(why, "relay.example") {
		t.Error(why)
	}
	w.try(brokeOff, "a.example")
	w.is("after one that was broken off", admin.Failed)
	w.try(works, "a.example")
	w.is("when mail is taken", admin.OK)

	for range routeFails {
		if _, err := w.Hops(t.Context(), route.RelayDestination); err == nil {
			t.Fatal("the deaf DNS answers")
		}
	}
	w.is("when DNS does not know the relay", admin.Failed)
	w.try(refuses, "a.example")
	w.is("when a recipient is refused, which shows that the way is open", admin.OK)

	for range routeFails {
		w.try(silent, "a.example")
	}
	w.use(&route.Router{Relay: &route.Relay{Host: "relay.example", Port: 587}})
	w.is("when the config was read again", admin.Failed)
	w.use(&route.Router{Relay: second})
	w.is("when it has another password", admin.OK)

	for range routeFails {
		w.attempt(silent, route.Hop{Host: "other.example", Port: 25, Relay: true}, "a.example")
		w.RelayHops(t.Context(), route.Relay{Host: "relay", Port: 25})
	}
	w.is("when a relay that an operator named for some mail is dead", admin.OK)
	for range routeFails {
		w.try(silent, "a.example")
	}
	w.try(putsOff, "a.example")
	w.is("when it answers again and puts off", admin.OK)
}

// A relay that answers when it is asked is no longer blamed, and one that does not is not blamed more.
func TestRelayThatIsAsked(t *testing.T) {
	relay := &route.Relay{Host: "relay.example", Port: 587}
	w := watchRoutes(t, relay)
	hop, other := route.Hop{Host: relay.Host, Port: relay.Port, Relay: true}, route.Hop{Host: "other.example", Port: 25, Relay: true}
	w.try(silent, "a.example")
	for range routeFails {
		w.Try(t.Context(), hop)
	}
	w.is("after one try, and questions without an answer", admin.OK)
	for range routeFails {
		w.try(silent, "a.example")
	}
	w.Deliverer = &works
	w.Try(t.Context(), other)
	w.is("when another relay answers", admin.Failed)
	w.Try(t.Context(), hop)
	w.is("when the relay answers", admin.OK)
}

// Without a relay a dead destination says nothing about the others.
func TestDestinationsThatAreBroken(t *testing.T) {
	w := watchRoutes(t, nil)
	for range 100 {
		w.try(silent, "dead.example")
	}
	w.Hops(t.Context(), "deaf.example")
	w.is("with two dead destinations", admin.OK)
	w.try(silent, "third.example")
	w.is("with three, and nothing that works", admin.Failed)
	w.try(putsOff, "third.example")
	w.is("when one answers", admin.OK)
	w.try(silent, "third.example")
	w.is("when it is dead again", admin.Failed)
	w.try(works, "good.example")
	w.is("when mail is taken anywhere", admin.OK)
	for range 2 {
		w.try(silent, "dead.example")
		w.try(silent, "third.example")
	}
	w.is("when the dead ones are tried again", admin.OK)
	for i := range 2 * routesKept {
		w.try(silent, strings.Repeat("x", i%50+1)+".example")
		w.breaks(strings.Repeat("y", i+1))
	}
	if len(w.broken) > routesKept {
		t.Errorf("%d destinations are remembered", len(w.broken))
	}
}

// A few addresses with a slip in the domain are dead for days, and no reason to call the server ill: none of them ever took mail.
func TestDestinationsThatNeverWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchRoutes(t, nil)
		w.try(works, "good.example")
		for i := range 2 * routeFails {
			w.try(silent, strings.Repeat("x", i+1)+".example")
		}
		w.is("at first", admin.OK)
		time.Sleep(6 * time.Minute)
		w.is("after a while", admin.Degraded)
		w.try(silent, "good.example")
		w.is("when one that took mail is dead too", admin.Failed)
		w.try(works, "good.example")
		w.is("when it takes mail again", admin.OK)
		for i := range 2 * routesKept {
			w.try(works, strings.Repeat("z", i+1)+".example")
		}
		if len(w.took) > routesKept {
			t.Errorf("%d destinations are remembered", len(w.took))
		}
	})
}

// Servers that answer, and take nothing for a while, are for somebody to look at.
func TestRoutesThatPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchRoutes(t, &route.Relay{Host: "relay.example", Port: 587})
		for range 5 {
			w.try(putsOff, "a.example")
		}
		w.is("within a minute", admin.OK)
		time.Sleep(6 * time.Minute)
		w.is("after a while", admin.Degraded)
		w.try(works, "a.example")
		time.Sleep(time.Hour)
		w.is("when there was nothing to do", admin.OK)
		for range routeFails {
			w.is("before the third that lacks what the mail needs", admin.OK)
			w.try(unfit, "a.example")
		}
		w.is("after it", admin.Degraded)
	})
}
