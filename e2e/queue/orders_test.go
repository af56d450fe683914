//go:build e2e

package queue

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// waiting is how many mails wait.
const waiting = 100_000

// Every order works on a long queue, while mail is taken and delivered, and none of that is refused, lost or doubled.
func TestOrdersForALongQueue(t *testing.T) {
	relay, other := startSink(t, "127.0.0.1:2525", byName), startSink(t, "127.0.0.1:2526", byName)
	server := lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`)
	fill(t, server, waiting)
	server.Start(t)
	load := send(t, server, 8)
	run(t, "testdata/orders", server, load, map[string]string{"OTHER": "smtp://127.0.0.1:2526?tls=none", "WAITING": fmt.Sprint(waiting)})
	load.end()
	if t.Failed() {
		return // what is left waits for a day
	}
	lab.Await(t, "an empty queue", 30*time.Second, func() bool {
		out, err := server.Command("queue").CombinedOutput()
		return err == nil && strings.Contains(string(out), "The queue is empty")
	})
	t.Logf("%d mails of the senders", load.number.Load())
	judge(t, load, relay.copies(), other.copies())
}

// judge wants each mail of the senders once, and of the others those that were let go: shop's, once, by the relay that was ordered for each.
func judge(t *testing.T, load *senders, relay, other map[string]int) {
	want := map[string]int{}
	for i := range int(load.number.Load()) {
		want[fmt.Sprintf("load-%d bob@load.test", i+1)] = 1
	}
	wantOther := map[string]int{}
	for i := 0; i < waiting; i += 100 {
		if key := fmt.Sprintf("fill-%d bob@d%d.example", i, i/100%10); i/100%10 == 7 {
			wantOther[key] = 1
		} else {
			want[key] = 1
		}
	}
	for i := 1; i < waiting; i += 100 {
		want[fmt.Sprintf("fill-%d bob@d%d.example", i, i/100%10)] = 1
	}
	want["story bob@wait.test"], want["story alice@client.test"] = 1, 1 // the script's, and the report on what bounced
	same(t, "the relay", relay, want)
	same(t, "the other relay", other, wantOther)
}

func same(t *testing.T, who string, got, want map[string]int) {
	t.Helper()
	wrong := 0
	for key, n := range want {
		if got[key] != n {
			if wrong++; wrong <= 10 {
				t.Errorf("%s has %d copies of %s, want %d", who, got[key], key, n)
			}
		}
	}
	for key := range got {
		if want[key] == 0 {
			if wrong++; wrong <= 10 {
				t.Errorf("%s has %s, which must not go there", who, key)
			}
		}
	}
	if wrong > 10 {
		t.Errorf("%s: %d faults", who, wrong)
	}
}
