package deliver

import (
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// The steps of a delivery: the label of smarthost_delivery_step_seconds.
const (
	stepConnect  = "connect"
	stepGreeting = "greeting"
	stepTLS      = "tls"
	stepEnvelope = "envelope"
	stepData     = "data"
)

// How a conversation with a hop ended: the label of smarthost_delivery_attempts_total.
const (
	endDelivered   = "delivered"
	endDeferred    = "deferred"
	endFailed      = "failed"
	endUnreachable = "unreachable"
	endBroken      = "broken_off"
)

// metrics counts conversations with hops. Whose they are is no label.
type metrics struct {
	attempts *prometheus.CounterVec
	steps    map[string]prometheus.Observer
	fallback prometheus.Counter
	deadened *prometheus.CounterVec
}

// newMetrics registers all of them with r; with nil they are counted and shown nowhere.
func newMetrics(r prometheus.Registerer) *metrics {
	auto := promauto.With(r)
	m := &metrics{
		attempts: auto.NewCounterVec(prometheus.CounterOpts{Name: "smarthost_delivery_attempts_total",
			Help: "Conversations with other servers by result (the worst that a recipient was told: delivered, deferred or failed; else unreachable, or broken_off by this server), address family and TLS version."},
			[]string{"result", "family", "tls"}),
		steps: map[string]prometheus.Observer{},
		fallback: auto.NewCounter(prometheus.CounterOpts{Name: "smarthost_delivery_tls_fallbacks_total",
			Help: "Times that the TLS of a server was broken and mail went to it in clear, as if it had none."}),
		deadened: auto.NewCounterVec(prometheus.CounterOpts{Name: "smarthost_delivery_family_failures_total",
			Help: "Times that an address family did not answer where the other one did, and lost its head start for ten minutes."}, []string{"family"}),
	}
	steps := auto.NewHistogramVec(prometheus.HistogramOpts{Name: "smarthost_delivery_step_seconds",
		Help:    "How long the steps of a delivery took that went well: connect, tls, greeting (with EHLO), envelope (MAIL to 354), data (content and its reply).",
		Buckets: []float64{.005, .025, .1, .5, 2, 10, 60, 300}}, []string{"step"})
	for _, step := range []string{stepConnect, stepGreeting, stepTLS, stepEnvelope, stepData} {
		m.steps[step] = steps.WithLabelValues(step)
	}
	for _, family := range familyNames {
		m.deadened.WithLabelValues(strings.ToLower(family))
	}
	for _, end := range []string{endDelivered, endDeferred, endFailed} {
		m.attempts.WithLabelValues(end, "ipv4", "1.3")
	}
	m.attempts.WithLabelValues(endUnreachable, "none", "none")
	return m
}

// done notes a step that went well.
func (m *metrics) done(step string, begin time.Time) {
	m.steps[step].Observe(time.Since(begin).Seconds())
}

// tried counts a conversation; c is nil if there was none.
func (m *metrics) tried(end string, c *conn) {
	family, version := "none", "none"
	if c != nil {
		family = familyLabel(c.addr)
		if v, ok := strings.CutPrefix(c.version(), "TLS "); ok {
			version = v
		}
	}
	m.attempts.WithLabelValues(end, family, version).Inc()
}

func familyLabel(a netip.Addr) string {
	if !a.IsValid() {
		return "none"
	}
	return strings.ToLower(familyNames[family(a)])
}

// endOf is the worst of the results.
func endOf(results []Result) string {
	end := endDelivered
	for _, r := range results {
		switch r.Reply.Code / 100 {
		case 5:
			return endFailed
		case 4:
			end = endDeferred
		}
	}
	return end
}
