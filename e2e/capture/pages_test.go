//go:build e2e

package capture

import (
	"fmt"
	"net/smtp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/browser"
	"github.com/seed-1397b510/smarthost/e2e/lab"
	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

const picture = "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFklEQVR4nGNgmPCfJDSqYVTDkNUAACWj/2HNR3GNAAAAAElFTkSuQmCC" // 16 by 16

// letter is a message with all that there is to look at.
const letter = `From: "Shop" <shop@example.com>
To: Bob <bob@example.net>
Subject: =?utf-8?q?Your_order_=E2=80=AEgnp.exe?=
Message-ID: <1@example.com>
Date: Tue, 24 Nov 2026 10:00:00 +0000
Bcc: hidden@example.net
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/related; boundary=r

--r
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Thank you for your order 4711.
See https://shop.example.com/orders/4711
--a
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 8bit

<style>h1 { color: #0a4fa3; font-family: sans-serif } td { padding: .5em; border-bottom: 1px solid #ccc }</style>
<h1>Thank you <img src="cid:logo@example.com" alt="logo" width=32></h1><p>Your order 4711 is on its way.</p>
<table><tr><td>Tea<td>2<td>9.80 €<tr><td>Pot<td>1<td>24.00 €</table>
<p><a href="https://evil.example.net/login">https://shop.example.com/orders/4711</a> <img src="https://tracker.example.net/pixel.gif"></p>
--a--
--r
Content-Type: image/png
Content-ID: <logo@example.com>
Content-Transfer-Encoding: base64

` + picture + `
--r--
--m
Content-Type: text/html; name="invoice.html"
Content-Disposition: attachment; filename="in/voice` + "\u202e" + `.html"

<script>alert('attachment')</script>
--m--
`

// newOffice is a house in which there is something to see.
func newOffice(t *testing.T) (h *house, id string) {
	h = newHouse(t, nil)
	if err := h.mail.Inbox("shop").SetRules(smarthosttest.On(smarthosttest.RCPT).To("full@*").Times(3).Reply(452, "4.2.2", "mailbox full")); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		h.sendHTML(t, fmt.Sprintf("Number %d %s", i, strings.Repeat("long ", i*i)), "<p>Hello</p>")
	}
	if h.try("shop", "shop@example.com", []string{"full@example.net"}, "") == nil || h.try("shop", "somebody@example.org", nil, "") == nil {
		t.Fatal("what should be refused was taken")
	}
	return h, h.send(t, "shop", "shop@example.com", []string{"bob@example.net", "hidden@example.net"}, letter)
}

// TestPages looks at every page in every way.
func TestPages(t *testing.T) {
	h, id := newOffice(t)
	silent := h.mail.Inbox("shop").Sessions()[0].ID
	chromium := startChromium(t)
	var paths []string
	for _, view := range []string{"html", "source", "text", "headers", "raw", "files", "session", "findings", "test"} {
		paths = append(paths, "/inbox/shop/mail/"+id+"?view="+view)
	}
	paths = append(paths, "/", "/?search=number", "/?search=nothing+like+this", "/inbox/shop/", "/sessions", "/inbox/shop/sessions/"+silent, "/sessions?brought=nothing", "/findings", "/rules",
		"/inbox/shop/rules", "/inbox/app/rules", "/mail/none", "/inbox/nobody/")
	for _, l := range []browser.Look{{Width: 1280, Scripts: true, Scheme: "light"}, {Width: 1280, Scripts: false, Scheme: "dark"}, {Width: 320, Scripts: false, Scheme: "light"}, {Width: 320, Scripts: true, Scheme: "dark"}} {
		t.Run(l.String(), func(t *testing.T) {
			b := open(t, chromium, l)
			for _, path := range paths {
				b.Run(t, chromedp.Navigate(h.base+path), chromedp.WaitVisible(chromedp.CSS("footer")))
				b.Check(t, path, ownFrame)
				b.Picture(t, strings.NewReplacer(id, "id", silent, "silent").Replace("office"+path))
			}
		})
	}
}

// TestMailComesWhileSomebodyLooks keeps a page open: what comes and goes is seen without loading it again, and what is read stays.
func TestMailComesWhileSomebodyLooks(t *testing.T) {
	h := newHouse(t, nil)
	b := open(t, startChromium(t), browser.Look{Width: 1280, Scripts: true, Scheme: "light"})
	b.Run(t, chromedp.Navigate(h.base+"/inbox/app/"))
	b.shows(t, "There is no mail yet.")
	b.shows(t, "Kept up to date.")
	first := h.sendHTML(t, "The first", "<p>Hello</p>")
	b.shows(t, "The first")
	b.Run(t, chromedp.Navigate(h.base+"/inbox/app/mail/"+first))
	b.shows(t, "Kept up to date.")
	browser.Ask(t, b.Tab, chromedp.Evaluate[bool](`window.frame = document.querySelector("iframe"), true`))
	h.sendHTML(t, "The second", "<p>Hello</p>")
	b.shows(t, "The second")
	h.send(t, "shop", "shop@example.com", []string{"bob@example.net"}, "Subject: Of another inbox\n\nHello\n")
	h.sendHTML(t, "The third", "<p>Hello</p>")
	b.shows(t, "The third")
	if !browser.Ask(t, b.Tab, chromedp.Evaluate[bool](`window.frame === document.querySelector("iframe")`)) {
		t.Error("the message that was open was loaded again")
	}
	if text := b.Text(t); strings.Contains(text, "Of another inbox") {
		t.Errorf("the inbox of app shows\n%s", text)
	}
	h.mail.Inbox("app").Delete()
	b.shows(t, "There is no mail yet.")
}

// TestSessionIsFollowed looks at a session while it goes on.
func TestSessionIsFollowed(t *testing.T) {
	h := newHouse(t, nil)
	b := open(t, startChromium(t), browser.Look{Width: 1280, Scripts: true, Scheme: "light"})
	b.Run(t, chromedp.Navigate(h.base+"/sessions"))
	b.shows(t, "Kept up to date.")
	c, err := smtp.Dial(h.mail.Addr)
	lab.Check(t, err)
	defer c.Close()
	lab.Check(t, c.Hello("client.example.com"))
	b.shows(t, "nobody")
	b.Run(t, chromedp.Navigate(h.base+"/sessions/"+h.mail.Sessions()[0].ID))
	b.shows(t, "Kept up to date.")
	if err := c.Mail("app@example.com"); err == nil {
		t.Fatal("MAIL was taken before TLS")
	}
	b.shows(t, "MAIL FROM:<app@example.com>")
	lab.Check(t, c.Quit())
	b.shows(t, "the session ended with QUIT")
}

// TestKeys goes through the list with keys alone.
func TestKeys(t *testing.T) {
	h := newHouse(t, nil)
	for _, subject := range []string{"One", "Two", "Three"} {
		h.sendHTML(t, subject, "<p>Hello</p>")
	}
	b := open(t, startChromium(t), browser.Look{Width: 1280, Scripts: true, Scheme: "dark"})
	b.Run(t, chromedp.Navigate(h.base+"/"), chromedp.KeyEvent("jjk"), chromedp.KeyEvent("j"), chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS("article h1")))
	if text := browser.Ask(t, b.Tab, chromedp.Evaluate[string](`document.querySelector("article h1").innerText`)); text != "Two" {
		t.Errorf("Enter opens %q", text)
	}
	b.Run(t, chromedp.KeyEvent("?"))
	b.shows(t, "go down and up in the list")
	// The browser is sent the slash as a key and again as a sign, which the field takes.
	b.Run(t, chromedp.KeyEvent("/"), chromedp.KeyEvent("jk?three\r"), chromedp.WaitVisible(chromedp.CSS(`#search[value$="jk?three"]`)))
	b.shows(t, "No mail is like this.")
}

// TestClearWithoutScripts empties an inbox as a browser does that knows nothing but HTML.
func TestClearWithoutScripts(t *testing.T) {
	h := newHouse(t, nil)
	h.sendHTML(t, "One", "<p>Hello</p>")
	b := open(t, startChromium(t), browser.Look{Width: 320, Scripts: false, Scheme: "light"})
	b.Run(t, chromedp.Navigate(h.base+"/inbox/app/"), chromedp.Click(chromedp.CSS(".clear summary")), chromedp.Click(chromedp.CSS(".clear button")), chromedp.WaitVisible(chromedp.CSS("#list > .note")))
	if left := h.mail.Messages(); len(left) > 0 {
		t.Errorf("%d messages are left", len(left))
	}
}
