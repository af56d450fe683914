//go:build e2e

package capture

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const patience = 30 * time.Second

// startChromium returns when it runs; each browser is a tab of its own. Frames of other origins stay in the tab's process, so that the tab hears
// of their requests.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-features", "site-per-process,IsolateSandboxedIframes,Translate"))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	lab.Check(t, chromedp.Do(ctx))
	return ctx
}

// A browser is a tab, and what it has been up to.
type browser struct {
	ctx context.Context

	mu      sync.Mutex
	asked   map[network.RequestID]string // URLs of requests that were not held back
	dialogs []string
	faults  []string // of the page's own script
}

// look is how a page is looked at.
type look struct {
	width   int64
	scripts bool
	scheme  string // light or dark
}

func (l look) String() string { return fmt.Sprintf("%d-%s-scripts-%v", l.width, l.scheme, l.scripts) }

func open(t *testing.T, chromium context.Context, l look) *browser {
	t.Helper()
	b := &browser{asked: map[network.RequestID]string{}}
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.hear))
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, 6*patience)
	t.Cleanup(stop)
	b.ctx = ctx
	b.run(t,
		set(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !l.scripts}),
		set(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: 900, DeviceScaleFactor: 1, Mobile: l.width < 500}),
		set(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}}))
	return b
}

// set is a command of which the answer says nothing.
func set[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}

func (b *browser) hear(event any) {
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
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		b.dialogs = append(b.dialogs, e.Message)
		go func() { // a dialog that nobody answers stops the page
			chromedp.Run(b.ctx, set(page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true}))
		}()
	}
}

// foreign are the requests so far that went elsewhere than to the pages.
func (b *browser) foreign(base string) (urls []string) {
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
func (b *browser) ran() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.dialogs)
}

func (b *browser) run(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		t.Fatalf("%v; the page is\n%s\n%v", err, text, b.faults)
	}
}

// ask is an action with its answer.
func ask[T any](t *testing.T, b *browser, action chromedp.Action[T]) T {
	t.Helper()
	answer, err := chromedp.Run(b.ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// text is what can be read of the page.
func (b *browser) text(t *testing.T) string {
	t.Helper()
	return ask(t, b, chromedp.Evaluate[string](`document.querySelector("main").innerText`))
}

// shows waits until the page shows a text, without being loaded again.
func (b *browser) shows(t *testing.T, text string) {
	t.Helper()
	ask(t, b, chromedp.Poll[bool](fmt.Sprintf(`document.body.innerText.includes(%q)`, text), chromedp.WithPollingTimeout(patience)))
}

// picture keeps a picture of the whole page with the test's artifacts.
func (b *browser) picture(t *testing.T, name string) {
	t.Helper()
	png := ask(t, b, chromedp.FullScreenshot(100))
	lab.Check(t, os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), png, 0o644))
}

// check asks the page itself what is wrong with it, as the operator's pages are asked. The frame for mail is its own.
func (b *browser) check(t *testing.T, where string) {
	t.Helper()
	script, err := os.ReadFile("../pages/testdata/checks.js")
	lab.Check(t, err)
	wrong := ask(t, b, chromedp.Evaluate[[]string](string(script)))
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range append(wrong, b.faults...) {
		if !strings.Contains(fault, `none of the page's own: <iframe title="The message as HTML"`) {
			t.Errorf("%s: %s", where, fault)
		}
	}
}
