package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/seed-1397b510/smarthost/server/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const relayPassword = "hunter2-of-the-relay"

// house is a server over doubles that note what was asked of them.
type house struct {
	*Server
	log    *logBuffer
	orders []Order
	change func(ctx context.Context, progress func(Outcome)) (Outcome, error)
	entry  Entry          // the one that waits
	told   func() []Story // what Trace tells
	users  []User
	is     Status

	inForce ConfigInForce
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newHouse() *house {
	h := &house{log: new(logBuffer), entry: Entry{ID: "id1"}, users: []User{}, is: Status{Version: "1"}}
	h.Server = &Server{
		Hostname: "mx.example.org",
		Token: func(secret string) (Caller, error) {
			switch secret {
			case "broken":
				return Caller{}, errors.New("disk of " + secret)
			case "reader", "queue", "users", "all":
				return Caller{Name: "token of " + secret, Scopes: []Scope{Scope(strings.Replace(secret, "reader", "read", 1))}}, nil
			}
			return Caller{}, ErrToken
		},
		Health:   &Health{},
		Status:   func(context.Context) (Status, error) { return h.is, nil },
		Config:   func(context.Context) (ConfigInForce, error) { return h.inForce, nil },
		Queue:    h,
		Accounts: h,
		Refusals: new(Refusals),
		Metrics:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("counted 1\n")) }),
		Reload:   func(context.Context) error { return nil },
		Examine:  func(context.Context, func(Finding), func(string)) error { return nil },
		Log:      zerolog.New(h.log),
	}
	return h
}

func (h *house) List(_ context.Context, f Filter, _ string, _ int) (QueuePage, error) {
	if f.Account == "broken" {
		return QueuePage{}, errors.New("the database of " + relayPassword)
	}
	if len(f.IDs) > 0 && f.IDs[0] != "id1" {
		return QueuePage{Entries: []Entry{}}, nil
	}
	return QueuePage{Entries: []Entry{h.entry}}, nil
}

func (h *house) Change(ctx context.Context, o Order, progress func(Outcome)) (Outcome, error) {
	h.orders = append(h.orders, o)
	if h.change != nil {
		return h.change(ctx, progress)
	}
	return Outcome{Changed: 3, IDs: []string{}}, nil
}

func (h *house) Trace(context.Context, string, int) ([]Story, error) {
	if h.told == nil {
		return nil, nil
	}
	return h.told(), nil
}

func (h *house) Rules(context.Context) ([]Rule, error)           { return nil, nil }
func (h *house) AddRule(_ context.Context, r Rule) (Rule, error) { return r, nil }
func (h *house) RemoveRule(context.Context, int64) error         { return nil }

func (h *house) Users(context.Context, string) ([]User, error) { return h.users, nil }

func (h *house) AddDevice(context.Context, NewDevice) (string, error) { return "made-secret", nil }

func (h *house) RevokeDevice(_ context.Context, user, _ string) error {
	if user == "nobody" {
		return web.Fail(http.StatusNotFound, "there is no nobody", "look")
	}
	return nil
}

// asked is one request and what must come of it.
type asked struct {
	trusted              bool
	method, path, body   string
	token, host          string
	origin, site, accept string
	from                 string // "" = this machine
	want                 int
}

func (h *house) ask(a asked) *httptest.ResponseRecorder {
	r := httptest.NewRequest(a.method, a.path, strings.NewReader(a.body))
	r.Host, r.RemoteAddr = "localhost:8587", cmp.Or(a.from, "127.0.0.1:40000")
	if a.host != "" {
		r.Host = a.host
	}
	for name, value := range map[string]string{"Origin": a.origin, "Sec-Fetch-Site": a.site, "Accept": a.accept} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	if strings.HasSuffix(a.path, "/events") { // a stream that is let through ends at once
		ended, end := context.WithCancel(r.Context())
		end()
		r = r.WithContext(ended)
	}
	w := httptest.NewRecorder()
	h.handler(a.trusted).ServeHTTP(w, r)
	return w
}

// check asks, and holds every fault to its form.
func (h *house) check(t *testing.T, a asked) string {
	t.Helper()
	w := h.ask(a)
	if w.Code != a.want {
		t.Errorf("%+v: %d %s", a, w.Code, w.Body)
	}
	if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%+v: the header is %v", a, w.Header())
	}
	if a.want >= 400 && a.want != http.StatusServiceUnavailable {
		var f Fault
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || f.What == "" || f.Do == "" {
			t.Errorf("%+v: %q does not say what happened and what to do", a, w.Body)
		}
	}
	return w.Body.String()
}

// patience is for what must come at once and would not come at all if it were wrong.
const patience = 20 * time.Second
