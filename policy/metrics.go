package policy

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/seed-1397b510/smarthost/policy/limit"
)

// metrics counts what the limits stopped. Whose they were is no label.
type metrics struct {
	limited map[limit.Kind]prometheus.Counter
}

// count are the policy's metrics, registered when first asked for.
func (p *Policy) count() *metrics {
	p.once.Do(func() {
		vector := promauto.With(p.Metrics).NewCounterVec(prometheus.CounterOpts{Name: "smarthost_limits_reached_total",
			Help: "Refusals because an account or a device had used up what it may send, by what is limited: messages, recipients or bytes."}, []string{"limit"})
		p.metrics.limited = map[limit.Kind]prometheus.Counter{}
		for _, kind := range []limit.Kind{limit.Messages, limit.Recipients, limit.Bytes} {
			p.metrics.limited[kind] = vector.WithLabelValues(kind.String())
		}
	})
	return &p.metrics
}
