package forward

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/deliver"
	"github.com/seed-1397b510/smarthost/forward/route"
	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

// house is a forwarder between a real queue and hosts that do what a test says. Its clock is the bubble's.
type house struct {
	*testing.T
	*Forwarder
	queue *sqlitespool.Spool
	log   bytes.Buffer

	mu    sync.Mutex
	hosts map[string]host     // by name
	hops  map[string][]string // by destination: host names; without an entry the destination's name is the host's
	fault map[string]error    // of routing
	relay bool                // takes all mail, and is the host "relay"
	moved map[string]string   // destinations by address that differ from its domain
	down  map[string]bool     // hosts that cannot be reached
	tried []time.Time         // when it was asked whether a host is there
	calls []string            // "host: recipients", in order
	got   map[string]int      // copies that were taken, by recipient
	mails []taken
}

// A host answers one attempt.
type host func(ctx context.Context, m deliver.Message) ([]deliver.Result, error)

// taken is a message that a host took.
type taken struct {
	deliver.Message
	to      string
	content string
}

// newHouse opens the queue in dir; close it within the bubble.
func newHouse(t *testing.T, dir string) *house {
	h := &house{T: t, hosts: map[string]host{}, hops: map[string][]string{}, fault: map[string]error{}, down: map[string]bool{}, moved: map[string]string{}, got: map[string]int{}}
	var err error
	if h.queue, err = sqlitespool.Open(t.Context(), sqlitespool.Config{Dir: dir, History: 30 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	h.Forwarder = &Forwarder{Spool: h.queue, Router: h, Deliverer: h, Hostname: "relay.example", Log: zerolog.New(zerolog.SyncWriter(&h.log))}
	return h
}

// run forwards for that long, then stops.
func (h *house) run(d time.Duration) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), d)
	defer cancel()
	if err := h.Forwarder.Run(ctx); err != nil {
		h.Error(err)
	}
}

func (h *house) close() {
	if err := h.queue.Close(); err != nil {
		h.Error(err)
	}
}

const content = "Subject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nbody\r\n"

// add queues a message from alice, or as change says.
func (h *house) add(change func(*spool.Envelope), to ...string) string {
	h.Helper()
	e := &spool.Envelope{ID: spool.NewID(), From: "alice@from.example"}
	for _, address := range to {
		e.Recipients = append(e.Recipients, spool.Recipient{Address: address, Destination: h.Destination(address)})
	}
	if change != nil {
		change(e)
	}
	d, err := h.queue.Create(h.Context(), e)
	if err != nil {
		h.Fatal(err)
	}
	if _, err := io.WriteString(d, content); err != nil {
		h.Fatal(err)
	}
	if err := d.Commit(h.Context(), spool.Seal{Arrived: time.Now()}); err != nil {
		h.Fatal(err)
	}
	return e.ID
}

// by is for add: from an account.
func by(account string) func(*spool.Envelope) {
	return func(e *spool.Envelope) {
		e.Account, e.From = account, strings.ReplaceAll(account, " ", "")+"@from.example"
	}
}

func (h *house) Destination(address string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.relay {
		return route.RelayDestination
	}
	if d, ok := h.moved[address]; ok {
		return d
	}
	return address[strings.LastIndexByte(address, '@')+1:]
}

func (h *house) Hops(_ context.Context, destination string) ([]route.Hop, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	names, ok := h.hops[destination]
	if !ok {
		names = []string{destination}
	}
	var hops []route.Hop
	for _, name := range names {
		hop := route.Hop{Host: name}
		if name == route.RelayDestination {
			hop.Relay, hop.User, hop.Password = true, "smarthost", "secret"
		}
		hops = append(hops, hop)
	}
	return hops, h.fault[destination]
}

func (h *house) RelayHops(_ context.Context, relay route.Relay) ([]route.Hop, error) {
	return []route.Hop{{Host: relay.Host, Port: relay.Port, Relay: true, TLS: relay.TLS, User: relay.User, Password: relay.Password}}, nil
}

func (h *house) Deliver(ctx context.Context, hop route.Hop, m deliver.Message) ([]deliver.Result, error) {
	var to []string
	for _, r := range m.Recipients {
		to = append(to, r.Address)
	}
	h.mu.Lock()
	h.calls = append(h.calls, hop.Host+": "+strings.Join(to, " "))
	answer, down := h.hosts[hop.Host], h.down[hop.Host]
	h.mu.Unlock()
	if down {
		return nil, unreachable()
	}
	if answer == nil {
		answer = takes(250)
	}
	results, err := answer(ctx, m)
	body, openErr := m.Open(ctx)
	if openErr != nil {
		return nil, openErr
	}
	defer body.Close()
	text, readErr := io.ReadAll(body)
	if readErr != nil {
		return nil, readErr
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range results {
		if r.Reply.Code/100 == 2 {
			h.got[r.Address]++
			h.mails = append(h.mails, taken{m, r.Address, string(text)})
		}
	}
	return results, err
}

// Try reaches a host that is up.
func (h *house) Try(_ context.Context, hop route.Hop) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tried = append(h.tried, time.Now())
	if hop.User != "" || hop.Password != "" {
		h.Errorf("the login is used to ask whether %s is there", hop.Host)
	}
	if h.down[hop.Host] {
		return unreachable()
	}
	return nil
}

// asked is when it was asked whether a host is there.
func (h *house) asked() []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.tried)
}

// set takes a host down, or up again.
func (h *house) set(host string, down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down[host] = down
}

// unreachable is what is said of a host that does not answer.
func unreachable() *smtp.SMTPError {
	return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 4, 1}, Message: "connect: no answer in time"}
}

func reply(code int) smtp.SMTPError {
	return smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: fmt.Sprintf("said %d", code)}
}

// takes answers for all recipients alike.
func takes(code int) host { return each(func(string) int { return code }) }

// each answers for each recipient by itself; 0 is no answer.
func each(code func(address string) int) host {
	return func(_ context.Context, m deliver.Message) (results []deliver.Result, err error) {
		for _, r := range m.Recipients {
			if c := code(r.Address); c != 0 {
				results = append(results, deliver.Result{Address: r.Address, Hop: "a host", Reply: reply(c)})
			}
		}
		return results, nil
	}
}

// dead cannot be talked to.
func dead(context.Context, deliver.Message) ([]deliver.Result, error) {
	r := reply(451)
	return nil, &r
}

// inOrder answers each attempt with the next of the hosts; the last one stays.
func inOrder(hosts ...host) host {
	var mu sync.Mutex
	return func(ctx context.Context, m deliver.Message) ([]deliver.Result, error) {
		mu.Lock()
		now := hosts[0]
		if len(hosts) > 1 {
			hosts = hosts[1:]
		}
		mu.Unlock()
		return now(ctx, m)
	}
}

// reports are the contents of what was sent to alice.
func (h *house) reports() (all []taken) {
	for _, m := range h.mails {
		if m.to == "alice@from.example" {
			all = append(all, m)
		}
	}
	return all
}

// left lists what is in the queue: state, destination and recipients.
func (h *house) left() (all []string) {
	h.Helper()
	for e, err := range h.queue.List(h.Context(), spool.Filter{}) {
		if err != nil {
			h.Fatal(err)
		}
		var to []string
		for _, r := range e.Recipients {
			to = append(to, r.Address)
		}
		all = append(all, fmt.Sprintf("%s %s: %s", e.State, e.Destination, strings.Join(to, " ")))
	}
	return all
}

func counts(got map[string]int) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(got)) {
		all = append(all, fmt.Sprintf("%s=%d", k, got[k]))
	}
	return strings.Join(all, " ")
}
