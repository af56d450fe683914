//go:build e2e

package pages

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/rs/zerolog"

	"github.com/seed-1397b510/smarthost/e2e/browser"
	"github.com/seed-1397b510/smarthost/e2e/lab"
	"github.com/seed-1397b510/smarthost/server/admin"
)

// A world is what the pages tell about, where a real server cannot be brought to it within a test.
type world struct {
	admin.Queue // what no page asks for

	status  admin.Status
	config  admin.ConfigInForce
	entries func(after, limit int) []admin.Entry
	stories []admin.Story
	users   []admin.User
	found   []admin.Finding
}

func (w *world) List(_ context.Context, _ admin.Filter, after string, limit int) (admin.QueuePage, error) {
	n, _ := strconv.Atoi(after)
	page := admin.QueuePage{Entries: w.entries(n, limit)}
	if n+len(page.Entries) < w.status.Queue.Messages {
		page.Next = strconv.Itoa(n + len(page.Entries))
	}
	return page, nil
}

func (w *world) Change(context.Context, admin.Order, func(admin.Outcome)) (admin.Outcome, error) {
	return admin.Outcome{Changed: w.status.Queue.Messages, Leased: 3, Skipped: 1}, nil
}

func (w *world) Trace(context.Context, string, int) ([]admin.Story, error)  { return w.stories, nil }
func (w *world) Users(context.Context, string) ([]admin.User, error)        { return w.users, nil }
func (w *world) AddDevice(context.Context, admin.NewDevice) (string, error) { return "", nil }
func (w *world) RevokeDevice(context.Context, string, string) error         { return nil }
func (w *world) Status(context.Context) (admin.Status, error)               { return w.status, nil }
func (w *world) Config(context.Context) (admin.ConfigInForce, error)        { return w.config, nil }
func (w *world) examine(_ context.Context, found func(admin.Finding), _ func(string)) error {
	for _, f := range w.found {
		found(f)
	}
	return nil
}

// serve shows the world, examined, to anybody, until the test ends; it returns the URL.
func (w *world) serve(t *testing.T, health []admin.Result, refusals ...admin.Refusal) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	lab.Check(t, err)
	s := &admin.Server{Hostname: "mx.example.org", Token: func(string) (admin.Caller, error) { return admin.Caller{}, admin.ErrToken },
		Health: &admin.Health{}, Status: w.Status, Config: w.Config, Queue: w, Accounts: w, Refusals: new(admin.Refusals),
		Reload: func(context.Context) error { return nil }, Examine: w.examine, Log: zerolog.Nop()}
	for _, r := range health {
		s.Health.Checks = append(s.Health.Checks, admin.Check{Name: r.Name, Look: func(context.Context) (admin.State, string) { return r.State, r.Why }})
	}
	for _, r := range refusals {
		s.Refusals.Add(r)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, []admin.Door{{Listener: l, Trusted: true}}) }()
	t.Cleanup(func() {
		stop()
		lab.Check(t, <-ended)
	})
	base := "http://" + l.Addr().String()
	response, err := http.Post(base+"/api/v1/doctor", "", nil)
	lab.Check(t, err)
	response.Body.Close()
	lab.Await(t, "the end of the examination", patience, func() bool {
		response, err := http.Get(base + "/api/v1/doctor")
		lab.Check(t, err)
		defer response.Body.Close()
		var x admin.Examination
		lab.Check(t, json.NewDecoder(response.Body).Decode(&x))
		return x.Ended != nil
	})
	return base
}

// lookAt looks at pages in every way.
func lookAt(t *testing.T, chromium context.Context, name, base string, paths ...string) {
	t.Helper()
	for _, l := range []browser.Look{{Width: 320, Scripts: true, Scheme: "light"}, {Width: 320, Scripts: false, Scheme: "dark"}, {Width: 1280, Scripts: false, Scheme: "light"}, {Width: 1280, Scripts: true, Scheme: "dark"}} {
		t.Run(name+"-"+l.String(), func(t *testing.T) {
			b := open(t, chromium, l)
			for _, path := range paths {
				b.Run(t, chromedp.Navigate(base+path), chromedp.WaitVisible(chromedp.CSS("main")))
				b.Check(t, path)
				b.Picture(t, name+path)
			}
		})
	}
}

var everyPage = []string{"/now", "/refusals", "/queue", "/queue/order?do=drop", "/trace?of=x", "/users", "/config", "/doctor"}

// A server on its first day: nothing waits, there is no account and no certificate, nobody was refused anything.
func TestNothing(t *testing.T) {
	w := &world{entries: func(int, int) []admin.Entry { return nil }, status: admin.Status{Version: "1.0.0", Hostname: "mx.example.org", Started: time.Now()}}
	health := []admin.Result{{Name: "certificate", State: admin.Failed, Why: "there is none yet; clients are told to come back later"},
		{Name: "accounts", State: admin.Degraded, Why: "there are none, and nobody can log in: smarthost user add NAME"}, {Name: "config", State: admin.OK, Why: "in force"}}
	lookAt(t, browser.Start(t), "nothing", w.serve(t, health), append(everyPage, "/users?user=nobody", "/config?search=nothing", "/refusals?search=nothing")...)
}

// badNight is a world with a hundred thousand mails that wait, and its health.
func badNight() (*world, []admin.Result) {
	const all = 100_000
	now := time.Now()
	oldest, next := now.Add(-50*time.Hour), now.Add(20*time.Minute)
	w := &world{entries: func(after, limit int) (list []admin.Entry) {
		for n := after; n < min(after+limit, all); n++ {
			list = append(list, admin.Entry{ID: fmt.Sprintf("06h0w%08d", n), State: []string{"waiting", "held", "damaged", "leased", "queued"}[n%5], Arrived: now.Add(-time.Duration(n) * time.Second), Size: 34_567,
				Account: "alice", Device: "laptop", From: "alice@example.org", Destination: "example.net", Attempts: n % 30, Next: &next,
				Recipients: []admin.Recipient{{Address: "bob@example.net", Hop: "mx1.example.net", Reply: "451 4.7.1 Greylisted, see https://postgrey.example/help"}}})
		}
		return list
	}}
	w.status = admin.Status{Version: "1.0.0", Hostname: "mx.example.org", Started: now.Add(-90 * time.Hour), Connections: admin.ConnectionsInUse{Now: 18_412, Most: 20_000},
		Config:      admin.ConfigSummary{Doors: []string{"[::]:587 (STARTTLS)", "[::]:465 (TLS)"}},
		Queue:       admin.QueueSize{Messages: all, Bytes: 3_456_700_000, Oldest: &oldest, ByState: map[string]int{"waiting": all - 1234, "held": 1200, "damaged": 34}},
		Certificate: admin.CertificateInForce{Names: []string{"mx.example.org", "smtp.example.org"}, Issuer: "CN=R11,O=Let's Encrypt,C=US", Expires: now.Add(-3 * time.Hour)},
		Limits: []admin.LimitInUse{{Account: "alice", Class: "default", Messages: admin.Use{Used: 200, Of: 200, Per: "1h"}, Recipients: admin.Use{Used: 812, Of: 1000}, Bytes: admin.Use{Used: 123_456_789, Of: 524_288_000}},
			{Account: "printers/second-floor", Class: "bulk", Messages: admin.Use{Used: 12, Of: 5000}, Recipients: admin.Use{Used: 12}, Bytes: admin.Use{Used: 4_000}}}}
	health := []admin.Result{{Name: "listeners", State: admin.OK, Why: "all of them greet"}, {Name: "connections", State: admin.OK, Why: "18412 of 20000"},
		{Name: "spool", State: admin.Failed, Why: "the queue's folder cannot be written: open /var/lib/smarthost/queue/health: read-only file system"},
		{Name: "volume", State: admin.OK, Why: "ext4"}, {Name: "space", State: admin.Degraded, Why: "311 MiB are free; below 64 MiB no mail is taken"},
		{Name: "certificate", State: admin.Failed, Why: "it expired at 2026-11-24 12:22 UTC"}, {Name: "accounts", State: admin.OK, Why: "loaded"},
		{Name: "config", State: admin.Degraded, Why: "the last reload found it wrong, and the one before goes on; smarthost config check says what is wrong"},
		{Name: "routes", State: admin.Degraded, Why: "no mail server has taken mail since 2026-11-24 02:11 UTC, and 4711 attempts failed; smarthost queue says why"}}
	w.users = []admin.User{{Name: "alice", Devices: []admin.Device{{Senders: []string{"alice@example.org", "*@lists.example.org"}, LastSeen: &admin.Sighting{At: now.Add(-time.Minute), Address: netip.MustParseAddr("2001:db8::7"), Hello: "laptop.example.org"}},
		{Device: "laptop", Expired: true, Expires: &oldest, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}}}}, {Name: "printers", Devices: []admin.Device{{Device: "second-floor", Class: "bulk", OwnLimits: true}}}}
	w.stories = []admin.Story{{ID: "06h0w00000001", MessageID: "20261124031500.GA1234@laptop.example.org", Session: "35sw2uq4mqrd", Account: "alice", Device: "laptop", From: "alice@example.org", Arrived: oldest, Size: 34_567,
		Attempts: []admin.Attempt{{At: oldest, Destination: "example.net", Next: &next, Tries: []admin.Try{{Address: "bob@example.net", Hop: "mx1.example.net", TLS: "TLS 1.3, verified", Took: 812, Code: 451, Reply: "451 4.7.1 Greylisted"}}},
			{At: now, Destination: "example.net", Reports: []string{"06h0w00000002"}, Tries: []admin.Try{{Address: "bob@example.net", Hop: "mx1.example.net", Took: 90, Code: 250, Reply: "250 2.0.0 ok"}, {Address: "carol@example.net", Hop: "mx1.example.net", Took: 12, Code: 550, Reply: "550 5.1.1 no such user"}}}},
		Waiting: w.entries(0, 2)}}
	w.config = admin.ConfigInForce{File: "/etc/smarthost/smarthost.toml", Settings: []admin.Setting{{Key: "hostname", Value: `"mx.example.org"`}, {Key: "forward.retry", Value: `["1m", "5m", "15m", "1h"]`, Reloads: true}, {Key: "digest.to", Reloads: true}}}
	w.found = []admin.Finding{{Check: "data", Level: "problem", Where: "/var/lib/smarthost", What: "nothing can be written: read-only file system", Why: "the server refuses mail that it cannot keep", Do: "see to the disk (dmesg, df, mount)"},
		{Check: "clock", Level: "good", What: "it is right to within 12 ms"}}
	return w, health
}

// A bad night: health is red, a hundred thousand mails wait, a thousand refusals.
func TestBadNight(t *testing.T) {
	w, health := badNight()
	var refusals []admin.Refusal
	for n := range 1000 {
		r := admin.Refusal{At: time.Now().Add(time.Duration(n-1000) * time.Second), Session: "35sw2uq4mqrd", Address: netip.MustParseAddr("192.0.2.7"), Stage: "MAIL", Account: "alice", Device: "laptop", Hello: "laptop.example.org", From: "alice@example.org",
			Code: 451, Reply: "451 4.7.0 TLS failed 12 s ago (bad certificate); keep the message and try again with STARTTLS [35sw2uq4mqrd]"}
		if n%3 == 0 {
			r.Code, r.Account, r.Device, r.Reply = 530, "", "", "530 5.7.0 Authentication required: log in with AUTH PLAIN to relay mail through mx.example.org [35sw2uq4mqrd] https://example.org/help"
		}
		refusals = append(refusals, r)
	}
	base, chromium := w.serve(t, health, refusals...), browser.Start(t)
	lookAt(t, chromium, "night", base, everyPage...)

	b := open(t, chromium, browser.Look{Width: 320, Scripts: false, Scheme: "light"})
	b.Run(t, chromedp.Navigate(base+"/queue"))
	seen := map[string]bool{}
	for page := range 5 {
		for _, id := range browser.Ask(t, b.Tab, chromedp.Evaluate[[]string](`[...document.querySelectorAll(".cards h2 a")].map((a) => a.textContent)`)) {
			seen[id] = true
		}
		if want := 50 * (page + 1); len(seen) != want {
			t.Errorf("after %d pages there were %d mails, want %d", page+1, len(seen), want)
		}
		b.Run(t, chromedp.Click(chromedp.CSS(`a[rel="next"]`)), chromedp.WaitVisible(chromedp.Search(fmt.Sprintf(`//h2/a[.="06h0w%08d"]`, 50*(page+1)))))
	}
	if text := b.Text(t); !strings.Contains(text, "all 100,000") {
		t.Error(text)
	}
	b.Run(t, chromedp.Click(chromedp.CSS(".more a")), chromedp.WaitVisible(chromedp.Search(`//h2/a[.="06h0w00000000"]`)))
}

// What strangers can choose, they have chosen badly: it is text, and breaks no page.
func TestHostileValues(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)></bdi></main><b x='` + "\u202egro.elpmaxe\u2066\x00\x1b[31m\r\nSet-Cookie: a=b"
	long := evil + strings.Repeat("wide", 2500)
	arabic := "\u0645\u0631\u062d\u0628\u0627 <\u05e9\u05dc\u05d5\u05dd>"
	at := time.Now()
	values := []string{evil, long, arabic}
	w := &world{found: []admin.Finding{{Check: "dns", Level: "problem", Where: long, What: long, Why: evil, Do: long}, {Check: "dns", Level: "good", Where: long, What: evil}, {Check: "dns", Level: "warning", What: arabic, Why: evil, Do: arabic}}}
	var refusals []admin.Refusal
	var entries []admin.Entry
	var health []admin.Result
	for _, v := range values {
		e := admin.Entry{ID: v, State: "waiting", Arrived: at, Account: v, Device: v, From: v, Destination: v, Relay: v, Next: &at, Recipients: []admin.Recipient{{Address: v, Hop: v, Reply: v}, {Address: v}}}
		entries = append(entries, e)
		w.stories = append(w.stories, admin.Story{ID: v, MessageID: v, Session: v, Account: v, Device: v, From: v, Parent: v, Waiting: []admin.Entry{e},
			Attempts: []admin.Attempt{{At: at, Destination: v, Next: &at, Reports: []string{v}, Tries: []admin.Try{{Address: v, Hop: v, TLS: v, Code: 450, Reply: v}}}}})
		w.users = append(w.users, admin.User{Name: v, Devices: []admin.Device{{Device: v, Class: v, Senders: values, LastSeen: &admin.Sighting{At: at, Hello: v}}}})
		w.status.Limits = append(w.status.Limits, admin.LimitInUse{Account: v, Class: v})
		w.config.Settings = append(w.config.Settings, admin.Setting{Key: v, Value: v})
		refusals = append(refusals, admin.Refusal{At: at, Session: v, Stage: "MAIL", Account: v, Device: v, Hello: v, From: v, Code: 550, Reply: v}, admin.Refusal{At: at, Stage: "AUTH", Hello: v, Reply: v})
		health = append(health, admin.Result{Name: "routes", State: admin.Failed, Why: v})
	}
	w.entries = func(int, int) []admin.Entry { return entries }
	w.config.File = long
	w.status = admin.Status{Version: evil, Hostname: evil, Started: at, Limits: w.status.Limits, Queue: admin.QueueSize{Messages: len(entries)},
		Config: admin.ConfigSummary{Doors: values, Relay: long}, Certificate: admin.CertificateInForce{Names: values, Issuer: long, Expires: at}}
	lookAt(t, browser.Start(t), "hostile", w.serve(t, health, refusals...), append(everyPage, "/users/revoke?user=%3Cb%3E%E2%80%AEx&device="+strings.Repeat("wide", 900), "/queue?account=%3Cb%3E%E2%80%AEx")...)
}
