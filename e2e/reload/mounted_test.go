//go:build e2e

package reload

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// The files that change.
const (
	config      = "smarthost.toml"
	certificate = "certificate.pem"
	key         = "key.pem"
	accounts    = "users"
)

// mounted is a server whose files are links into ..data, a link that is swapped for another version, as Kubernetes mounts secrets.
type mounted struct {
	*lab.Smarthost
	files   map[string][]byte    // as they were installed
	pairs   [2]map[string][]byte // certificates of the same authority
	version int
}

func install(t *testing.T) *mounted {
	t.Helper()
	m := &mounted{Smarthost: lab.NewSmarthost(t, `relay = "smtp://127.0.0.1:2525?tls=none"`), files: map[string][]byte{}}
	places := map[string]string{config: m.Config, certificate: filepath.Join(m.Folder, certificate), key: filepath.Join(m.Folder, key), accounts: filepath.Join(m.Data, accounts)}
	for name, path := range places {
		m.files[name] = read(t, path)
	}
	m.pairs[0] = m.files
	other := t.TempDir()
	m.Authority.Issue(t, other, lab.Hostname)
	m.pairs[1] = map[string][]byte{certificate: read(t, filepath.Join(other, certificate)), key: read(t, filepath.Join(other, key))}
	m.swap(t, nil)
	for name, path := range places {
		lab.Check(t, os.Remove(path))
		lab.Check(t, os.Symlink(filepath.Join(m.Folder, "..data", name), path))
	}
	return m
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	lab.Check(t, err)
	return text
}

// swap puts the next version of all files in place at once: another config, another certificate, another account. What is in broken
// takes the place of the right file.
func (m *mounted) swap(t *testing.T, broken map[string]string) {
	t.Helper()
	m.version++
	pair := m.pairs[m.version%2]
	files := map[string][]byte{
		config: fmt.Appendf(nil, "%sgive_up = \"%dh\"\n", m.files[config], 24+m.version%48), certificate: pair[certificate], key: pair[key],
		accounts: fmt.Appendf(nil, "%s# version %d\n", m.files[accounts], m.version),
	}
	for name, text := range broken {
		files[name] = []byte(text)
	}
	folder := filepath.Join(m.Folder, fmt.Sprintf("..%d", m.version))
	lab.Check(t, os.Mkdir(folder, 0o700))
	for name, text := range files {
		lab.Check(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
	}
	lab.Check(t, os.Symlink(filepath.Base(folder), filepath.Join(m.Folder, "..next")))
	lab.Check(t, os.Rename(filepath.Join(m.Folder, "..next"), filepath.Join(m.Folder, "..data")))
	lab.Check(t, os.RemoveAll(filepath.Join(m.Folder, fmt.Sprintf("..%d", m.version-1))))
}

// ask is the answer of the operators' address.
func ask(t *testing.T, path string) (code int, text string) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://127.0.0.1:8587" + path)
	lab.Check(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	lab.Check(t, err)
	return r.StatusCode, string(body)
}

// state is what health and metrics say of a check: "ok 0", "degraded 1".
func state(t *testing.T, check string) string {
	t.Helper()
	_, report := ask(t, "/readyz")
	_, after, _ := strings.Cut(report, `"name":"`+check+`","state":"`)
	word, _, _ := strings.Cut(after, `"`)
	_, metrics := ask(t, "/metrics")
	_, after, _ = strings.Cut(metrics, `smarthost_health_state{check="`+check+`"} `)
	number, _, _ := strings.Cut(after, "\n")
	return word + " " + number
}
