//go:build e2e

package capture

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/browser"
	"github.com/seed-1397b510/smarthost/e2e/lab"
	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// trap is a server elsewhere that nobody should speak to, not even to connect.
type trap struct {
	net.Listener
	mu   sync.Mutex
	seen []string
}

const connected = "a connection"

func newTrap(t *testing.T) *trap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	lab.Check(t, err)
	p := &trap{Listener: l}
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.note(r.Method + " " + r.URL.Path)
			http.NotFound(w, r)
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				p.note(connected)
			}
		},
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return p
}

func (p *trap) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, what)
}

// take returns what was seen since the last time.
func (p *trap) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

// hostile is HTML by the name of what it tries.
func hostile(t *testing.T, p *trap) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/hostile/*.html")
	lab.Check(t, err)
	all := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		lab.Check(t, err)
		all[strings.TrimSuffix(filepath.Base(file), ".html")] = strings.ReplaceAll(string(text), "LEAK", "http://"+p.Addr().String())
	}
	if len(all) < 10 {
		t.Fatalf("there are %d files", len(all))
	}
	return all
}

// less are the pages with a part of what keeps mail in taken away.
type less struct {
	policies bool // the headers of the frame's content and of the page around it
	sandbox  bool // the frame's attribute
	rewrite  bool // what is done to the HTML
}

var sandboxed = regexp.MustCompile(` sandbox="[^"]*"`)

func (l less) around(mail *smarthosttest.Server, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			pages.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		pages.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		if id, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/mail/"), "/body"); ok && l.rewrite {
			body = []byte(mail.Messages(smarthosttest.ID(id))[0].HTML())
		}
		if l.sandbox {
			body = sandboxed.ReplaceAll(body, nil)
		}
		for name, values := range answer.Header() {
			if !l.policies || name != "Content-Security-Policy" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(answer.Code)
		w.Write(body)
	})
}

// show opens a message in its frame, and then its HTML alone; it acts on what is there to click at, and leaves.
func (h *house) show(t *testing.T, chromium context.Context, id string) *tab {
	t.Helper()
	b := open(t, chromium, browser.Look{Width: 1280, Scripts: true, Scheme: "light"})
	b.Run(t, chromedp.Navigate(h.base+"/mail/"+id+"?view=html"), chromedp.WaitVisible(chromedp.CSS("iframe")))
	b.drawn(t)
	b.Run(t, chromedp.Navigate(h.base+"/mail/"+id+"/body"))
	if strings.Contains(h.mail.Messages(smarthosttest.ID(id))[0].HTML(), `id="click"`) {
		b.Run(t, chromedp.Click(chromedp.CSS("#click")))
	}
	b.drawn(t)
	b.Run(t, chromedp.Navigate(h.base+"/livez"))
	return b
}

// drawn returns when the browser has drawn the page, with what a click has set off.
func (b *tab) drawn(t *testing.T) {
	t.Helper()
	browser.Ask(t, b.Tab, chromedp.CaptureScreenshot())
}

// usable tells whether the page is still the reader's: nothing lies over it, and it has not gone elsewhere.
func (b *tab) usable(t *testing.T) {
	t.Helper()
	if wrong := browser.Ask(t, b.Tab, chromedp.Evaluate[[]string](`(() => {
		const wrong = [];
		for (const selector of ["#nav-sessions", "#view-raw", "article h1"]) {
			const box = document.querySelector(selector).getBoundingClientRect();
			if (!document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)?.closest(selector)) wrong.push(selector + " is covered");
		}
		if (document.title === "owned") wrong.push("the title was changed");
		if (document.documentElement.scrollWidth > document.documentElement.clientWidth) wrong.push("the page is too wide");
		return wrong;
	})()`)); len(wrong) > 0 {
		t.Errorf("the page is not usable: %q", wrong)
	}
}

// TestHostileMailStaysIn shows each piece to the browser. Nothing goes out, not even a connection; no script runs, and the page stays what it was.
func TestHostileMailStaysIn(t *testing.T) {
	p, chromium := newTrap(t), startChromium(t)
	h := newHouse(t, nil)
	for name, html := range hostile(t, p) {
		t.Run(name, func(t *testing.T) { h.staysIn(t, chromium, p, name, html) })
	}
}

func (h *house) staysIn(t *testing.T, chromium context.Context, p *trap, name, html string) {
	id := h.sendHTML(t, name, html)
	p.take()
	b := h.show(t, chromium, id)
	if seen, foreign, scripts := p.take(), b.foreign(h.base), b.ran(); len(seen)+len(foreign)+len(scripts) > 0 {
		t.Errorf("the listener saw %q, the browser tells of %q, scripts %q", seen, foreign, scripts)
	}
	b.Run(t, chromedp.Navigate(h.base+"/mail/"+id+"?view=html"), chromedp.WaitVisible(chromedp.CSS("iframe")))
	b.usable(t)
	b.Run(t, chromedp.Click(chromedp.CSS("#view-text")), chromedp.WaitVisible(chromedp.CSS("#view-text[aria-current]")))
}

// TestPolicyAloneKeepsMailIn shows the HTML as it was sent. No request goes out and no script runs, for that does not rest on the rewriting. What does is
// that the browser does not connect in advance.
func TestPolicyAloneKeepsMailIn(t *testing.T) {
	p, chromium := newTrap(t), startChromium(t)
	h := newHouse(t, less{rewrite: true}.around)
	for name, html := range hostile(t, p) {
		t.Run(name, func(t *testing.T) {
			id := h.sendHTML(t, name, html)
			p.take()
			b := h.show(t, chromium, id)
			seen := slices.DeleteFunc(p.take(), func(what string) bool { return what == connected })
			if scripts := b.ran(); len(seen)+len(scripts) > 0 {
				t.Errorf("the listener saw %q, scripts %q", seen, scripts)
			}
		})
	}
}

// TestLeaksAreSeen takes parts of what keeps mail in away, and sees it go out: the tests above would see it, too.
func TestLeaksAreSeen(t *testing.T) {
	p, chromium := newTrap(t), startChromium(t)
	pieces := hostile(t, p)
	for _, of := range []struct {
		less   less
		pieces []string
		want   func(seen, foreign, scripts []string) bool
	}{
		{less{policies: true}, []string{"onerror", "css"}, func(seen, foreign, _ []string) bool { return requested(seen) && len(foreign) > 0 }},
		{less{rewrite: true}, []string{"frame"}, func(seen, _, _ []string) bool { return slices.Contains(seen, connected) }},
		{less{policies: true, sandbox: true, rewrite: true}, []string{"frame", "css", "base", "link"}, func(seen, foreign, _ []string) bool { return requested(seen) && len(foreign) > 0 }},
		{less{policies: true, sandbox: true, rewrite: true}, []string{"script", "svg", "javascript"}, func(_, _, scripts []string) bool { return len(scripts) > 0 }},
	} {
		h := newHouse(t, of.less.around)
		for _, name := range of.pieces {
			t.Run(fmt.Sprintf("%+v/%s", of.less, name), func(t *testing.T) {
				id := h.sendHTML(t, name, pieces[name])
				p.take()
				b := h.show(t, chromium, id)
				if seen, foreign, scripts := p.take(), b.foreign(h.base), b.ran(); !of.want(seen, foreign, scripts) {
					t.Errorf("the listener saw %q, the browser tells of %q, scripts %q", seen, foreign, scripts)
				}
			})
		}
	}
}

// requested tells whether a listener was asked for something.
func requested(seen []string) bool {
	return slices.ContainsFunc(seen, func(what string) bool { return what != connected })
}

// TestHugeMail shows HTML that is large, or has more levels than a browser has any use for.
func TestHugeMail(t *testing.T) {
	p, chromium := newTrap(t), startChromium(t)
	h := newHouse(t, nil)
	row := "<tr><td>" + strings.Repeat("words and words ", 60) + "</td></tr>\n"
	for name, html := range map[string]string{
		"large":  "<table>\n" + strings.Repeat(row, 10<<20/len(row)) + "</table>",
		"nested": strings.Repeat("<div>\n", 10_000) + "<img src='http://" + p.Addr().String() + "/nested'>" + strings.Repeat("</div>\n", 10_000),
	} {
		t.Run(name, func(t *testing.T) { h.staysIn(t, chromium, p, name, html) })
	}
}

// TestImagesOnRequest follows the link that loads images: they come, and nothing else does.
func TestImagesOnRequest(t *testing.T) {
	p, chromium := newTrap(t), startChromium(t)
	h := newHouse(t, nil)
	leak := "http://" + p.Addr().String()
	id := h.sendHTML(t, "images", `<style>@import url(`+leak+`/import)</style><img src="`+leak+`/picture" onerror="alert(1)"><audio src="`+leak+`/audio" autoplay></audio><script src="`+leak+`/script"></script>`)
	p.take()
	b := open(t, chromium, browser.Look{Width: 1280, Scripts: true, Scheme: "light"})
	b.Run(t, chromedp.Navigate(h.base+"/mail/"+id), chromedp.Click(chromedp.CSS(".look .acts a")), chromedp.WaitVisible(chromedp.CSS(`iframe[src$="remote=images"]`)))
	b.drawn(t)
	b.Run(t, chromedp.Navigate(h.base+"/mail/"+id+"/body?remote=images"), chromedp.Navigate(h.base+"/livez"))
	seen := slices.DeleteFunc(p.take(), func(what string) bool { return what == connected })
	slices.Sort(seen)
	if seen = slices.Compact(seen); !slices.Equal(seen, []string{"GET /picture"}) || len(b.ran()) > 0 {
		t.Errorf("the listener saw %q, scripts %q", seen, b.ran())
	}
}
