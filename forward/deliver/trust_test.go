package deliver

import (
	"context"
	"crypto/x509"
	"sync"
	"testing"
	"testing/synctest"
)

// Authorities that are exchanged hold for the next connection, and none of before is used again, TLS sessions included.
func TestTrust(t *testing.T) {
	p := &peer{tls: goodTLS, ehlo: []string{"STARTTLS"}, inTLS: []string{"AUTH PLAIN"}}
	bubble(t, p, func(t *testing.T, d *Deliverer) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { d.Run(ctx) })
		synctest.Wait() // connections are kept from now on
		want := func(conns int) {
			t.Helper()
			if rs, err := d.Deliver(t.Context(), relay, message("a@x")); err != nil || rs[0].Reply.Code != 250 || p.conns != conns {
				t.Errorf("%v %v, %d connections, want %d", rs, err, p.conns, conns)
			}
		}
		want(1)
		want(1)
		d.Trust(x509.NewCertPool())
		rs, err := d.Deliver(t.Context(), relay, message("a@x"))
		deferred(t, rs, err, "not signed by an authority")
		d.Trust(roots)
		want(3)
		want(3)
		stop()
		wg.Wait()
	})
	if n := len(p.said("QUIT")); n != 2 {
		t.Errorf("QUIT was said %d times, want 2", n)
	}
}
