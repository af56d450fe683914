package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
)

// A Gate lets through what may reach a route at all.
type Gate struct {
	// Ours tells whether requests may be for a host of that name, which is in lower case, without a final dot, and no address.
	Ours func(name string) bool
	// Advice is what somebody is to do whose request is for another host.
	Advice string
	// Policy is the Content-Security-Policy of each answer, until a route sets its own.
	Policy string
	// Refuse answers what is not let through.
	Refuse func(w http.ResponseWriter, r *http.Request, f *Fault)
}

// Before is next behind the gate.
func (g Gate) Before(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header(), g.Policy)
		if !g.isOurs(r.Host) {
			g.Refuse(w, r, Fail(http.StatusMisdirectedRequest, "requests for the host "+Printable(r.Host)+" are not answered here", g.Advice))
			return
		}
		if err := origins.Check(r); err != nil || foreign(r) {
			g.Refuse(w, r, Fail(http.StatusForbidden, "this request comes from a page of another site", "use this server's own pages, or a program that is no browser"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// secure sets what keeps an answer from being stored, guessed at or put into somebody else's page.
func secure(h http.Header, policy string) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
}

// isOurs tells whether a Host is one that requests may be for. To make a browser believe that a foreign site is this server, by DNS
// rebinding, takes a name; an address, whichever it is (port mappings have their own), cannot be rebound. Load balancers and probes that
// ask in HTTP/1.0 say none, and no browser does that.
func (g Gate) isOurs(host string) bool {
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
	return name != "" && g.Ours(name)
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

const maxPrintable = 200 // octets of one string of a caller

// Printable makes a caller's string fit for a line of the log and for an answer: bounded, and on one line.
func Printable(s string) string {
	if len(s) > maxPrintable {
		s = s[:maxPrintable] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
