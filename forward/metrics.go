package forward

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// metrics counts what became of mail. Whose it was is no label.
type metrics struct {
	results map[string]prometheus.Counter // by the event that the log tells
	ordered prometheus.Counter
	reports prometheus.Counter
	delay   prometheus.Histogram
	routing prometheus.Histogram
	running prometheus.Gauge
}

// count are the forwarder's metrics, registered when first asked for.
func (f *Forwarder) count() *metrics {
	f.once.Do(func() { f.metrics = newMetrics(f.Metrics) })
	return f.metrics
}

func newMetrics(r prometheus.Registerer) *metrics {
	auto := promauto.With(r)
	results := auto.NewCounterVec(prometheus.CounterOpts{Name: "smarthost_recipient_results_total",
		Help: "What became of recipients in attempts that were written down: delivered, deferred (tried again later), failed (for good), or ordered (an operator dropped or returned the mail)."},
		[]string{"result"})
	m := &metrics{
		results: map[string]prometheus.Counter{},
		ordered: results.WithLabelValues("ordered"),
		reports: auto.NewCounter(prometheus.CounterOpts{Name: "smarthost_reports_total",
			Help: "Delivery status notifications that were queued for senders."}),
		delay: auto.NewHistogram(prometheus.HistogramOpts{Name: "smarthost_delivery_delay_seconds",
			Help:    "Time from a message's arrival to its delivery, for each destination.",
			Buckets: []float64{1, 5, 30, 120, 600, 3600, 6 * 3600, 24 * 3600, 5 * 24 * 3600}}),
		routing: auto.NewHistogram(prometheus.HistogramOpts{Name: "smarthost_dns_seconds",
			Help:    "How long it took to find out by DNS where a destination's mail goes, answered or not.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2, 10, 60}}),
		running: auto.NewGauge(prometheus.GaugeOpts{Name: "smarthost_deliveries_running",
			Help: "Deliveries that are under way."}),
	}
	for _, event := range []string{"delivered", "deferred", "failed"} {
		m.results[event] = results.WithLabelValues(event)
	}
	return m
}

// settled counts n recipients of a settlement that was written down.
func (m *metrics) settled(d spool.Delivery, event string, n int) {
	switch {
	case d.Fate != "":
		m.ordered.Add(float64(n))
		return
	case event == "delivered":
		m.delay.Observe(time.Since(d.Arrived).Seconds())
	}
	m.results[event].Add(float64(n))
}
