package admin

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func fixed(state State) func(context.Context) (State, string) {
	return func(context.Context) (State, string) { return state, "because" }
}

func TestReadiness(t *testing.T) {
	for _, c := range []struct {
		states []State
		want   State
		status int
	}{
		{nil, OK, 200},
		{[]State{OK, OK}, OK, 200},
		{[]State{OK, Degraded}, Degraded, 200},
		{[]State{Degraded, Failed, OK}, Failed, 503},
	} {
		h := newHouse()
		for _, s := range c.states {
			h.Health.Checks = append(h.Health.Checks, Check{Name: string(s), Look: fixed(s)})
		}
		var got Report
		text := h.check(t, asked{method: "GET", path: "/readyz", want: c.status})
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.State != c.want || len(got.Checks) != len(c.states) {
			t.Errorf("%v: %s", c.states, text)
		}
		for i, r := range got.Checks {
			if r.Name != string(c.states[i]) || r.State != c.states[i] || r.Why != "because" || r.At.IsZero() {
				t.Errorf("%+v", r)
			}
		}
		h.Health.Drain()
		h.check(t, asked{method: "GET", path: "/readyz", want: 503})
		h.check(t, asked{method: "GET", path: "/livez", want: 200})
	}
}

// A check that is left out does not count and is not looked at; one that does not exist is told of, with those that do.
func TestExcludedChecks(t *testing.T) {
	h := newHouse()
	h.Health.Checks = []Check{{Name: "disk", Look: fixed(OK)}, {Name: "space", Look: fixed(Degraded)}, {Name: "route", Look: fixed(Failed)}}
	for query, want := range map[string]struct {
		state  State
		status int
		checks int
	}{
		"":                            {Failed, 503, 3},
		"?exclude=disk":               {Failed, 503, 2},
		"?exclude=route":              {Degraded, 200, 2},
		"?exclude=route&exclude=disk": {Degraded, 200, 1},
		"?exclude=space&exclude=route&exclude=disk": {OK, 200, 0},
	} {
		var got Report
		text := h.check(t, asked{method: "GET", path: "/readyz" + query, want: want.status})
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.State != want.state || len(got.Checks) != want.checks {
			t.Errorf("%s: %s", query, text)
		}
	}
	for _, query := range []string{"?exclude=routes", "?exclude=route&exclude=", "?exclude=<b>", "?without=route"} {
		text := h.check(t, asked{method: "GET", path: "/readyz" + query, want: 400})
		if strings.HasPrefix(query, "?exclude") && !strings.Contains(text, "disk, space, route") {
			t.Errorf("%s: %s", query, text)
		}
	}
	h.Health.Drain()
	h.check(t, asked{method: "GET", path: "/readyz?exclude=route", want: 503})
}

// Probes that come often do not cost a look each, and a look that hangs holds none of them up for long.
func TestLooksAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		hang := make(chan struct{})
		h := &Health{Checks: []Check{{Name: "disk", Every: 10 * time.Second, Look: func(context.Context) (State, string) {
			if looks.Add(1) == 3 {
				<-hang
			}
			return OK, ""
		}}}}
		for range 10 {
			if r := h.Ready(t.Context()); r.State != OK {
				t.Error(r)
			}
			time.Sleep(time.Second)
		}
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks in 10 s", n)
		}
		if r := h.Ready(t.Context()); r.State != OK || looks.Load() != 2 {
			t.Errorf("%v after %d looks", r, looks.Load())
		}
		time.Sleep(10 * time.Second)
		for i, want := range []string{"has not answered for 4s", "has not answered for 4s", "has not answered for 14s"} {
			began := time.Now()
			r := h.Ready(t.Context())
			if took := time.Since(began); r.State != Failed || r.Checks[0].Why != want || took > checkTime {
				t.Errorf("%d: %v after %s", i, r, took)
			}
			if i == 1 {
				time.Sleep(10 * time.Second)
			}
		}
		if n := looks.Load(); n != 3 {
			t.Errorf("%d looks, though the third hangs", n)
		}
		close(hang)
		synctest.Wait()
		if r := h.Ready(t.Context()); r.State != OK || looks.Load() != 3 {
			t.Errorf("%v after %d looks", r, looks.Load())
		}
	})
}

func TestRefusalsAreTheLastOnes(t *testing.T) {
	var f Refusals
	if list := f.Before(0, 10); len(list) != 0 {
		t.Errorf("%v", list)
	}
	for n := range keptRefusals + 50 {
		f.Add(Refusal{Code: n + 1})
	}
	var seen []int
	for before := uint64(0); ; {
		page := f.Before(before, 300)
		for _, r := range page {
			if r.Code != int(r.Number) {
				t.Fatalf("%+v", r)
			}
			seen = append(seen, r.Code)
		}
		if len(page) < 300 {
			break
		}
		before = page[len(page)-1].Number
	}
	if len(seen) != keptRefusals || seen[0] != keptRefusals+50 || seen[len(seen)-1] != 51 {
		t.Errorf("%d refusals, from %d to %d", len(seen), seen[0], seen[len(seen)-1])
	}
	h := newHouse()
	h.Refusals.Add(Refusal{Code: 530, Reply: "<b>no</b>"})
	var page RefusalPage
	if err := json.Unmarshal([]byte(h.check(t, asked{trusted: true, method: "GET", path: "/api/v1/refusals?limit=1", want: 200})), &page); err != nil || page.Next != 1 || page.Refusals[0].Reply != "<b>no</b>" {
		t.Errorf("%+v %v", page, err)
	}
}
