package notify

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What became of an attempt to tell an event: the label of smarthost_webhook_attempts_total.
const (
	attemptTold    = "told"
	attemptFailed  = "failed"
	attemptGivenUp = "given_up"
)

// newMetrics registers what is counted with r, and shows it for all hooks from the beginning on; with nil it is shown nowhere.
func newMetrics(r prometheus.Registerer, hooks Hooks) *prometheus.CounterVec {
	attempts := promauto.With(r).NewCounterVec(prometheus.CounterOpts{Name: "smarthost_webhook_attempts_total",
		Help: "Attempts to tell an event by webhook, by its name in the config and by result: told, failed (it is told again), or given_up (it never hears of it)."},
		[]string{"webhook", "result"})
	for _, name := range hooks.Names() {
		for _, result := range []string{attemptTold, attemptFailed, attemptGivenUp} {
			attempts.WithLabelValues(name, result)
		}
	}
	return attempts
}
