package capture

import (
	"net/http"
	"slices"
	"strings"

	"github.com/seed-1397b510/smarthost/server/web"
)

// gate lets through what may reach a route at all.
func (s *Server) gate(next http.Handler) http.Handler {
	return web.Gate{
		Ours:   s.isOurs,
		Advice: "use localhost, an address, a name without dots such as that of a container, or name the host when this server is started",
		Policy: "default-src 'none'; frame-ancestors 'none'; sandbox",
		Refuse: func(w http.ResponseWriter, _ *http.Request, f *Fault) { f.Answer(w) },
	}.Before(next)
}

// private are names that nobody can have a public DNS record for (RFC 6761; .internal is kept for private use by ICANN).
var private = []string{".localhost", ".test", ".internal"}

// isOurs tells whether requests may be for a name. A browser can be made to believe that a foreign site is this server by a name in the public
// DNS only; one without dots, such as containers have for each other, is none.
func (s *Server) isOurs(name string) bool {
	return !strings.Contains(name, ".") ||
		slices.ContainsFunc(private, func(end string) bool { return strings.HasSuffix(name, end) }) ||
		slices.ContainsFunc(append([]string{s.Mail.ClientTLS().ServerName}, s.Hosts...), func(of string) bool { return strings.EqualFold(name, of) })
}
