package main

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// newRegistry has what the Go runtime and the system tell of the process; everyone else adds their own.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// metricsPage shows the registry, and what is looked at only for the page. A collector that fails takes nothing else with it.
func metricsPage(r *prometheus.Registry, looked prometheus.Collector) http.Handler {
	page := prometheus.NewRegistry()
	page.MustRegister(looked)
	return promhttp.HandlerFor(prometheus.Gatherers{r, page}, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

var (
	descBuild = prometheus.NewDesc("smarthost_build_info", "Always 1; the version of smarthost and of the Go that built it.", []string{"version", "go"}, nil)
	descBegan = prometheus.NewDesc("smarthost_certificate_not_before_timestamp_seconds", "When the certificate in force began; missing while there is none.", nil, nil)
	descState = prometheus.NewDesc("smarthost_health_state", "What /readyz found, by check: 0 ok, 1 degraded (it works, and somebody should look), 2 failed.", []string{"check"}, nil)
	descEnds  = prometheus.NewDesc("smarthost_certificate_expiry_timestamp_seconds", "When the certificate in force ends; missing while there is none.", nil, nil)
)

var healthStates = map[admin.State]float64{admin.OK: 0, admin.Degraded: 1, admin.Failed: 2}

// facts are what the service as a whole tells.
type facts struct{ *service }

func (f facts) Describe(to chan<- *prometheus.Desc) {
	to <- descBuild
	to <- descBegan
	to <- descEnds
	to <- descState
}

func (f facts) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(descBuild, prometheus.GaugeValue, 1, versionText(), runtime.Version())
	if leaf := f.Certificates.current(); leaf != nil {
		to <- prometheus.MustNewConstMetric(descBegan, prometheus.GaugeValue, float64(leaf.NotBefore.Unix()))
		to <- prometheus.MustNewConstMetric(descEnds, prometheus.GaugeValue, float64(leaf.NotAfter.Unix()))
	}
	for _, check := range f.Health.Ready(context.Background()).Checks { // which has a limit of its own
		to <- prometheus.MustNewConstMetric(descState, prometheus.GaugeValue, healthStates[check.State], check.Name)
	}
}
