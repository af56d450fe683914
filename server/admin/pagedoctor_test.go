package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// examined lets a house make examinations, until the test ends, and is told when each is to go on.
func examined(t *testing.T, b *browser, examine func(ctx context.Context, found func(Finding), doing func(string)) error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { b.examinations.serve(ctx, examine) })
	t.Cleanup(func() {
		stop()
		serving.Wait()
	})
}

// An examination that panics is one that failed, and another can be made.
func TestDoctorThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrowser(true)
		examined(t, b, func(_ context.Context, found func(Finding), _ func(string)) error {
			found(Finding{Check: "clock", Level: "good", What: "it is right"})
			panic("no such thing")
		})
		for range 2 {
			b.send(b.request("POST", "/doctor", url.Values{}))
			synctest.Wait()
			text := b.get(t, "/doctor", 200)
			for _, want := range []string{"Examine again", "itself failed: no such thing", "it is right"} {
				if !strings.Contains(text, want) {
					t.Errorf("the page lacks %s:\n%s", want, text)
				}
			}
		}
	})
}

// An examination is begun from the page, seen while it is made, and kept with its time; the gravest comes first.
func TestDoctor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrowser(true)
		goOn := make(chan struct{})
		made := 0
		var late func(Finding)
		examined(t, b, func(_ context.Context, found func(Finding), doing func(string)) error {
			made++
			late = found
			found(Finding{Check: "clock", Level: "good", What: "it is right"})
			found(Finding{Check: "disk", Level: "note", What: "it is slow"})
			doing("port 25 outwards")
			<-goOn
			found(Finding{Check: "port 25", Level: "problem", Where: "192.0.2.1:25", What: "<closed>", Why: "no mail leaves", Do: "ask the provider"})
			return nil
		})
		if text := b.get(t, "/doctor", 200); !strings.Contains(text, "Examine now") || !strings.Contains(text, "Nobody has had it examined") || strings.Contains(text, "refresh") {
			t.Error(text)
		}
		begin := func() {
			t.Helper()
			if to := b.send(b.request("POST", "/doctor", url.Values{})).Header().Get("Location"); to != "/doctor" {
				t.Errorf("to %q", to)
			}
			synctest.Wait()
		}
		begin()
		begin() // there is one
		text := b.get(t, "/doctor", 200)
		for _, want := range []string{`<noscript><meta http-equiv="refresh" content="2"></noscript>`, "Looking at <bdi>port 25 outwards</bdi>", "it is slow", "it is right"} {
			if !strings.Contains(text, want) {
				t.Errorf("while it is made the page lacks %s:\n%s", want, text)
			}
		}
		if strings.Contains(text, "<button class") || made != 1 {
			t.Errorf("%d are made:\n%s", made, text)
		}
		b.check(t, asked{method: "POST", path: "/api/v1/doctor", trusted: true, want: http.StatusConflict})
		goOn <- struct{}{}
		synctest.Wait()
		late(Finding{Check: "too", Level: "note", What: "late"})
		text = b.get(t, "/doctor", 200)
		for _, want := range []string{"Examine again", `banner failed`, ">1 problem</h2>", "1 note, 1 as it should be; 0 s ago", "&lt;closed&gt;", "ask the provider", "Why it matters: <bdi>no mail leaves"} {
			if !strings.Contains(text, want) {
				t.Errorf("the page lacks %s:\n%s", want, text)
			}
		}
		if strings.Index(text, "closed") > strings.Index(text, "it is slow") || strings.Contains(text, "refresh") || strings.Contains(text, "late") {
			t.Error(text)
		}
		var x Examination
		if err := json.Unmarshal([]byte(b.check(t, asked{method: "GET", path: "/api/v1/doctor", trusted: true, want: 200})), &x); err != nil || len(x.Findings) != 3 || x.Ended == nil ||
			x.Findings[2].Do != "ask the provider" {
			t.Errorf("%+v %v", x, err)
		}
	})
}

// Whoever may only look sees what was found, and can have nothing examined.
func TestWhoMayHaveItExamined(t *testing.T) {
	b := newBrowser(false)
	for _, token := range []string{"reader", "queue", "users"} {
		b.login(t, token)
		if text := b.get(t, "/doctor", 200); strings.Contains(text, `action="/doctor"`) || !strings.Contains(text, "one with the scope all") {
			t.Error(text)
		}
		b.post(t, "/doctor", url.Values{}, 403)
	}
	b.login(t, "all")
	b.post(t, "/doctor", url.Values{}, http.StatusSeeOther)
	if !b.examinations.now().running() || !strings.Contains(b.log.String(), `"who":"token of all","what":"POST /doctor"`) {
		t.Error(b.log.String())
	}
}

// One that cannot be made says why, and what is found is shown as text.
func TestDoctorShowsFaultsAndHostileFindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const evil = `</section><script>alert(1)</script>` + "\u202e\x1b[31m"
		b := newBrowser(true)
		examined(t, b, func(_ context.Context, found func(Finding), doing func(string)) error {
			doing(evil)
			for _, level := range []string{"good", "problem"} {
				found(Finding{Check: evil, Level: level, Where: strings.Repeat("w", 10_000), What: evil, Why: evil, Do: evil})
			}
			return errors.New("the config is wrong:\n" + evil)
		})
		b.post(t, "/doctor", url.Values{}, http.StatusSeeOther)
		synctest.Wait()
		text := b.get(t, "/doctor", 200)
		if !strings.Contains(text, "did not come to its end") || strings.Contains(text, "Nothing is wrong") || strings.ContainsAny(text, "\u202e\x1b") || len(text) > 20_000 {
			t.Error(text)
		}
	})
}

// The end of the server ends an examination.
func TestDoctorEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		began := make(chan struct{})
		h.Examine = func(ctx context.Context, _ func(Finding), _ func(string)) error {
			close(began)
			<-ctx.Done()
			return ctx.Err()
		}
		stop := h.run(t)
		h.check(t, asked{method: "POST", path: "/api/v1/doctor", trusted: true, want: http.StatusAccepted})
		<-began
		stop()
		if x := h.examinations.now(); x.Ended == nil || x.Fault != "context canceled" {
			t.Errorf("%+v", x)
		}
	})
}
