package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A family is a metric as the server shows it.
type family struct{ name, kind, labels, help string }

// TestMetricsAreDocumented holds what a server shows that has just begun against the list of names that dashboards and alarms of
// operators rely on, and against the document that tells what they mean.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	shown := scrape(t)
	t.Run("alarms and dashboard", func(t *testing.T) { checkUses(t, shown) })
	var names, rows []string
	for _, f := range families(shown) {
		names = append(names, strings.TrimSpace(f.name+" "+f.kind+" "+f.labels))
		row := "| `" + f.name + "` | " + f.kind + " | "
		if f.labels != "" {
			row += "`" + strings.Join(strings.Fields(f.labels), "` `") + "` "
		}
		rows = append(rows, row+"| "+f.help+" |")
	}
	golden, err := os.ReadFile("testdata/metrics.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(golden)), "\n"), names); diff != "" {
		t.Errorf("the metrics differ from testdata/metrics.golden; a change here breaks the dashboards of others (-golden +shown):\n%s", diff)
	}
	document, err := os.ReadFile("../deploy/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	var written []string
	for line := range strings.Lines(string(document)) {
		if strings.HasPrefix(line, "| `smarthost_") {
			written = append(written, strings.TrimSpace(line))
		}
	}
	if diff := cmp.Diff(written, rows); diff != "" {
		t.Errorf("deploy/METRICS.md tells something else than the server (-document +server):\n%s", diff)
	}
}

// scrape starts a server and asks it for its metrics by its own socket.
func scrape(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", folder, "../cmd/smarthost").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	data := filepath.Join(folder, "data")
	config := filepath.Join(folder, "smarthost.toml") // what is counted for each webhook is shown when there is one
	if err := os.WriteFile(config, []byte("[webhooks.crm]\nurl = \"https://example.org/hook\"\nsecret = \"whsec_c21hcnRob3N0LXRlc3Qtc2VjcmV0LW9mLTMyLW9jdGV0cw==\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(filepath.Join(folder, "smarthost"), "serve", "--config", config)
	server.Dir = folder
	server.Env = []string{"SMARTHOST_DATA=" + data, "SMARTHOST_LISTEN_SUBMISSION=127.0.0.1:0", "SMARTHOST_LISTEN_SUBMISSIONS=127.0.0.1:0",
		"SMARTHOST_LISTEN_ADMIN=", "SMARTHOST_LOG_FORMAT=json"}
	log, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(log)
	defer func() {
		server.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, lines)
		if err := server.Wait(); err != nil {
			t.Error(err)
		}
	}()
	// Operators are answered before clients are served, and until then what the server counts is not there.
	for said := ""; !strings.Contains(said, `"listening for operators"`) || !strings.Contains(said, `"ready"`); {
		line, err := lines.ReadString('\n')
		if said += line; err != nil {
			t.Fatalf("the server ended:\n%s", said)
		}
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(data, "admin.sock"))
	}}}
	answer, err := client.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v:\n%s", answer.Status, err, text)
	}
	return string(text)
}

var sample = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? \S+$`)

// families reads the text format, as far as it is the server's own: in the order of names.
func families(text string) (all []family) {
	var f *family
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch words := strings.SplitN(line, " ", 4); {
		case len(words) == 4 && words[1] == "HELP" && strings.HasPrefix(words[2], "smarthost_"):
			all = append(all, family{name: words[2], help: words[3]})
			f = &all[len(all)-1]
		case len(words) == 4 && words[1] == "HELP":
			f = nil
		case f == nil:
		case words[1] == "TYPE":
			f.kind = words[3]
		default:
			f.labels = labelsOf(line)
		}
	}
	return all
}

// labelsOf are the names of a sample's labels, in their order.
func labelsOf(line string) string {
	match := sample.FindStringSubmatch(line)
	if match == nil {
		return fmt.Sprintf("unreadable: %s", line)
	}
	var names []string
	for _, pair := range regexp.MustCompile(`([a-z]+)="`).FindAllStringSubmatch(match[2], -1) {
		if pair[1] != "le" {
			names = append(names, pair[1])
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

var (
	selector = regexp.MustCompile(`(smarthost_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
)

// checkUses asks that each series that an alarm or a panel of the dashboard looks at is there, from the beginning on: what
// appears with its first event has no increase at that one.
func checkUses(t *testing.T, shown string) {
	alarms, err := os.ReadFile("../deploy/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../deploy/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	uses := string(alarms)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			uses += target.Expr + "\n"
		}
	}
	found := selector.FindAllStringSubmatch(uses, -1)
	if len(found) < 50 {
		t.Errorf("only %d series are used", len(found))
	}
	for _, use := range found {
		series := regexp.QuoteMeta(use[1])
		if !regexp.MustCompile(`(?m)^` + series + `(\{| )`).MatchString(shown) {
			t.Errorf("there is no %s", use[1])
			continue
		}
		for _, m := range matcher.FindAllStringSubmatch(use[2], -1) {
			if m[1] == "job" || m[1] == "instance" {
				continue
			}
			for value := range strings.SplitSeq(m[2], "|") {
				if !regexp.MustCompile(`(?m)^` + series + `\{.*` + m[1] + `="` + regexp.QuoteMeta(value) + `"`).MatchString(shown) {
					t.Errorf("there is no %s with %s=%q", use[1], m[1], value)
				}
			}
		}
	}
}
