package auth

import (
	"errors"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// How a login ended: the label of smarthost_auth_total.
const (
	resultSuccess     = "success"
	resultWrong       = "wrong"
	resultNoAccount   = "no_account"
	resultLapsed      = "lapsed"
	resultUnavailable = "unavailable"
)

// metrics counts logins. Names of users are no labels.
type metrics struct {
	logins      *prometheus.CounterVec
	took        prometheus.Histogram
	storeFailed prometheus.Counter
}

// newMetrics registers all of them with r; with nil they are counted and shown nowhere.
func newMetrics(r prometheus.Registerer) *metrics {
	auto := promauto.With(r)
	m := &metrics{
		logins: auto.NewCounterVec(prometheus.CounterOpts{Name: "smarthost_auth_total",
			Help: "Logins that were tried, by mechanism and outcome: success, wrong (the password), no_account, lapsed (right, but expired or from a network that is not the device's) or unavailable (undecided because of this server)."},
			[]string{"mechanism", "outcome"}),
		took: auto.NewHistogram(prometheus.HistogramOpts{Name: "smarthost_auth_seconds",
			Help:    "How long logins take to be decided, with the wait that failures earn.",
			Buckets: []float64{.001, .01, .05, .1, .25, 1, 5, 20}}),
		storeFailed: auto.NewCounter(prometheus.CounterOpts{Name: "smarthost_accounts_errors_total",
			Help: "Questions to the accounts that had no answer: clients then hear 454 and keep their mail."}),
	}
	for _, mechanism := range []string{sasl.Plain, sasl.Login} {
		for _, result := range []string{resultSuccess, resultWrong, resultNoAccount, resultLapsed, resultUnavailable} {
			m.logins.WithLabelValues(mechanism, result)
		}
	}
	return m
}

func (m *metrics) decided(mechanism, result string, took time.Duration) {
	m.logins.WithLabelValues(mechanism, result).Inc()
	m.took.Observe(took.Seconds())
}

// resultOf is what an error of verify means.
func resultOf(err error) string {
	reply, ok := errors.AsType[*smtp.SMTPError](err)
	switch {
	case err == nil:
		return resultSuccess
	case errors.Is(err, ErrNoAccount):
		return resultNoAccount
	case ok && reply.Code == 535:
		return resultWrong
	}
	return resultUnavailable
}
