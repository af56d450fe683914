package auth

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/crypto/bcrypt"
)

func TestLoginsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		known := single("alice", hashOf(t, "correct horse", bcrypt.MinCost))
		late := single("late", hashOf(t, "correct horse", bcrypt.MinCost))
		late[0].Expires = time.Now().Add(-time.Hour)
		down := false
		a := &Authenticator{Metrics: registry, Store: storeFunc(func(_ context.Context, name string) ([]Login, error) {
			if down {
				return nil, errors.New("no disk")
			}
			return logins{"alice": known, "late": late}[name], nil
		})}
		a.Mechanisms()
		counted(t, registry, `smarthost_auth_total{mechanism="PLAIN",outcome="success"} 0`)
		say(t, a, "plain", here, []byte("\x00alice\x00correct horse"))
		say(t, a, "LOGIN", here, []byte("alice"), []byte("correct horse"))
		say(t, a, "PLAIN", here, []byte("\x00alice\x00wrong"))
		say(t, a, "PLAIN", here, []byte("\x00nobody\x00wrong"))
		say(t, a, "PLAIN", here, []byte("\x00late\x00correct horse"))
		down = true
		say(t, a, "PLAIN", here, []byte("\x00alice\x00correct horse"))
		a.Still(t.Context(), known[0], here)
		counted(t, registry,
			`smarthost_auth_total{mechanism="PLAIN",outcome="success"} 1`,
			`smarthost_auth_total{mechanism="LOGIN",outcome="success"} 1`,
			`smarthost_auth_total{mechanism="PLAIN",outcome="wrong"} 1`,
			`smarthost_auth_total{mechanism="PLAIN",outcome="no_account"} 1`,
			`smarthost_auth_total{mechanism="PLAIN",outcome="lapsed"} 1`,
			`smarthost_auth_total{mechanism="PLAIN",outcome="unavailable"} 1`,
			`smarthost_auth_seconds_count 6`,
			`smarthost_accounts_errors_total 2`)
	})
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
