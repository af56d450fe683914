//go:build e2e

package capture

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/browser"
)

// ownFrame is how the frame for mail is told of by the checks, which know no page that has one.
const ownFrame = `none of the page's own: <iframe title="The message as HTML"`

// startChromium keeps frames of other origins in the tab's process, so that the tab hears of their requests.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	return browser.Start(t, chromedp.Flag("disable-features", "site-per-process,IsolateSandboxedIframes,Translate"))
}

// A tab shows pages of the test double, and knows what mail in it has been up to.
type tab struct {
	*browser.Tab

	mu      sync.Mutex
	asked   map[network.RequestID]string // URLs of requests that were not held back
	dialogs []string
}

func open(t *testing.T, chromium context.Context, l browser.Look) *tab {
	t.Helper()
	b := &tab{asked: map[network.RequestID]string{}}
	b.Tab = browser.Open(t, chromium, l, b.hear)
	return b
}

// hear complains of nothing: mail may ask for what it does not get.
func (b *tab) hear(event any) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.asked[e.RequestID] = e.Request.URL
	case *network.EventLoadingFailed:
		if e.BlockedReason != "" {
			delete(b.asked, e.RequestID)
		} else {
			b.asked[e.RequestID] += " " + e.ErrorText
		}
	case *page.EventJavascriptDialogOpening:
		b.dialogs = append(b.dialogs, e.Message)
	}
	return ""
}

// foreign are the requests so far that went elsewhere than to the pages.
func (b *tab) foreign(base string) (urls []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.asked {
		if strings.HasPrefix(url, "http") && !strings.HasPrefix(url, base+"/") {
			urls = append(urls, url)
		}
	}
	slices.Sort(urls)
	return urls
}

// ran are the scripts that have made themselves heard.
func (b *tab) ran() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.dialogs)
}

// shows waits until the page shows a text, without being loaded again.
func (b *tab) shows(t *testing.T, text string) {
	t.Helper()
	b.Await(t, fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}
