//go:build e2e

package pages

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/browser"
	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// TestFailedReloadIsSeen looks at the first page while a reload finds the config wrong, and while it is put right. What goes on there
// does not take their place from those who go by keyboard.
func TestFailedReloadIsSeen(t *testing.T) {
	h := newHouse(t)
	right, err := os.ReadFile(h.Config)
	lab.Check(t, err)
	b := open(t, browser.Start(t), browser.Look{Width: 1280, Scripts: true, Scheme: "dark"})
	b.login(t, base, h.token, "/now")
	b.stay(t)
	b.shows(t, "All is well")
	b.reach(t, `#live a[href="/queue"]`)
	lab.Check(t, os.WriteFile(h.Config, append(right, "nonsense = 1\n"...), 0o600))
	h.Signal(t, syscall.SIGHUP)
	b.shows(t, "the last reload found it wrong")
	if text := b.Text(t); strings.Contains(text, "All is well") {
		t.Error(text)
	}
	b.Picture(t, "/now-reload-failed")
	lab.Check(t, os.WriteFile(h.Config, right, 0o600))
	h.Reload(t)
	b.shows(t, "All is well")
	if !browser.Ask(t, b.Tab, chromedp.Evaluate[bool](`document.activeElement.matches('#live a[href="/queue"]')`)) {
		t.Error("whoever was at a link has lost it")
	}
	b.Check(t, "/now")
}

// TestServerGoesAway looks at a page that is open while the server is killed and started again: it says that it is old, and that no more.
func TestServerGoesAway(t *testing.T) {
	h := newHouse(t)
	b := open(t, browser.Start(t), browser.Look{Width: 320, Scripts: true, Scheme: "light"})
	b.login(t, base, h.token, "/now")
	b.stay(t)
	b.shows(t, "All is well")
	h.Kill()
	b.Await(t, `document.querySelector("main").innerText.includes("The server does not answer.")`)
	b.Picture(t, "/now-server-gone")
	h.Start(t)
	// Sessions end with the server: the page says that it is over, and its login leads back.
	b.Await(t, `document.querySelector("main").innerText.includes("no longer kept up to date")`)
	b.login(t, base, h.token, "/now")
	b.stay(t)
	b.shows(t, "All is well")
}
