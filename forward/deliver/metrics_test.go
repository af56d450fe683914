package deliver

import (
	"context"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func TestConversationsAreCounted(t *testing.T) {
	rcpt := func(reply string) map[string]string { return map[string]string{"RCPT": reply} }
	for name, test := range map[string]struct {
		peer *peer
		want []string
	}{
		"delivered": {&peer{}, []string{
			`smarthost_delivery_attempts_total{family="ipv4",result="delivered",tls="none"} 1`,
			`smarthost_delivery_step_seconds_count{step="connect"} 1`,
			`smarthost_delivery_step_seconds_count{step="greeting"} 1`,
			`smarthost_delivery_step_seconds_count{step="tls"} 0`,
			`smarthost_delivery_step_seconds_count{step="envelope"} 1`,
			`smarthost_delivery_step_seconds_count{step="data"} 1`,
		}},
		"in TLS": {&peer{tls: goodTLS, ehlo: []string{"STARTTLS"}}, []string{
			`smarthost_delivery_attempts_total{family="ipv4",result="delivered",tls="1.3"} 1`,
			`smarthost_delivery_step_seconds_count{step="tls"} 1`,
		}},
		"deferred": {&peer{answer: rcpt("450 4.2.1 later\r\n")}, []string{`smarthost_delivery_attempts_total{family="ipv4",result="deferred",tls="none"} 1`}},
		"one failed": {&peer{answer: map[string]string{"RCPT TO:<a@": "450 4.2.1 later\r\n", "RCPT TO:<b@": "550 5.1.1 no\r\n"}}, []string{
			`smarthost_delivery_attempts_total{family="ipv4",result="failed",tls="none"} 1`,
			`smarthost_delivery_step_seconds_count{step="data"} 0`,
		}},
		"unreachable": {&peer{greeting: "554 go away\r\n"}, []string{`smarthost_delivery_attempts_total{family="none",result="unreachable",tls="none"} 1`}},
		"broken TLS": {&peer{ehlo: []string{"STARTTLS"}, answer: map[string]string{"STARTTLS": "220 go\r\nclose"}}, []string{
			`smarthost_delivery_tls_fallbacks_total 1`,
			`smarthost_delivery_attempts_total{family="ipv4",result="delivered",tls="none"} 1`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			bubble(t, test.peer, func(t *testing.T, d *Deliverer) {
				d.Metrics = registry
				d.Deliver(t.Context(), mx, message("a@x", "b@x"))
			})
			counted(t, registry, test.want...)
		})
	}
}

func TestDeadFamiliesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, p := prometheus.NewRegistry(), &peer{}
		var wg sync.WaitGroup
		dial := p.dial(&wg)
		d := &Deliverer{Hostname: "us.example", Metrics: registry, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address[0] == '[' {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return dial(ctx, network, address)
		}}
		hop := mx
		hop.Addrs = addrs("192.0.2.1", "2001:db8::1")
		d.Deliver(t.Context(), hop, message("a@x"))
		wg.Wait()
		counted(t, registry, `smarthost_delivery_family_failures_total{family="ipv6"} 1`, `smarthost_delivery_family_failures_total{family="ipv4"} 0`)
	})
}

// The end of ctx is no fault of the hop's.
func TestBrokenOffIsCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	bubble(t, &peer{answer: map[string]string{"MAIL": "hang"}}, func(t *testing.T, d *Deliverer) {
		d.Metrics = registry
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.Deliver(ctx, mx, message("a@x"))
	})
	counted(t, registry, `smarthost_delivery_attempts_total{family="ipv4",result="broken_off",tls="none"} 1`)
}

// counted asserts that the metrics hold samples.
func counted(t *testing.T, registry *prometheus.Registry, samples ...string) {
	t.Helper()
	scraped := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
	for _, sample := range samples {
		if !strings.Contains(scraped.Body.String(), "\n"+sample+"\n") {
			t.Errorf("no %s in\n%s", sample, scraped.Body)
		}
	}
}
