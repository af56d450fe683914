package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/seed-1397b510/smarthost/server/web"
)

const (
	sessionName = "smarthost"
	sessionTime = time.Hour // since a page was last asked for
	maxSessions = 1000
)

// sessions are the browsers that have logged in, by the hash of their cookie. The token is kept to be asked about each time: one that is
// revoked ends its sessions.
type sessions struct {
	mu   sync.Mutex
	open map[[sha256.Size]byte]session
}

type session struct {
	token string
	ends  time.Time
}

// begin makes a cookie. If there are too many sessions the one that would end first does so now.
func (l *sessions) begin(token string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[[sha256.Size]byte]session{}
	}
	var oldest [sha256.Size]byte
	for key, o := range l.open {
		if time.Now().After(o.ends) {
			delete(l.open, key)
		} else if first, ok := l.open[oldest]; !ok || o.ends.Before(first.ends) {
			oldest = key
		}
	}
	if len(l.open) >= maxSessions {
		delete(l.open, oldest)
	}
	cookie := rand.Text()
	l.open[sha256.Sum256([]byte(cookie))] = session{token, time.Now().Add(sessionTime)}
	return cookie
}

// token is that with which a cookie's session began; "" if there is none, or no longer.
// It goes on for longer if it is used: a page that is left open does not keep it.
func (l *sessions) token(cookie string, used bool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := sha256.Sum256([]byte(cookie))
	o, ok := l.open[key]
	if !ok || time.Now().After(o.ends) {
		delete(l.open, key)
		return ""
	}
	if used {
		o.ends = time.Now().Add(sessionTime)
		l.open[key] = o
	}
	return o.token
}

func (l *sessions) end(cookie string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, sha256.Sum256([]byte(cookie)))
}

// visitor is who looks at a page, or the fault: 401 if nobody has logged in.
func (s *Server) visitor(r *http.Request, trusted, used bool) (Caller, *Fault) {
	if trusted {
		return socketCaller(r.Context()), nil
	}
	token := ""
	if cookie, err := r.Cookie(sessionName); err == nil {
		token = s.sessions.token(cookie.Value, used)
	}
	if token == "" {
		return Caller{}, web.Fail(http.StatusUnauthorized, "nobody has logged in", "log in")
	}
	return s.owner(token)
}

// loginForm is the form with what it says after a token that is not known.
type loginForm struct {
	Next, Wrong string
}

func (s *Server) loginPage(w http.ResponseWriter, r *request) error {
	return s.page(w, r, http.StatusOK, "login", "Log in", loginForm{Next: ownPath(r.URL.Query().Get("next"))})
}

func (s *Server) login(w http.ResponseWriter, r *request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	token, next := strings.TrimSpace(r.PostForm.Get("token")), ownPath(r.PostForm.Get("next"))
	c, f := s.guess(r.Request, token)
	if f != nil {
		s.logRefused(r.Request, f)
		return s.page(w, r, f.Status, "login", "Log in", loginForm{next, f.What + ": " + f.Do})
	}
	r.caller = c
	s.setCookie(w, r.Request, s.sessions.begin(token), 0)
	http.Redirect(w, r.Request, next, http.StatusSeeOther)
	return nil
}

func (s *Server) logout(w http.ResponseWriter, r *request) error {
	if cookie, err := r.Cookie(sessionName); err == nil {
		s.sessions.end(cookie.Value)
	}
	s.setCookie(w, r.Request, "", -1)
	http.Redirect(w, r.Request, "/login", http.StatusSeeOther)
	return nil
}

// setCookie gives or takes the cookie. The word of a proxy is enough to keep it to TLS: who lies takes it from nobody but himself.
func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionName, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
	})
}

// ownPath is a path of this server's pages, and that of the first page for whatever else it is given.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`) {
		return "/"
	}
	return u.RequestURI()
}

func badForm(err error) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return err
	}
	return web.Fail(http.StatusBadRequest, "the form cannot be read", "go back and send it again")
}
