//go:build e2e

package pages

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/browser"
	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// TestDoctor has the server examined from its page: what it is at is seen while the relay says nothing, and the findings come by
// themselves, with scripts and without. No secret is among them.
func TestDoctor(t *testing.T) {
	const relayPassword = "hunter2-of-the-relay"
	h := &house{}
	h.Smarthost = lab.NewSmarthost(t, "relay = \"smtp://carol:"+relayPassword+"@"+h.hop(t)+"\"\n")
	h.Start(t)
	h.token = h.newToken(t, "operator", "all")
	reader := h.newToken(t, "guest", "read")
	chromium := browser.Start(t)
	for _, l := range []browser.Look{{Width: 1280, Scripts: true, Scheme: "light"}, {Width: 320, Scripts: false, Scheme: "dark"}, {Width: 320, Scripts: true, Scheme: "light"}, {Width: 1280, Scripts: false, Scheme: "dark"}} {
		t.Run(l.String(), func(t *testing.T) {
			b := open(t, chromium, l)
			b.login(t, base, h.token, "/doctor")
			b.Check(t, "/doctor")
			b.Picture(t, "/doctor-before")
			h.mute.Lock()
			muted := true
			defer func() {
				if muted {
					h.mute.Unlock()
				}
			}()
			b.Run(t, chromedp.Focus(chromedp.CSS(".main")), chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS(`.note[role="status"]`)))
			if l.Scripts { // without, the page asks for itself again at any moment
				if text := b.Text(t); !strings.Contains(text, "Looking at") {
					t.Errorf("under way it says\n%s", text)
				}
				b.Check(t, "/doctor, under way")
				b.Picture(t, "/doctor-under-way")
				b.stay(t)
			}
			h.mute.Unlock()
			muted = false
			if l.Scripts {
				b.shows(t, "As it should be")
			}
			b.Run(t, chromedp.WaitVisible(chromedp.CSS(".banner")))
			b.Check(t, "/doctor, ended")
			b.Picture(t, "/doctor")
			text := b.Text(t)
			for _, want := range []string{"problem", "What to do:", "Why it matters:", "relay", "the server answers", "Examine again"} {
				if !strings.Contains(text, want) {
					t.Errorf("the page lacks %q:\n%s", want, text)
				}
			}
			for _, secret := range []string{relayPassword, h.Password, h.token} {
				if strings.Contains(text, secret) {
					t.Errorf("the page shows a secret:\n%s", text)
				}
			}
		})
	}
	b := open(t, chromium, browser.Look{Width: 1280, Scripts: false, Scheme: "light"})
	b.login(t, base, reader, "/doctor")
	if text := b.Text(t); strings.Contains(text, "Examine again") || !strings.Contains(text, "What to do:") {
		t.Errorf("a token that may look sees\n%s", text)
	}
}
