package admin

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed-1397b510/smarthost/server/web"
)

// gate lets through what may reach a route at all.
func (s *Server) gate(next http.Handler) http.Handler {
	return web.Gate{
		Ours:   func(name string) bool { return name == "localhost" || name == strings.ToLower(s.Hostname) },
		Advice: "use localhost, an address of this server, or " + s.Hostname,
		Policy: "default-src 'none'; frame-ancestors 'none'",
		Refuse: s.refuse,
	}.Before(next)
}

// caller is who makes the request, or the fault.
func (s *Server) caller(r *http.Request, trusted bool) (Caller, *Fault) {
	if trusted {
		return socketCaller(r.Context()), nil
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return Caller{}, web.Fail(http.StatusUnauthorized, "this needs a token", "send Authorization: Bearer TOKEN; smarthost token add NAME --scope SCOPE makes one")
	}
	return s.guess(r, strings.TrimSpace(secret))
}

// guess is owner for a token that comes from outside. An address from which too many wrong ones came has to wait, with a right one too if it
// is new.
func (s *Server) guess(r *http.Request, token string) (Caller, *Fault) {
	l := s.guesses.limiter(r.RemoteAddr)
	if l != nil && l.Tokens() < 1 && !s.guesses.known(token) {
		return Caller{}, web.Fail(http.StatusTooManyRequests, "too many wrong tokens came from this address", "try again in a minute, or use the socket in the data folder")
	}
	c, f := s.owner(token)
	switch {
	case f == nil:
		s.guesses.know(token)
	case f.Status == http.StatusUnauthorized:
		s.guesses.unknow(token)
		if l != nil {
			l.Allow()
		}
	}
	return c, f
}

// owner is whose token it is, or the fault.
func (s *Server) owner(token string) (Caller, *Fault) {
	c, err := s.Token(token)
	switch {
	case errors.Is(err, ErrToken):
		return Caller{}, web.Fail(http.StatusUnauthorized, "this token is not known, or was revoked", "smarthost token list shows those that are")
	case err != nil:
		if s.refused.more("tokens") {
			s.Log.Error().Err(err).Msg("the tokens cannot be read")
		}
		return Caller{}, web.Fail(http.StatusServiceUnavailable, "the tokens cannot be read", "the log of the server says why; try again")
	}
	return c, nil
}

// refuse answers with a fault, and logs what may be an attack.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f *Fault) {
	s.logRefused(r, f)
	switch f.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="smarthost"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
	}
	f.Answer(w)
}

func (s *Server) logRefused(r *http.Request, f *Fault) {
	if !s.refused.more(strconv.Itoa(f.Status)) {
		return
	}
	s.Log.Warn().Str("from", r.RemoteAddr).Str("method", web.Printable(r.Method)).Str("path", web.Printable(r.URL.Path)).Int("status", f.Status).
		Str("why", f.What).Msg("admin request refused")
}
