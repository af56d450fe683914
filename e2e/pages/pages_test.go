//go:build e2e

package pages

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed-1397b510/smarthost/e2e/browser"
	"github.com/seed-1397b510/smarthost/e2e/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

const (
	base     = "http://127.0.0.1:8587" // where the pages are unless the config says something else
	patience = 15 * time.Second
)

// A house is a server with its next hop.
type house struct {
	*lab.Smarthost
	token string
	busy  atomic.Bool // the next hop puts mail off
	mute  sync.Mutex  // whoever has it keeps the next hop from greeting
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{}
	h.Smarthost = lab.NewSmarthost(t, fmt.Sprintf("relay = %q\n", "smtp://"+h.hop(t)+"?tls=none"))
	h.Start(t)
	h.token = h.newToken(t, "operator", "all")
	return h
}

func (h *house) newToken(t *testing.T, name, scope string) string {
	t.Helper()
	out, err := h.Command("token", "add", name, "--scope", scope).Output()
	lab.Check(t, err)
	words := strings.Fields(string(out))
	return words[len(words)-1]
}

// hop takes mail unless it is busy.
func (h *house) hop(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	lab.Check(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.converse(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

// converse is one conversation; there is one at a time.
func (h *house) converse(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	h.mute.Lock()
	fmt.Fprint(c, "220 hop.example ESMTP\r\n")
	h.mute.Unlock()
	content := false
	for lines := bufio.NewScanner(c); lines.Scan(); {
		line := lines.Text()
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch {
		case content && line == ".":
			content = false
			fmt.Fprint(c, "250 2.0.0 taken <b>bold</b>\r\n")
		case content:
		case verb == "RCPT" && h.busy.Load():
			fmt.Fprint(c, "450 4.2.1 <script>alert('busy')</script> mailbox busy\r\n")
		case verb == "DATA":
			content = true
			fmt.Fprint(c, "354 go on\r\n")
		case verb == "QUIT":
			fmt.Fprint(c, "221 2.0.0 bye\r\n")
			return
		default:
			fmt.Fprint(c, "250 2.0.0 ok\r\n")
		}
	}
}

// send hands a mail in and returns its id.
func (h *house) send(t *testing.T, from, to string) string {
	t.Helper()
	d, err := h.Dial()
	lab.Check(t, err)
	defer d.Close()
	reply, err := d.Send(from, to, "", []byte("Subject: <b>secret subject</b>\r\n\r\nsecret content\r\n"), "250")
	lab.Check(t, err)
	_, id, found := strings.Cut(strings.TrimSpace(reply), "queued as ")
	if !found {
		t.Fatalf("no id in %q", reply)
	}
	return id
}

// login tries a password, and returns the reply.
func (h *house) login(t *testing.T, user, password string) string {
	t.Helper()
	d, err := h.DialTLS(net.Dialer{Timeout: patience})
	lab.Check(t, err)
	defer d.Close()
	reply, err := d.Say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)), "")
	lab.Check(t, err)
	return reply
}

// TestEveryPage looks at each page in every way.
func TestEveryPage(t *testing.T) {
	h := newHouse(t)
	h.busy.Store(true)
	id := h.send(t, "alice@example.org", `"<script>alert(1)</script>"@example.net`)
	h.send(t, strings.Repeat("a", 60)+"@"+strings.Repeat("long.", 30)+"example.org", "bob@example.net")
	h.login(t, "<img src=x onerror=alert(1)>", "wrong")
	h.login(t, lab.User, "wrong")
	out, err := h.Command("device", "add", lab.User, "laptop", "--expires", "90d").CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	paths := []string{"/now", "/refusals", "/refusals?search=wrong", "/refusals?search=nothing", "/queue", "/queue?state=held", "/queue/order?do=drop&id=" + id, "/queue/order?do=hold",
		"/trace", "/trace?of=" + id, "/trace?of=nothing", "/users", "/config", "/config?search=nothing", "/users/revoke?user=alice&device=laptop", "/doctor"}
	chromium := browser.Start(t)
	for _, l := range []browser.Look{{Width: 320, Scripts: true, Scheme: "light"}, {Width: 320, Scripts: false, Scheme: "dark"}, {Width: 1280, Scripts: false, Scheme: "light"}, {Width: 1280, Scripts: true, Scheme: "dark"}} {
		t.Run(l.String(), func(t *testing.T) {
			b := open(t, chromium, l)
			b.Run(t, chromedp.Navigate(base+"/login"), chromedp.WaitVisible(chromedp.CSS("#token")))
			b.Check(t, "/login")
			b.Picture(t, "/login")
			b.login(t, base, h.token, "/queue?account=alice")
			for _, path := range paths {
				b.Run(t, chromedp.Navigate(base+path), chromedp.WaitVisible(chromedp.CSS("main")))
				b.Check(t, path)
				if text := b.Text(t); strings.Contains(text, "secret") {
					t.Errorf("%s shows the content of mail: %s", path, text)
				}
				b.Picture(t, strings.ReplaceAll(path, id, "id"))
			}
		})
	}
}

// TestMailIsFollowed looks at a mail from before it comes until it is delivered, on a page that is loaded once.
func TestMailIsFollowed(t *testing.T) {
	h := newHouse(t)
	b := open(t, browser.Start(t), browser.Look{Width: 1280, Scripts: true, Scheme: "light"})
	b.login(t, base, h.token, "/trace?of=bob%40example.net")
	b.stay(t)
	b.shows(t, "There is no such mail")
	h.mute.Lock()
	h.busy.Store(true)
	id := h.send(t, "alice@example.org", "bob@example.net")
	b.shows(t, id)
	b.shows(t, "Nothing yet.")
	b.Picture(t, "/trace-accepted")
	h.mute.Unlock()
	b.shows(t, "mailbox busy")
	h.busy.Store(false)
	if out, err := h.Command("queue", "retry", id).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b.shows(t, "taken <b>bold</b>")
	if text := b.Text(t); !strings.Contains(text, "delivered") || !strings.Contains(text, "<script>alert('busy')</script>") {
		t.Error(text)
	}
	b.Check(t, "/trace")
	b.Picture(t, "/trace-ended")
}

// TestOrderWithoutScripts holds a mail and drops it, as does a browser that knows nothing but HTML.
func TestOrderWithoutScripts(t *testing.T) {
	h := newHouse(t)
	h.busy.Store(true)
	id := h.send(t, "alice@example.org", "bob@example.net")
	b := open(t, browser.Start(t), browser.Look{Width: 320, Scripts: false, Scheme: "light"})
	b.login(t, base, h.token, "/queue")
	for _, order := range [][2]string{{"Hold", "held"}, {"Drop", "No mail waits"}} {
		b.Run(t, chromedp.Navigate(base+"/queue"), chromedp.Click(chromedp.Search(`//a[starts-with(., "`+order[0]+`")]`)),
			chromedp.WaitVisible(chromedp.CSS(`form[action="/queue/order"] button`)))
		if text := b.Text(t); !strings.Contains(text, "1 delivery would change") || !strings.Contains(text, id) {
			t.Error(text)
		}
		b.Run(t, chromedp.Click(chromedp.CSS(`form[action="/queue/order"] button`)), chromedp.WaitVisible(chromedp.CSS(".note.good")), chromedp.Navigate(base+"/queue"))
		if text := b.Text(t); !strings.Contains(text, order[1]) {
			t.Errorf("after %s: %s", order[0], text)
		}
	}
	b.Run(t, chromedp.Click(chromedp.CSS(".out button")), chromedp.WaitVisible(chromedp.CSS("#token")), chromedp.Navigate(base+"/queue"), chromedp.WaitVisible(chromedp.CSS("#token")))
	for _, fault := range b.Complaints() {
		t.Error(fault)
	}
}

// TestDevice makes a device with the configuration of its client, logs in with the password in it, and revokes it.
func TestDevice(t *testing.T) {
	h := newHouse(t)
	for _, scripts := range []bool{true, false} {
		t.Run(browser.Look{Width: 320, Scripts: scripts, Scheme: "dark"}.String(), func(t *testing.T) {
			b := open(t, browser.Start(t), browser.Look{Width: 320, Scripts: scripts, Scheme: "dark"})
			b.login(t, base, h.token, "/users")
			read := func() int { return strings.Count(h.Log(), `"message":"accounts read"`) }
			before := read()
			b.Run(t, chromedp.Click(chromedp.CSS("summary")), chromedp.SendKeys(chromedp.CSS("#device-0"), "laptop"), chromedp.SetValue(chromedp.CSS("#client-0"), "env"),
				chromedp.Click(chromedp.CSS(`form[action="/users/devices"] button`)), chromedp.WaitVisible(chromedp.CSS("pre")))
			text := browser.Ask(t, b.Tab, chromedp.Evaluate[string](`document.querySelector("pre").textContent`))
			b.Check(t, "/users/devices")
			b.Picture(t, "/made")
			_, password, _ := strings.Cut(text, "SMTP_PASSWORD=")
			password, _, _ = strings.Cut(strings.Trim(password, `'"`), "\n")
			password = strings.Trim(password, `'"`)
			lab.Await(t, "the accounts", patience, func() bool { return read() > before })
			if reply := h.login(t, "alice", password); !strings.HasPrefix(reply, "235") {
				t.Fatalf("%s with %q out of\n%s", reply, password, text)
			}
			b.Run(t, chromedp.Navigate(base+"/users"), chromedp.Click(chromedp.Search(`//a[starts-with(., "Revoke")]`)), chromedp.WaitVisible(chromedp.CSS(".grave")))
			b.Run(t, chromedp.Click(chromedp.CSS(".grave")), chromedp.WaitVisible(chromedp.CSS(".note.good")))
			b.Check(t, "/users/revoke")
			lab.Await(t, "the end of the device", patience, func() bool { return strings.HasPrefix(h.login(t, "alice", password), "535") })
		})
	}
}

// TestRevokedTokenEndsTheSession: whoever is logged in with a token that is revoked sees no more, not even what is kept up to date.
func TestRevokedTokenEndsTheSession(t *testing.T) {
	h := newHouse(t)
	b := open(t, browser.Start(t), browser.Look{Width: 1280, Scripts: true, Scheme: "light"})
	b.login(t, base, h.newToken(t, "guest", "read"), "/now")
	if out, err := h.Command("token", "revoke", "guest").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b.Run(t, chromedp.Navigate(base+"/refusals"), chromedp.WaitVisible(chromedp.CSS("#token")))
}
