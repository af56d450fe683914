//go:build e2e

package browser

import (
	"context"
	_ "embed"
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
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const patience = 30 * time.Second // for what a page is to show

//go:embed checks.js
var checks string

// Start returns when Chromium runs, which it does until the test ends. Each tab has cookies and a cache of its own.
func Start(t *testing.T, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir())}, flags)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	lab.Check(t, chromedp.Do(ctx))
	return ctx
}

// Look is how a page is looked at.
type Look struct {
	Width   int64 // CSS pixels; below 500 it is a telephone's
	Scripts bool
	Scheme  string // light or dark
}

func (l Look) String() string { return fmt.Sprintf("%d-%s-scripts-%v", l.Width, l.Scheme, l.Scripts) }

// A Tab is a page with what is wrong with it. Exceptions of its scripts are faults, and dialogs are answered, since one that waits stops the page.
type Tab struct {
	ctx     context.Context
	hear    func(event any) (fault string)
	answers sync.WaitGroup // to dialogs

	mu     sync.Mutex
	faults []string
}

// Open opens a tab until the test ends. hear is told each event, one after the other, and returns what is wrong with it, or nothing.
func Open(t *testing.T, chromium context.Context, l Look, hear func(event any) (fault string)) *Tab {
	t.Helper()
	b := &Tab{hear: hear}
	t.Cleanup(b.answers.Wait)
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.listen))
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, 6*patience)
	t.Cleanup(stop)
	b.ctx = ctx
	b.Run(t,
		set(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !l.Scripts}),
		set(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.Width, Height: 900, DeviceScaleFactor: 1, Mobile: l.Width < 500}),
		set(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.Scheme}}}))
	return b
}

// set is a command of which the answer says nothing.
func set[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}

func (b *Tab) listen(event any) {
	fault := b.hear(event)
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = e.ExceptionDetails.Text
	case *page.EventJavascriptDialogOpening:
		b.answers.Go(func() {
			chromedp.Run(b.ctx, set(page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true}))
		})
	}
	if fault != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = append(b.faults, fault)
	}
}

// Complaints are the faults since the last time.
func (b *Tab) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.faults
	b.faults = nil
	return all
}

// Run takes steps, one after the other; one that cannot be taken ends the test.
func (b *Tab) Run(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		t.Fatalf("%v; the page is\n%s\n%v", err, text, b.Complaints())
	}
}

// Ask is a step with its answer.
func Ask[T any](t *testing.T, b *Tab, step chromedp.Action[T]) T {
	t.Helper()
	answer, err := chromedp.Run(b.ctx, step)
	if err != nil {
		t.Fatalf("%v; %v", err, b.Complaints())
	}
	return answer
}

// Await waits until an expression is true on the page.
func (b *Tab) Await(t *testing.T, expression string) {
	t.Helper()
	Ask(t, b, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience)))
}

// Text is what can be read of the page.
func (b *Tab) Text(t *testing.T) string {
	t.Helper()
	return Ask(t, b, chromedp.Evaluate[string](`document.querySelector("main").innerText`))
}

// Picture keeps a picture of the whole page, named after its path, with the test's artifacts.
func (b *Tab) Picture(t *testing.T, path string) {
	t.Helper()
	name := strings.NewReplacer("/", "-", "?", "-", "=", "-", "&", "-").Replace(strings.Trim(path, "/"))
	png := Ask(t, b, chromedp.FullScreenshot(100))
	lab.Check(t, os.WriteFile(filepath.Join(t.ArtifactDir(), name[:min(len(name), 80)]+".png"), png, 0o644))
}

// Check asks the page itself what is wrong with it, and adds the complaints. What contains one of the texts in except is none.
func (b *Tab) Check(t *testing.T, where string, except ...string) {
	t.Helper()
	wrong := Ask(t, b, chromedp.Evaluate[[]string](checks))
	for _, fault := range append(wrong, b.Complaints()...) {
		if !slices.ContainsFunc(except, func(text string) bool { return strings.Contains(fault, text) }) {
			t.Errorf("%s: %s", where, fault)
		}
	}
}
