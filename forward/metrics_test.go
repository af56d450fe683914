package forward

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func TestResultsAreCounted(t *testing.T) {
	inHouse(t, func(h *house) {
		registry := prometheus.NewRegistry()
		h.Metrics = registry
		h.Configure(Settings{})
		counted(h, registry, `smarthost_recipient_results_total{result="failed"} 0`)
		h.hosts["later.example"] = takes(450)
		h.hosts["no.example"] = takes(550)
		h.hosts["back.example"] = takes(450)
		h.add(nil, "bob@yes.example", "carol@yes.example", "bob@later.example", "bob@no.example")
		back := h.add(nil, "bob@back.example")
		stop := h.start()
		soon()
		counted(h, registry,
			`smarthost_recipient_results_total{result="delivered"} 3`, // the report is one
			`smarthost_recipient_results_total{result="deferred"} 2`,
			`smarthost_recipient_results_total{result="failed"} 1`,
			`smarthost_reports_total 1`,
			`smarthost_delivery_delay_seconds_count 2`,
			`smarthost_dns_seconds_count 5`,
			`smarthost_deliveries_running 0`)
		if _, err := h.queue.Change(h.Context(), spool.Order{Verb: spool.Return, Filter: spool.Filter{IDs: []string{back}}}, nil); err != nil {
			h.Fatal(err)
		}
		soon()
		stop()
		counted(h, registry,
			`smarthost_recipient_results_total{result="ordered"} 1`,
			`smarthost_recipient_results_total{result="failed"} 1`,
			`smarthost_reports_total 2`)
	})
}

func TestRunningDeliveriesAreCounted(t *testing.T) {
	inHouse(t, func(h *house) {
		registry := prometheus.NewRegistry()
		h.Metrics = registry
		g := newGate(takes(250))
		h.hosts["slow.example"] = g.host
		h.add(nil, "bob@slow.example")
		stop := h.start()
		soon()
		counted(h, registry, `smarthost_deliveries_running 1`)
		close(g.open)
		soon()
		stop()
		counted(h, registry, `smarthost_deliveries_running 0`)
	})
}

// counted asserts that the metrics hold samples.
func counted(h *house, registry *prometheus.Registry, samples ...string) {
	h.Helper()
	scraped := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
	for _, sample := range samples {
		if !strings.Contains(scraped.Body.String(), "\n"+sample+"\n") {
			h.Errorf("no %s in\n%s", sample, scraped.Body)
		}
	}
}
