package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

// A device is made with its password or its configuration, shown once, and taken away after a question.
func TestDevicesFromPages(t *testing.T) {
	b := newBrowser(false)
	seen := time.Now().Add(-time.Hour)
	b.users = []User{{Name: "alice", Devices: []Device{{Device: ""}, {Device: "<laptop>&x", LastSeen: &Sighting{seen, netip.MustParseAddr("192.0.2.7"), "<hello>"}}}}}
	b.is = Status{Limits: []LimitInUse{{Account: "alice", Class: "standard", Messages: Use{Used: 7, Of: 100}}, {Account: "alicia", Messages: Use{Used: 9}}}}
	var made NewDevice
	b.Enrolment = &Enrolment{Clients: []Client{{"exim4", "Exim"}}, Make: func(_ context.Context, client string, d NewDevice) (MadeDevice, string, error) {
		made = d
		return MadeDevice{d.User, d.Device, "x"}, "configuration of " + client + " <with> made-secret", nil
	}}
	b.login(t, "reader")
	if text := b.get(t, "/users", 200); strings.Contains(text, "New device") || strings.Contains(text, "/users/revoke") || !strings.Contains(text, "7 of 100 messages") ||
		!strings.Contains(text, "60 min ago from <bdi>192.0.2.7</bdi> as <bdi>&lt;hello&gt;</bdi>") || strings.Contains(text, "9 messages") {
		t.Error(text)
	}
	b.post(t, "/users/devices", url.Values{"user": {"alice"}, "device": {"laptop"}}, 403)
	b.post(t, "/users/revoke", url.Values{"user": {"alice"}, "device": {"laptop"}}, 403)
	b.login(t, "users")
	if text := b.get(t, "/users?user=alice", 200); !strings.Contains(text, "/users/revoke?device=%3Claptop%3E%26x&amp;user=alice") || !strings.Contains(text, "exim4: Exim") {
		t.Error(text)
	}
	if text := b.post(t, "/users/devices", url.Values{"user": {"alice"}, "device": {"laptop"}}, http.StatusCreated); strings.Count(text, "made-secret") != 1 {
		t.Error(text)
	}
	form := url.Values{"user": {"alice"}, "device": {"laptop"}, "client": {"exim4"}, "senders": {"a@b  *@c"}, "networks": {"192.0.2.0/24"}, "expires": {"90d"}}
	if text := b.post(t, "/users/devices", form, http.StatusCreated); !strings.Contains(text, "configuration of exim4 &lt;with&gt; made-secret") {
		t.Error(text)
	}
	if len(made.Senders) != 2 || made.Networks[0] != "192.0.2.0/24" || made.Expires != "90d" {
		t.Errorf("%+v", made)
	}
	if text := b.get(t, "/users/revoke?user=alice&device=laptop", 200); !strings.Contains(text, `action="/users/revoke"`) {
		t.Error(text)
	}
	b.post(t, "/users/revoke", url.Values{"user": {"alice"}, "device": {""}}, 400)
	b.post(t, "/users/revoke", url.Values{"user": {"nobody"}, "device": {"laptop"}}, 404)
	if text := b.post(t, "/users/revoke", url.Values{"user": {"alice"}, "device": {"laptop"}}, 200); !strings.Contains(text, "sends no more") {
		t.Error(text)
	}
	log := b.log.String()
	for _, want := range []string{`"who":"token of users","what":"POST /users/devices","to":"alice/laptop","status":201`, `"what":"POST /users/revoke","to":"alice/laptop","status":200`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(log, "made-secret") {
		t.Error(log)
	}
}

// The first page shows health with its reasons, the certificate's end and what waits.
func TestNow(t *testing.T) {
	b := newBrowser(true)
	b.Health.Checks = []Check{{Name: "disk", Look: func(context.Context) (State, string) { return Degraded, "<little> space" }}}
	b.is = Status{Queue: QueueSize{ByState: map[string]int{"held": 4711}}, Certificate: CertificateInForce{Names: []string{"<mx>"}, Expires: time.Now().Add(100 * time.Hour)}}
	for n := range 3 {
		b.samples.list = append(b.samples.list, Counts{Accepted: float64(n * n * 10)})
	}
	text := b.get(t, "/now", 200)
	for _, want := range []string{`<section aria-labelledby="health" class="banner degraded">`, `<strong>disk</strong>: <bdi>&lt;little&gt; space</bdi>`, "4,711", "&lt;mx&gt;", "in 4 days",
		"<strong>120</strong> messages taken a minute <small>at most 120</small>", `<polyline points="239.0,39.0 240.0,3.0"/>`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s:\n%s", want, text)
		}
	}
	if w := b.send(b.request("GET", "/", nil)); w.Header().Get("Location") != "/now" {
		t.Errorf("%v", w.Header())
	}
}

func TestPlots(t *testing.T) {
	for _, c := range []struct {
		values            []float64
		now, most, points string
	}{
		{nil, "0", "0", ""},
		{[]float64{0, 0}, "0", "0", "239.0,57.0 240.0,57.0"},
		{[]float64{8, 0, 4}, "4", "8", "238.0,3.0 239.0,57.0 240.0,30.0"},
	} {
		if p := newPlot("x", c.values); p.Now != c.now || p.Most != c.most || p.Points != c.points {
			t.Errorf("%v: %+v", c.values, p)
		}
	}
	// A counter that begins again is no rate below zero.
	if p := plots([]Counts{{Refused: 100}, {Refused: 3}}); p[3].Now != "0" {
		t.Errorf("%+v", p[3])
	}
}

// An hour is kept, and no more.
func TestSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s samples
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour+time.Second)
		defer cancel()
		n := 0.0
		s.take(ctx, func(context.Context) (Counts, error) {
			n++
			return Counts{Accepted: n}, nil
		})
		if list := s.all(); len(list) != keptSamples || list[len(list)-1].Accepted != n || n != 2*float64(keptSamples)-1 {
			t.Errorf("%d of %v samples, the last is %v", len(list), n, list[len(list)-1])
		}
	})
}

func TestTextsOfPages(t *testing.T) {
	now := time.Now()
	for got, want := range map[string]string{
		shown("a\u202eb\x00\nc"):           "a\uFFFDb\uFFFD c",
		shown(strings.Repeat("ü", 10_000)): strings.Repeat("ü", maxShown) + "…",
		ago(now.Add(-90 * time.Second)):    "1 min ago",
		ago(now.Add(-30 * time.Hour)):      "30 h ago",
		ago(time.Time{}):                   "",
		ago((*time.Time)(nil)):             "",
		string(stamp((*time.Time)(nil))):   "never",
		web.Octets(9999):                   "9999 B",
		web.Octets(123456):                 "123 kB",
		web.Octets(98765432):               "98 MB",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
