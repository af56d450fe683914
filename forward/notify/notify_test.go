package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/forward/spool"
	"github.com/seed-1397b510/smarthost/forward/spool/sqlitespool"
)

// desk is a notifier between a real queue and a listener that does what a test says. Its clock is the bubble's.
type desk struct {
	*testing.T
	Notifier
	dir      string
	queue    *sqlitespool.Spool
	registry *prometheus.Registry
	log      bytes.Buffer

	mu     sync.Mutex
	answer func(e spool.Event) int // nil: 204
	posts  []string                // all bodies, in their order
	taken  []spool.Event
}

func newDesk(t *testing.T) *desk {
	d := &desk{T: t, dir: t.TempDir()}
	d.open()
	return d
}

func (d *desk) open() {
	d.Helper()
	d.registry = prometheus.NewRegistry()
	d.Notifier = Notifier{Metrics: d.registry, Hooks: Hooks{{Name: "hook", URL: "https://hook.example/in?token=hidden7", Secret: []byte("key")}}, Log: zerolog.New(zerolog.SyncWriter(&d.log))}
	var err error
	if d.queue, err = sqlitespool.Open(d.Context(), sqlitespool.Config{Dir: d.dir, Listeners: d.Hooks, Log: d.Log}); err != nil {
		d.Fatal(err)
	}
	d.Outbox = d.queue
}

func (d *desk) close() {
	if err := d.queue.Close(); err != nil {
		d.Error(err)
	}
}

// RoundTrip is the listener.
func (d *desk) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var e spool.Event
	if err := json.Unmarshal(body, &e); err != nil {
		d.Error(err)
	}
	d.mu.Lock()
	answer := d.answer
	d.mu.Unlock()
	code := http.StatusNoContent
	if answer != nil {
		code = answer(e)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.posts = append(d.posts, string(body))
	if code == 0 {
		return nil, errors.New("connection reset")
	}
	if code/100 == 2 {
		d.taken = append(d.taken, e)
	}
	return &http.Response{StatusCode: code, Body: http.NoBody}, nil
}

// run tells events for that long.
func (d *desk) run(after time.Duration) {
	ctx, cancel := context.WithTimeout(d.Context(), after)
	defer cancel()
	d.Prepare()
	d.serve(ctx, &d.Hooks[0], &http.Client{Transport: d})
}

// add queues a message.
func (d *desk) add(to ...string) string {
	d.Helper()
	e := &spool.Envelope{ID: spool.NewID(), Session: "s1", Account: "alice", Device: "laptop", From: "alice@from.example"}
	for _, address := range to {
		e.Recipients = append(e.Recipients, spool.Recipient{Address: address, Destination: address[strings.LastIndexByte(address, '@')+1:]})
	}
	draft, err := d.queue.Create(d.Context(), e)
	if err != nil {
		d.Fatal(err)
	}
	if _, err := io.WriteString(draft, "Subject: private7\r\n\r\nprivate7\r\n"); err != nil {
		d.Fatal(err)
	}
	if err := draft.Commit(d.Context(), spool.Seal{Arrived: time.Now(), MessageID: "<m1@from.example>"}); err != nil {
		d.Fatal(err)
	}
	return e.ID
}

// settle gives all recipients of all that is due this reply.
func (d *desk) settle(code int) {
	d.Helper()
	all, err := d.queue.Claim(d.Context(), spool.Query{Max: 100, Lease: time.Minute})
	if err != nil {
		d.Fatal(err)
	}
	for _, delivery := range all {
		s := spool.Settlement{Delivery: delivery, Next: time.Now().Add(time.Hour)}
		for _, r := range delivery.Recipients {
			s.Results = append(s.Results, spool.Result{Address: r.Address, Hop: "mx.example", Reply: smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "said so"}})
		}
		if err := d.queue.Settle(d.Context(), s); err != nil {
			d.Fatal(err)
		}
	}
}

// told is what was taken, as "type recipient".
func (d *desk) told() (words []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.taken {
		words = append(words, string(e.Type)+" "+e.Recipient)
	}
	return words
}

// counted is how many attempts ended like that.
func (d *desk) counted(result string) (n float64) {
	d.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		d.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == result { // labels come in the order of their names
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func (d *desk) posted() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.posts)
}

func TestEventsOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		begin := time.Now().UTC()
		id := d.add("bob@a.example")
		d.settle(450)
		d.run(time.Second)
		time.Sleep(time.Hour) // the bubble's clock
		d.settle(250)
		d.run(time.Second)
		next := begin.Add(time.Hour)
		common := spool.Event{Version: 1, Message: id, MessageID: "m1@from.example", Session: "s1", Account: "alice", Device: "laptop",
			Sender: "alice@from.example", Recipient: "bob@a.example", Destination: "a.example"}
		want := []spool.Event{common, common, common}
		want[0].Type, want[0].At = spool.EventQueued, begin
		want[1].Type, want[1].At, want[1].Attempt, want[1].Hop, want[1].Code, want[1].Enhanced, want[1].Reply, want[1].Next = spool.EventDeferred, begin, 1, "mx.example", 450, "4.0.0", "said so", &next
		want[2].Type, want[2].At, want[2].Attempt, want[2].Hop, want[2].Code, want[2].Enhanced, want[2].Reply = spool.EventDelivered, begin.Add(time.Hour+time.Second), 2, "mx.example", 250, "2.0.0", "said so"
		ids := map[string]bool{}
		for i := range d.taken {
			ids[d.taken[i].ID], d.taken[i].ID = true, ""
		}
		if diff := cmp.Diff(want, d.taken); diff != "" || len(ids) != 3 {
			t.Errorf("%d ids; events (-want +got):\n%s", len(ids), diff)
		}
		for _, body := range d.posts {
			if strings.Contains(body, "private7") {
				t.Errorf("content in %s", body)
			}
		}
	})
}

// A listener that does not take one message's event hears nothing more of that message, and all of others; later it hears the same again, in its order.
func TestOrderAndRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		broken := true
		d.answer = func(e spool.Event) int {
			d.mu.Lock()
			defer d.mu.Unlock()
			if broken && e.Recipient == "bad@a.example" {
				return 500
			}
			return 200
		}
		d.add("bad@a.example")
		d.add("good@b.example")
		d.settle(250)
		d.run(time.Hour)
		if diff := cmp.Diff([]string{"queued good@b.example", "delivered good@b.example"}, d.told()); diff != "" {
			t.Fatalf("while one message's events are refused (-want +got):\n%s", diff)
		}
		posts := d.posted()
		if posts < 6 || posts > 9 {
			t.Errorf("%d POSTs in the hour; the waits are 10 s, 1 min, 5 min, 15 min, 1 h", posts)
		}
		d.mu.Lock()
		broken = false
		d.mu.Unlock()
		d.run(2 * time.Hour)
		if diff := cmp.Diff([]string{"queued bad@a.example", "delivered bad@a.example"}, d.told()[2:]); diff != "" {
			t.Errorf("afterwards (-want +got):\n%s", diff)
		}
		bodies := map[string]int{}
		for _, body := range d.posts {
			if strings.Contains(body, `"queued"`) && strings.Contains(body, "bad@") {
				bodies[body]++
			}
		}
		if len(bodies) != 1 {
			t.Errorf("one event was told in %d ways: %v", len(bodies), bodies)
		}
	})
}

// After three days an event is given up, and the log says so; a listener that is down is not overrun.
func TestGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.answer = func(spool.Event) int { return 0 }
		d.add("bob@a.example")
		d.run(71 * time.Hour)
		if posts := d.posted(); posts < 20 || posts > 40 {
			t.Errorf("%d POSTs in three days", posts)
		}
		if strings.Contains(d.log.String(), "given up") {
			t.Error("an event is given up before its time")
		}
		if all := d.Troubles(); len(all) != 1 || time.Since(all[0].Since) != 71*time.Hour || !all[0].GivenUp.IsZero() {
			t.Errorf("troubles %+v", all)
		}
		d.run(5 * time.Hour)
		if all := d.Troubles(); len(all) != 1 || all[0].GivenUp.IsZero() {
			t.Errorf("troubles after an event was given up: %+v", all)
		}
		if n := d.counted(attemptFailed); int(n) != d.posted()-1 {
			t.Errorf("%v attempts failed, of %d POSTs the last of which was given up", n, d.posted())
		}
		if n := d.counted(attemptGivenUp); n != 1 {
			t.Errorf("%v events are given up", n)
		}
		if n := strings.Count(d.log.String(), "an event is given up"); n != 1 {
			t.Errorf("%d events are given up, want 1:\n%s", n, d.log.String())
		}
		if strings.Contains(d.log.String(), "hidden7") {
			t.Errorf("the log shows the URL:\n%s", d.log.String())
		}
		posts := d.posted()
		d.run(48 * time.Hour)
		if d.posted() != posts {
			t.Error("what was given up is told again")
		}
		d.answer = nil
		d.add("carol@a.example")
		d.run(time.Second)
		if all := d.Troubles(); len(all) != 1 || !all[0].Since.IsZero() || d.counted(attemptTold) != 1 {
			t.Errorf("troubles of a webhook that takes events again: %+v", all)
		}
	})
}

// When the program ends between the listener's yes and the note of it, the next one tells the same event with the same id.
func TestRestartInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.add("bob@a.example")
		d.answer = func(spool.Event) int {
			d.close() // the queue is gone before it can be written down
			return 200
		}
		d.run(time.Second)
		d.open()
		defer d.close()
		d.answer = nil
		d.run(time.Second)
		d.settle(250)
		d.run(time.Second)
		if diff := cmp.Diff([]string{"queued bob@a.example", "queued bob@a.example", "delivered bob@a.example"}, d.told()); diff != "" || d.taken[0].ID != d.taken[1].ID || d.taken[0].ID == "" {
			t.Errorf("ids %q and %q; told (-want +got):\n%s", d.taken[0].ID, d.taken[1].ID, diff)
		}
	})
}

// One hundred recipients are told of, eight POSTs at a time at most, without a wait for the clock.
func TestManyMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		var mu sync.Mutex
		now, most := 0, 0
		d.answer = func(spool.Event) int {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(10 * time.Millisecond) // the bubble's clock
			mu.Lock()
			now--
			mu.Unlock()
			return 200
		}
		var want []string
		for i := range 100 {
			to := fmt.Sprintf("r%d@a.example", i)
			d.add(to)
			want = append(want, "queued "+to)
		}
		d.run(time.Second)
		got := d.told()
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" || most != together {
			t.Errorf("%d at a time, want %d; (-want +got):\n%s", most, together, diff)
		}
	})
}
