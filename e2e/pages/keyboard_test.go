//go:build e2e

package pages

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// reach goes with the tabulator to what a selector chooses.
func (b *browser) reach(t *testing.T, selector string) {
	t.Helper()
	for range 100 {
		b.run(t, chromedp.KeyEvent("\t"))
		if ask(t, b, chromedp.Evaluate[bool](fmt.Sprintf(`document.activeElement.matches(%q)`, selector))) {
			return
		}
	}
	t.Fatalf("no tabulator leads to %s on\n%s", selector, b.text(t))
}

// TestKeyboardReachesEverything goes through each page with the tabulator alone, in the order of the page.
func TestKeyboardReachesEverything(t *testing.T) {
	h := newHouse(t)
	h.busy.Store(true)
	id := h.send(t, "alice@example.org", "bob@example.net")
	h.login(t, "alice", "wrong")
	if out, err := h.Command("device", "add", "alice", "laptop").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b := open(t, startChromium(t), look{1280, false, "light"})
	b.login(t, base, h.token, "/now")
	for _, path := range []string{"/now", "/refusals?search=wrong", "/queue?account=alice", "/queue/order?do=drop&id=" + id, "/trace?of=" + id, "/users", "/config", "/doctor", "/users/revoke?user=alice&device=laptop"} {
		b.run(t, chromedp.Navigate(base+path), chromedp.WaitVisible(chromedp.CSS("main")))
		ask(t, b, chromedp.Evaluate[bool](`document.querySelectorAll("details").forEach((d) => (d.open = true)), true`))
		order := ""
		for range 200 {
			b.run(t, chromedp.KeyEvent("\t"))
			// The element's number in the order of the page; -1 at the end.
			at := ask(t, b, chromedp.Evaluate[int](`((e) => e === document.body || e.dataset.reached ? -1 : (e.dataset.reached = "yes", [...document.querySelectorAll("*")].indexOf(e)))(document.activeElement)`))
			if at < 0 {
				break
			}
			order += fmt.Sprintf(" %06d", at)
		}
		left := ask(t, b, chromedp.Evaluate[[]string](`[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary")].filter((e) => !e.dataset.reached).map((e) => e.outerHTML)`))
		if len(left) > 0 {
			t.Errorf("%s: no tabulator leads to %q", path, left)
		}
		for i, last := 1, strings.Fields(order); i < len(last); i++ {
			if last[i] < last[i-1] {
				t.Errorf("%s: the tabulator jumps back from element %s to %s", path, last[i-1], last[i])
			}
		}
	}
}

// TestKeyboardActs changes mail with keys alone, with scripts and without: through a filter that has to be opened first, and a link.
func TestKeyboardActs(t *testing.T) {
	h := newHouse(t)
	h.busy.Store(true)
	id := h.send(t, "alice@example.org", "bob@example.net")
	chromium := startChromium(t)
	for _, scripts := range []bool{true, false} {
		b := open(t, chromium, look{320, scripts, "light"})
		b.login(t, base, h.token, "/now")
		b.reach(t, `nav a[href="/queue"]`)
		b.run(t, chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS("summary")))
		b.reach(t, "summary")
		b.run(t, chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS("#account")))
		b.reach(t, "#account")
		b.run(t, chromedp.KeyEvent("alice\r"), chromedp.WaitVisible(chromedp.CSS(`#account[value="alice"]`)))
		b.reach(t, `a[href*="do=hold"]`)
		b.run(t, chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS(`form[action="/queue/order"] button`)))
		b.reach(t, `form[action="/queue/order"] button`)
		b.run(t, chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS(".note.good")), chromedp.Navigate(base+"/queue?state=held"))
		if text := b.text(t); !strings.Contains(text, id) {
			t.Errorf("it is not held:\n%s", text)
		}
		if out, err := h.Command("queue", "release", id).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
}
