package deliver

import (
	"crypto/tls"
	"crypto/x509"
)

// trust is what certificates are judged by, with the TLS sessions that came of it.
type trust struct {
	roots    *x509.CertPool
	sessions tls.ClientSessionCache
}

const sessionCache = 1024 // TLS sessions, one for each host

func newTrust(roots *x509.CertPool) *trust {
	return &trust{roots, tls.NewLRUClientSessionCache(sessionCache)}
}

// Trust exchanges the authorities for hops whose certificate must verify; nil = those of the system. It may be called at any time. Idle
// connections and sessions that the old ones stood for are not used again; a conversation under way goes on.
func (d *Deliverer) Trust(roots *x509.CertPool) {
	d.trust.Store(newTrust(roots))
	d.idle.retire()
}
