package policy

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-1397b510/smarthost/policy/limit"
)

func TestReachedLimitsAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	p := &Policy{Hostname: host, Limits: new(limit.Limits), Metrics: registry}
	p.Configure(Settings{})
	p.Limits.Configure(map[string]limit.Class{limit.Standard: {
		Messages: limit.Rate{Amount: 1, Per: time.Hour}, Recipients: limit.Rate{Amount: 2, Per: time.Hour}, Bytes: limit.Rate{Amount: 1000, Per: time.Hour}}})
	counted := func(messages, recipients, bytes string) {
		t.Helper()
		scraped := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
		for kind, n := range map[string]string{"messages": messages, "recipients": recipients, "bytes": bytes} {
			if want := `smarthost_limits_reached_total{limit="` + kind + `"} ` + n + "\n"; !strings.Contains(scraped.Body.String(), want) {
				t.Errorf("no %s in\n%s", want, scraped.Body)
			}
		}
	}
	counted("0", "0", "0")
	tx, err := p.Mail(t.Context(), alice("*"), "a@b.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		tx.Rcpt(t.Context(), "c@d.example", nil)
	}
	p.Mail(t.Context(), alice("*"), "a@b.example", nil)
	p.Mail(t.Context(), alice("*"), "a@b.example", &smtp.MailOptions{Size: 2000})
	counted("1", "1", "1")
}
