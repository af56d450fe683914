//go:build e2e

package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

const (
	endpoint   = "http://127.0.0.1:8587/metrics" // where it is unless the config says something else
	prometheus = "127.0.0.1:9590"
)

// Each alarm is raised by what it is for, and by nothing else that is likely.
func TestAlarms(t *testing.T) {
	lab.Command(t, "promtool", "check", "rules", "../../deploy/alerts.yml")
	lab.Command(t, "promtool", "test", "rules", "testdata/alerts_test.yml")
	rules, err := os.ReadFile("../../deploy/alerts.yml")
	lab.Check(t, err)
	tests, err := os.ReadFile("testdata/alerts_test.yml")
	lab.Check(t, err)
	for line := range strings.Lines(string(rules)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- alert: "); ok && !bytes.Contains(tests, []byte("- name: "+name+"\n")) {
			t.Errorf("%s has no test", name)
		}
	}
}

// TestPrometheus has a mail delivered and one refused, and asks Prometheus about them. Then it takes the relay away, which an alarm
// tells of (pending, for it waits five minutes), and brings it back.
func TestPrometheus(t *testing.T) {
	sink := lab.StartSink(t, "127.0.0.1:0", false)
	s := lab.NewSmarthost(t, fmt.Sprintf("relay = %q\nretry = [\"1s\"]\n", "smtp://"+sink.Addr+"?tls=none"))
	s.Start(t)
	use(t, s)
	sink.Wait(t, 1, 20*time.Second)

	lint := exec.Command("promtool", "check", "metrics")
	lint.Stdin = bytes.NewReader(fetch(t, endpoint))
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	watch(t)
	// The server's first sample has the events already; it takes two for a rate.
	lab.Await(t, "two scrapes", 30*time.Second, func() bool { return value(t, `count_over_time(up{job="smarthost"}[1h])`) >= 2 })
	for expr, want := range map[string]float64{
		`smarthost_connections_total`:                                             3, // the probes of health are none
		`sum(smarthost_tls_handshakes_total)`:                                     1,
		`sum(smarthost_messages_total)`:                                           1,
		`smarthost_grace_replies_total{cause="tls"}`:                              1,
		`smarthost_refusals_total{stage="MAIL",code="451",status="4.7.0"}`:        1,
		`smarthost_auth_total{mechanism="PLAIN",outcome="success"}`:               1,
		`smarthost_recipient_results_total{result="delivered"}`:                   1,
		`smarthost_delivery_attempts_total{result="delivered",family="ipv4"} > 0`: 1,
		`max(smarthost_health_state{check!="volume"})`:                            0, // the test's folder may be in memory
	} {
		if got := value(t, expr); got != want {
			t.Errorf("%s is %v, want %v", expr, got, want)
		}
	}
	for expr := range panels(t) {
		if series := query(t, expr); len(series) == 0 && !strings.HasSuffix(expr, "> 0") {
			t.Errorf("a panel is empty: %s", expr)
		}
	}
	lab.Await(t, "the rules", 30*time.Second, func() bool { return evaluated(t) })
	for _, alarm := range query(t, `ALERTS{alertstate="firing"}`) {
		t.Errorf("an alarm without need: %v", alarm.Metric)
	}

	const unhealthy = `ALERTS{alertname="SmarthostUnhealthy", check="route"}`
	sink.Stop()
	send(t, s, "two")
	lab.Await(t, "an alarm about the relay", 30*time.Second, func() bool { return len(query(t, unhealthy)) == 1 })
	again := lab.StartSink(t, sink.Addr, false)
	lab.Await(t, "its end", 30*time.Second, func() bool { return len(query(t, unhealthy)) == 0 })
	again.Wait(t, 1, 20*time.Second)
}

func send(t *testing.T, s *lab.Smarthost, subject string) {
	t.Helper()
	d, err := s.Dial()
	lab.Check(t, err)
	defer d.Close()
	_, err = d.Send("alice@example.org", "bob@example.org", "", []byte("Subject: "+subject+"\r\n\r\nhello\r\n"), "250")
	lab.Check(t, err)
}

// use sends a mail, and is a client that loses its TLS and goes on in clear.
func use(t *testing.T, s *lab.Smarthost) {
	send(t, s, "one")
	for _, words := range [][]string{{"220", "STARTTLS", "220"}, {"220", "MAIL FROM:<alice@example.org>", "451 4.7.0 TLS failed"}} {
		c, err := net.Dial("tcp", s.Submission)
		lab.Check(t, err)
		for i, want := range words {
			if i%2 == 1 {
				_, err = io.WriteString(c, want+"\r\n")
				lab.Check(t, err)
				continue
			}
			got := make([]byte, 200)
			if n, err := c.Read(got); err != nil || !bytes.HasPrefix(got[:n], []byte(want)) {
				t.Fatalf("got %q, %v, want %s", got[:n], err, want)
			}
		}
		c.Close()
	}
}

// watch starts Prometheus with the rules.
func watch(t *testing.T) {
	folder := t.TempDir()
	rules, err := filepath.Abs("../../deploy/alerts.yml")
	lab.Check(t, err)
	config := filepath.Join(folder, "prometheus.yml")
	lab.Check(t, os.WriteFile(config, fmt.Appendf(nil, `global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: smarthost
    scrape_timeout: 1s
    static_configs: [{targets: ["127.0.0.1:8587"]}]
`, rules), 0o600))
	lab.Command(t, "promtool", "check", "config", config)
	lab.Run(t, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+prometheus, "--log.level=warn")
	lab.AwaitPort(t, prometheus)
}

// panels are the expressions of the dashboard, as Grafana asks them.
func panels(t *testing.T) map[string]bool {
	text, err := os.ReadFile("../../deploy/grafana-dashboard.json")
	lab.Check(t, err)
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	lab.Check(t, json.Unmarshal(text, &dashboard))
	all := map[string]bool{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all[strings.NewReplacer("$job", "smarthost", "$instance", ".+", "$__rate_interval", "1m").Replace(target.Expr)] = true
		}
	}
	if len(all) < 30 {
		t.Fatalf("the dashboard has only %d expressions", len(all))
	}
	return all
}

func fetch(t *testing.T, address string) []byte {
	t.Helper()
	answer, err := http.Get(address)
	lab.Check(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	lab.Check(t, err)
	return text
}

// A series is a result of a query, with its value at this moment.
type series struct {
	Metric map[string]string
	Value  [2]any
}

func query(t *testing.T, expr string) []series {
	t.Helper()
	text := fetch(t, "http://"+prometheus+"/api/v1/query?query="+url.QueryEscape(expr))
	var got struct {
		Status, Error string
		Data          struct{ Result []series }
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Status != "success" {
		// Right after its start Prometheus is not ready; what is wrong for good is asked again by the caller's tests.
		if strings.Contains(string(text), "Service Unavailable") {
			return nil
		}
		t.Fatalf("%s: %v %s", expr, err, text)
	}
	return got.Data.Result
}

// value is that of the only series, or -1.
func value(t *testing.T, expr string) float64 {
	t.Helper()
	got := query(t, expr)
	if len(got) != 1 {
		return -1
	}
	var v float64
	if _, err := fmt.Sscan(got[0].Value[1].(string), &v); err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return v
}

// evaluated tells that each rule has been evaluated, and without an error.
func evaluated(t *testing.T) bool {
	var got struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	lab.Check(t, json.Unmarshal(fetch(t, "http://"+prometheus+"/api/v1/rules"), &got))
	n := 0
	for _, g := range got.Data.Groups {
		for _, r := range g.Rules {
			switch n++; r.Health {
			case "ok":
			case "unknown":
				return false
			default:
				t.Fatalf("%s: %s", r.Name, r.LastError)
			}
		}
	}
	return n > 0
}
