package admin

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// gate lets through what may reach a route at all.
func (s *Server) gate(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		if !s.isOurs(r.Host) {
			s.refuse(w, r, &Fault{http.StatusMisdirectedRequest, "requests for the host " + logged(r.Host) + " are not answered here",
				"use localhost, an address of this server, or " + s.Hostname})
			return
		}
		if err := origins.Check(r); err != nil || foreign(r) {
			s.refuse(w, r, &Fault{http.StatusForbidden, "this request comes from a page of another site", "use this server's own pages, or a program that is no browser"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurs tells whether a Host is one that requests may be for. To make a browser believe that a foreign site is this server, by DNS
// rebinding, takes a name; an address, whichever it is (port mappings have their own), cannot be rebound. Load balancers that ask in
// HTTP/1.0 say none, and no browser does that.
func (s *Server) isOurs(host string) bool {
	if host == "" {
		return true
	}
	u, err := url.Parse("//" + host)
	if err != nil || u.User != nil || u.Path != "" {
		return false
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || name == strings.ToLower(s.Hostname)
}

// foreign tells of a request by a page of another site. CrossOriginProtection lets those pass that only read.
func foreign(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || u.Host != r.Host
}

// caller is who makes the request, or the fault.
func (s *Server) caller(r *http.Request, trusted bool) (Caller, *Fault) {
	if trusted {
		return socketCaller(r.Context()), nil
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return Caller{}, &Fault{http.StatusUnauthorized, "this needs a token", "send Authorization: Bearer TOKEN; smarthost token add NAME --scope SCOPE makes one"}
	}
	return s.guess(r, strings.TrimSpace(secret))
}

// guess is owner for a token that comes from outside. An address from which too many wrong ones came has to wait, with a right one too if it
// is new.
func (s *Server) guess(r *http.Request, token string) (Caller, *Fault) {
	l := s.guesses.limiter(r.RemoteAddr)
	if l != nil && l.Tokens() < 1 && !s.guesses.known(token) {
		return Caller{}, &Fault{http.StatusTooManyRequests, "too many wrong tokens came from this address", "try again in a minute, or use the socket in the data folder"}
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
		return Caller{}, &Fault{http.StatusUnauthorized, "this token is not known, or was revoked", "smarthost token list shows those that are"}
	case err != nil:
		if s.refused.more("tokens") {
			s.Log.Error().Err(err).Msg("the tokens cannot be read")
		}
		return Caller{}, &Fault{http.StatusServiceUnavailable, "the tokens cannot be read", "the log of the server says why; try again"}
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
	answer(w, f.Status, f)
}

func (s *Server) logRefused(r *http.Request, f *Fault) {
	if !s.refused.more(strconv.Itoa(f.Status)) {
		return
	}
	s.Log.Warn().Str("from", r.RemoteAddr).Str("method", logged(r.Method)).Str("path", logged(r.URL.Path)).Int("status", f.Status).
		Str("why", f.What).Msg("admin request refused")
}

const maxLogged = 200 // octets of one string of a caller

// logged makes a caller's string fit for a line of the log and an answer.
func logged(s string) string {
	if len(s) > maxLogged {
		s = s[:maxLogged] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
