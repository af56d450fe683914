package admin

import (
	"regexp"
	"testing"
	"time"
)

// What operators did stands among the attempts, in the order of time.
func TestTracePageTellsOrders(t *testing.T) {
	b := newBrowser(false)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.told = func() []Story {
		return []Story{{ID: "id1", Attempts: []Attempt{{At: at.Add(time.Minute), Destination: "a.example"}},
			Orders: []Ordered{{At: at, Destination: "a.example", Do: "hold", By: "ann"}, {At: at.Add(2 * time.Minute), Destination: "a.example", Do: "reroute", Relay: "smtp://relay.example", By: "ben"}}}}
	}
	b.login(t, "all")
	text := b.get(t, "/trace?of=id1", 200)
	want := `(?s)03:04:05.*held</bdi> by <bdi>ann.*03:05:05.*to <bdi>a\.example.*03:06:05.*rerouted to smtp://relay\.example</bdi> by <bdi>ben`
	if !regexp.MustCompile(want).MatchString(text) {
		t.Errorf("no %s in\n%s", want, text)
	}
}
