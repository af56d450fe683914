package capture

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// gate lets through what may reach a route at all.
func (s *Server) gate(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		if !s.isOurs(r.Host) {
			refuse(w, &Fault{http.StatusMisdirectedRequest, "requests for the host " + shown(r.Host) + " are not answered here",
				"use localhost, an address, a name without dots such as that of a container, or name the host when this server is started"})
			return
		}
		if err := origins.Check(r); err != nil || foreign(r) {
			refuse(w, &Fault{http.StatusForbidden, "this request comes from a page of another site", "use this server's own pages, or a program that is no browser"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// private are names that nobody can have a public DNS record for (RFC 6761; .internal is kept for private use by ICANN).
var private = []string{".localhost", ".test", ".internal"}

// isOurs tells whether a Host is one that requests may be for. To make a browser believe that a foreign site is this server, by DNS rebinding, takes
// a name in the public DNS. An address is none, whichever it is (port mappings have their own), nor is a name without dots, such as containers have
// for each other. Probes that ask in HTTP/1.0 say none, and no browser does that.
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
	return name != "" && !strings.Contains(name, ".") ||
		slices.ContainsFunc(private, func(end string) bool { return strings.HasSuffix(name, end) }) ||
		slices.ContainsFunc(append([]string{s.Mail.ClientTLS().ServerName}, s.Hosts...), func(of string) bool { return strings.EqualFold(name, of) })
}

// foreign tells of a request by a page of another site. CrossOriginProtection lets those pass that only read.
func foreign(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host != r.Host
}

const maxShown = 200 // octets of one string of a caller

// shown makes a caller's string fit for an answer.
func shown(s string) string {
	if len(s) > maxShown {
		s = s[:maxShown] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
