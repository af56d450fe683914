//go:build e2e

package pages

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/browser"
)

// A tab shows the operator's pages.
type tab struct{ *browser.Tab }

func open(t *testing.T, chromium context.Context, l browser.Look) tab {
	t.Helper()
	return tab{browser.Open(t, chromium, l, complaint)}
}

// complaint is whatever a developer would see in red.
func complaint(event any) string {
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level != log.EntryLevelVerbose {
			return fmt.Sprintf("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		return fmt.Sprintf("console.%s", e.Type)
	case *page.EventJavascriptDialogOpening:
		return "a dialog: " + e.Message
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			return fmt.Sprintf("%d %s", e.Response.Status, e.Response.URL)
		}
	}
	return ""
}

// login goes the way that a person goes: from a page to the form, and back to the page.
func (b tab) login(t *testing.T, base, token, path string) {
	t.Helper()
	b.Run(t, chromedp.Navigate(base+path), chromedp.SendKeys(chromedp.CSS("#token"), token+"\r"), chromedp.WaitVisible(chromedp.CSS("nav")))
	if at := browser.Ask(t, b.Tab, chromedp.Location()); at != base+path {
		t.Fatalf("the login leads to %s, want %s", at, path)
	}
}

// stay makes shows fail once another page is loaded.
func (b tab) stay(t *testing.T) {
	t.Helper()
	browser.Ask(t, b.Tab, chromedp.Evaluate[bool](`window.sameDocument = true`))
}

// shows waits until the live part of the page that was once loaded shows a text.
func (b tab) shows(t *testing.T, text string) {
	t.Helper()
	b.Await(t, fmt.Sprintf(`window.sameDocument && document.querySelector("#live").innerText.includes(%q)`, text))
}
