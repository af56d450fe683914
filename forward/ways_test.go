package forward

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/spool"
)

// When a relay is back, the mail that waited because nobody could reach it goes within about a minute, however far its retry was away,
// and no more of it at once than a destination may have. What the relay itself has put off keeps its retries.
func TestRelayIsBack(t *testing.T) {
	inHouse(t, func(h *house) {
		h.relay = true
		h.hosts["relay"] = takes(450)
		h.add(nil, "put-off@x.example")
		stop := h.start()
		defer stop()
		time.Sleep(90 * time.Minute) // the bubble's clock; the next retry is half an hour away
		if len(h.asked()) != 0 {
			h.Errorf("a relay that answers was asked %d times whether it is there", len(h.asked()))
		}
		g := newGate(takes(250))
		h.mu.Lock()
		h.hosts["relay"], h.down["relay"] = g.host, true
		h.mu.Unlock()
		for i := range 500 {
			h.add(by(fmt.Sprint("account ", i)), "bob@x.example")
		}
		time.Sleep(25 * time.Minute)
		if n := len(h.asked()); n < 20 || n > 32 {
			h.Errorf("a dead relay was asked %d times in 25 minutes", n)
		}
		if asked := h.asked(); len(asked) < 2 {
			h.Fatal("not asked twice")
		} else if wait := asked[1].Sub(asked[0]); wait < 20*time.Second || wait > 40*time.Second {
			h.Errorf("%v between the first two questions", wait)
		}
		same(h, "states", map[spool.State]int{spool.Waiting: 501}, h.states())

		h.set("relay", false)
		time.Sleep(70 * time.Second)
		soon()
		if g.most != 10 {
			h.Errorf("%d are tried at once", g.most)
		}
		close(g.open)
		soon()
		if left := h.left(); len(left) != 1 || !strings.Contains(left[0], "put-off") || h.got["bob@x.example"] != 500 {
			h.Errorf("left are %v; %d were delivered", left, h.got["bob@x.example"])
		}
		before := len(h.asked())
		time.Sleep(time.Hour)
		if len(h.asked()) != before {
			h.Error("a relay that is back is asked whether it is there")
		}
		story, err := h.queue.Trace(h.Context(), "bob@x.example", 1)
		if err != nil || len(story) != 1 || len(story[0].Orders) != 1 || story[0].Orders[0].By != "this server, as the way is open again" {
			h.Errorf("the story is %+v, %v", story, err)
		}
	})
}

// A relay that comes back while this server is down is asked when it starts, if mail waits for it.
func TestRelayIsBackAfterARestart(t *testing.T) {
	inHouse(t, func(h *house) {
		h.relay = true
		h.set("relay", true)
		h.run(time.Second)
		if len(h.asked()) != 0 {
			h.Error("the relay is asked though no mail waits")
		}
		h.add(nil, "bob@x.example")
		h.run(3 * time.Hour)
		h.set("relay", false)
		start := time.Now()
		h.run(2 * time.Second)
		same(h, "left", nil, h.left())
		if asked := h.asked(); len(asked) == 0 || asked[len(asked)-1].Sub(start) > time.Second {
			h.Error("the relay was not asked at once")
		}
	})
}

// Nobody is asked for mail that an operator has taken out.
func TestRelayIsNotAskedForNothing(t *testing.T) {
	inHouse(t, func(h *house) {
		h.relay = true
		h.set("relay", true)
		h.add(nil, "bob@x.example")
		stop := h.start()
		defer stop()
		time.Sleep(10 * time.Minute)
		if _, err := h.queue.Change(h.Context(), spool.Order{Verb: spool.Remove}, nil); err != nil {
			h.Fatal(err)
		}
		before := len(h.asked())
		time.Sleep(time.Hour)
		if before == 0 || len(h.asked()) != before {
			h.Errorf("asked %d times before the mail went, %d after", before, len(h.asked())-before)
		}
	})
}

// Mail that waited for MX hosts goes when there is a relay and it answers.
func TestRelayTakesWhatWaitedForMXHosts(t *testing.T) {
	inHouse(t, func(h *house) {
		relay := func(set bool) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.relay = set
		}
		relay(true)
		stop := h.start()
		defer stop()
		h.add(nil, "alice@y.example")
		soon()
		relay(false)
		h.set("x.example", true)
		h.add(nil, "bob@x.example")
		time.Sleep(90 * time.Minute)
		same(h, "copies", "alice@y.example=1", counts(h.got))
		relay(true)
		h.add(nil, "carol@y.example")
		soon()
		same(h, "left", nil, h.left())
	})
}

// Without a relay nobody is asked: mail that gets through to a destination again takes with it what waited because nobody could be
// reached there, and nothing else.
func TestDestinationIsBack(t *testing.T) {
	inHouse(t, func(h *house) {
		for _, host := range []string{"x.example", "y.example"} {
			h.set(host, true)
		}
		h.hosts["x.example"] = each(func(address string) int {
			if strings.HasPrefix(address, "put-off") {
				return 450
			}
			return 250
		})
		stop := h.start()
		defer stop()
		for range 20 {
			h.add(nil, "bob@x.example")
		}
		h.add(nil, "bob@y.example")
		rerouted := h.add(nil, "rerouted@x.example")
		if _, err := h.queue.Change(h.Context(), spool.Order{Verb: spool.Reroute, Relay: "smtp://y.example", Filter: spool.Filter{IDs: []string{rerouted}}}, nil); err != nil {
			h.Fatal(err)
		}
		time.Sleep(90 * time.Minute)
		h.set("x.example", false)
		h.add(nil, "put-off@x.example") // that it is put off shows that the way is open
		time.Sleep(time.Second)
		soon()
		if got := counts(h.got); got != "bob@x.example=20" {
			h.Errorf("delivered: %s", got)
		}
		same(h, "states", map[spool.State]int{spool.Waiting: 3}, h.states())
		if len(h.asked()) != 0 {
			h.Error("an MX host is asked whether it is there")
		}
	})
}

// ordering counts the orders for a queue.
type ordering struct {
	Spool
	orders atomic.Int64
}

func (c *ordering) Change(ctx context.Context, o spool.Order, progress func(spool.Outcome)) (spool.Outcome, error) {
	c.orders.Add(1)
	return c.Spool.Change(ctx, o, progress)
}

// A way that opens and closes all the time does not have the queue gone through all the time.
func TestFlakyDestination(t *testing.T) {
	inHouse(t, func(h *house) {
		c := &ordering{Spool: h.queue}
		h.Forwarder.Spool = c
		var n atomic.Int64
		h.hosts["x.example"] = func(ctx context.Context, m deliver.Message) ([]deliver.Result, error) {
			if n.Add(1)%2 == 0 {
				return nil, unreachable()
			}
			return takes(250)(ctx, m)
		}
		stop := h.start()
		defer stop()
		for range 600 {
			h.add(nil, "bob@x.example")
			time.Sleep(time.Second)
		}
		if got := c.orders.Load(); got < 3 || got > 5 { // after 1, 2, 4, 8 minutes of rest
			h.Errorf("the queue was gone through %d times in ten minutes", got)
		}
	})
}
