package capture

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a test double without sockets, and what serves it.
type house struct {
	*Server
	t *testing.T
}

// newHouse has the users alice and bob, who may send as anybody.
func newHouse(t *testing.T, options ...smarthosttest.Option) *house {
	t.Helper()
	options = append([]smarthosttest.Option{smarthosttest.InMemory()}, options...)
	for _, name := range []string{"alice", "bob"} {
		options = append(options, smarthosttest.WithUser(smarthosttest.User{Name: name, Password: "secret", Senders: []string{"*"}}))
	}
	return &house{&Server{Mail: smarthosttest.NewServer(t, options...), Hosts: []string{"mail.example.org"}}, t}
}

// ask makes a request, which must be answered with that status.
func (h *house) ask(status int, method, path, body string) string {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	return h.serve(status, r).Body.String()
}

// try makes a request that may be answered in any way.
func (h *house) try(method, path string) string {
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, httptest.NewRequestWithContext(h.t.Context(), method, "http://localhost"+path, nil))
	return w.Body.String()
}

func (h *house) serve(status int, r *http.Request) *httptest.ResponseRecorder {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, r)
	if w.Code != status {
		h.t.Fatalf("%s %s: %d and not %d: %s", r.Method, r.URL, w.Code, status, w.Body)
	}
	return w
}

// get asks for JSON, which must have the fields of T and no others.
func get[T any](h *house, path string) (v T) {
	h.t.Helper()
	return decode[T](h, h.ask(http.StatusOK, "GET", path, ""))
}

func decode[T any](h *house, text string) (v T) {
	h.t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		h.t.Fatalf("%v in %s", err, text)
	}
	return v
}

// client is an SMTP client of a user that has logged in.
func (h *house) client(user, password string) (*smtp.Client, error) {
	conn, err := h.Mail.DialContext(h.t.Context(), "tcp", h.Mail.Addr)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(h.Mail.Addr)
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return nil, err
	}
	h.t.Cleanup(func() { c.Close() })
	if err := c.StartTLS(h.Mail.ClientTLS()); err != nil {
		return nil, err
	}
	return c, c.Auth(smtp.PlainAuth("", user, password, host))
}

// send sends a message of a user to one or more recipients, and says goodbye.
func (h *house) send(user, from, to, content string) error {
	c, err := h.client(user, "secret")
	if err != nil {
		return err
	}
	return h.sendBy(c, from, to, content)
}

func (h *house) sendBy(c *smtp.Client, from, to, content string) error {
	if err := h.deliver(c, from, to, content); err != nil {
		return err
	}
	return c.Quit()
}

// deliver sends a message.
func (h *house) deliver(c *smtp.Client, from, to, content string) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, address := range strings.Split(to, ",") {
		if err := c.Rcpt(address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, strings.ReplaceAll(content, "\n", "\r\n")); err != nil {
		return err
	}
	return w.Close()
}

// sent is send that must be taken.
func (h *house) sent(user, from, to, content string) {
	h.t.Helper()
	if err := h.send(user, from, to, content); err != nil {
		h.t.Fatal(err)
	}
}
