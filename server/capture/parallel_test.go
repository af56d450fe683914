package capture

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Tests that run at the same time, each with a user of its own, do not meet: not in mail, rules, sessions or limits.
func TestManyAtATime(t *testing.T) {
	h := newHouse(t)
	front := httptest.NewServer(h.Handler())
	defer front.Close()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := h.oneOfMany(front.URL, i); err != nil {
				t.Errorf("test %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	front.Client().CloseIdleConnections()
}

// oneOfMany is one test: the first message is refused, the second taken, and it is the only one; a third is beyond the limit of 2, because the
// first one's client has not given up yet.
func (h *house) oneOfMany(url string, i int) error {
	ask := func(method, path, body string) (string, error) {
		r := httptest.NewRequest(method, url+path, strings.NewReader(body))
		w := httptest.NewRecorder()
		if h.Handler().ServeHTTP(w, r); w.Code >= 300 {
			return "", fmt.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		return w.Body.String(), nil
	}
	text, err := ask("POST", "/api/t/v1/users", `{"limits":{"messages":"2/1h"}}`)
	if err != nil {
		return err
	}
	a := decode[Account](h, text)
	inbox := strings.TrimPrefix(a.BaseURL, url)
	if _, err := ask("PUT", inbox+"/api/t/v1/script", `[{"on":"rcpt","times":1,"do":{"reply":[451,"4.7.1","later"]}}]`); err != nil {
		return err
	}
	answer, err := http.Get(a.BaseURL + "/readyz")
	if err != nil {
		return err
	}
	answer.Body.Close()
	waited := make(chan error, 1)
	go func() {
		_, err := ask("GET", inbox+"/api/t/v1/messages?wait=1m", "")
		waited <- err
	}()
	for n, want := range []int{451, 0, 450} {
		c, err := h.client(a.User, a.Password)
		if err != nil {
			return err
		}
		if err := h.sendBy(c, a.User, "bob@example.net", strings.Replace(note, "hello", fmt.Sprint(i, n), 1)); want == 0 && err != nil || want > 0 && !refusedWith(err, want) {
			return fmt.Errorf("message %d: %w", n, err)
		}
	}
	if err := <-waited; err != nil {
		return err
	}
	of, err := ask("GET", inbox+"/api/v1/messages", "")
	if page := decode[mailpitMessages](h, of); err != nil || page.Total != 1 || page.Messages[0].Subject != fmt.Sprint(i, 1) {
		return fmt.Errorf("there is other mail: %+v %w", page, err)
	}
	if n := len(h.Mail.Inbox(a.User).Sessions()); n != 3 {
		return fmt.Errorf("%d sessions", n)
	}
	if text, err = ask("DELETE", inbox+"/api/t/v1/script", ""); err != nil || text != `{"unmet":[]}`+"\n" {
		return fmt.Errorf("unmet: %s %w", text, err)
	}
	return nil
}
