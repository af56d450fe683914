//go:build e2e

package pages

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/browser"
)

// reach goes with the tabulator to what a selector chooses.
func (b tab) reach(t *testing.T, selector string) {
	t.Helper()
	for range 100 {
		b.Run(t, chromedp.KeyEvent("\t"))
		if browser.Ask(t, b.Tab, chromedp.Evaluate[bool](fmt.Sprintf(`document.activeElement.matches(%q)`, selector))) {
			return
		}
	}
	t.Fatalf("no tabulator leads to %s on\n%s", selector, b.Text(t))
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
	b := open(t, browser.Start(t), browser.Look{Width: 1280, Scripts: false, Scheme: "light"})
	b.login(t, base, h.token, "/now")
	for _, path := range []string{"/now", "/refusals?search=wrong", "/queue?account=alice", "/queue/order?do=drop&id=" + id, "/trace?of=" + id, "/users", "/config", "/doctor", "/users/revoke?user=alice&device=laptop"} {
		b.Run(t, chromedp.Navigate(base+path), chromedp.WaitVisible(chromedp.CSS("main")))
		browser.Ask(t, b.Tab, chromedp.Evaluate[bool](`document.querySelectorAll("details").forEach((d) => (d.open = true)), true`))
		order := ""
		for range 200 {
			b.Run(t, chromedp.KeyEvent("\t"))
			// The element's number in the order of the page; -1 at the end.
			at := browser.Ask(t, b.Tab, chromedp.Evaluate[int](`((e) => e === document.body || e.dataset.reached ? -1 : (e.dataset.reached = "yes", [...document.querySelectorAll("*")].indexOf(e)))(document.activeElement)`))
			if at < 0 {
				break
			}
			order += fmt.Sprintf(" %06d", at)
		}
		left := browser.Ask(t, b.Tab, chromedp.Evaluate[[]string](`[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary")].filter((e) => !e.dataset.reached).map((e) => e.outerHTML)`))
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
	chromium := browser.Start(t)
	for _, scripts := range []bool{true, false} {
		b := open(t, chromium, browser.Look{Width: 320, Scripts: scripts, Scheme: "light"})
		b.login(t, base, h.token, "/now")
		b.reach(t, `nav a[href="/queue"]`)
		b.Run(t, chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS("summary")))
		b.reach(t, "summary")
		b.Run(t, chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS("#account")))
		b.reach(t, "#account")
		b.Run(t, chromedp.KeyEvent("alice\r"), chromedp.WaitVisible(chromedp.CSS(`#account[value="alice"]`)))
		b.reach(t, `a[href*="do=hold"]`)
		b.Run(t, chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS(`form[action="/queue/order"] button`)))
		b.reach(t, `form[action="/queue/order"] button`)
		b.Run(t, chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS(".note.good")), chromedp.Navigate(base+"/queue?state=held"))
		if text := b.Text(t); !strings.Contains(text, id) {
			t.Errorf("it is not held:\n%s", text)
		}
		if out, err := h.Command("queue", "release", id).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
}
