//go:build e2e

package pages

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const patience = 15 * time.Second

// startChromium returns when it runs; each browser is a tab of its own.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	lab.Check(t, chromedp.Do(ctx))
	return ctx
}

// A browser is a tab with what it complains about.
type browser struct {
	ctx    context.Context
	mu     sync.Mutex
	faults []string
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
	b := &browser{}
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.hear))
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, 4*patience)
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

// hear notes whatever a developer would see in red.
func (b *browser) hear(event any) {
	fault := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level != log.EntryLevelVerbose {
			fault = fmt.Sprintf("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		fault = fmt.Sprintf("console.%s", e.Type)
	case *runtime.EventExceptionThrown:
		fault = e.ExceptionDetails.Text
	case *page.EventJavascriptDialogOpening:
		fault = "a dialog: " + e.Message
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			fault = fmt.Sprintf("%d %s", e.Response.Status, e.Response.URL)
		}
	}
	if fault != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = append(b.faults, fault)
	}
}

// complaints are what was heard since the last time.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.faults
	b.faults = nil
	return all
}

func (b *browser) run(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		t.Fatalf("%v; the page is\n%s\n%v", err, text, b.complaints())
	}
}

// ask is an action with its answer.
func ask[T any](t *testing.T, b *browser, action chromedp.Action[T]) T {
	t.Helper()
	answer, err := chromedp.Run(b.ctx, action)
	if err != nil {
		t.Fatalf("%v; %v", err, b.complaints())
	}
	return answer
}

// login goes the way that a person goes: from a page to the form, and back to the page.
func (b *browser) login(t *testing.T, base, token, path string) {
	t.Helper()
	b.run(t, chromedp.Navigate(base+path), chromedp.SendKeys(chromedp.CSS("#token"), token+"\r"), chromedp.WaitVisible(chromedp.CSS("nav")))
	if at := ask(t, b, chromedp.Location()); at != base+path {
		t.Fatalf("the login leads to %s, want %s", at, path)
	}
}

// text is what can be read of the page.
func (b *browser) text(t *testing.T) string {
	t.Helper()
	return ask(t, b, chromedp.Evaluate[string](`document.querySelector("main").innerText`))
}

// picture keeps a picture of the whole page with the test's artifacts: go test -artifacts says where they are.
func (b *browser) picture(t *testing.T, path string) {
	t.Helper()
	name := strings.NewReplacer("/", "-", "?", "-", "=", "-", "&", "-").Replace(strings.Trim(path, "/"))
	png := ask(t, b, chromedp.FullScreenshot(100))
	lab.Check(t, os.WriteFile(filepath.Join(t.ArtifactDir(), name[:min(len(name), 80)]+".png"), png, 0o644))
}

// check asks the page itself what is wrong with it: checks.js returns a list.
func (b *browser) check(t *testing.T, where string) {
	t.Helper()
	script, err := os.ReadFile("testdata/checks.js")
	lab.Check(t, err)
	wrong := ask(t, b, chromedp.Evaluate[[]string](string(script)))
	for _, fault := range append(wrong, b.complaints()...) {
		t.Errorf("%s: %s", where, fault)
	}
}
