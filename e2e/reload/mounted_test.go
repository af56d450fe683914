//go:build e2e

package reload

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
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
	names := []string{config, certificate, key, accounts}
	for _, name := range names {
		m.files[name] = read(t, m.place(name))
	}
	m.pairs[0] = m.files
	other := t.TempDir()
	m.Authority.Issue(t, other, lab.Hostname)
	m.pairs[1] = map[string][]byte{certificate: read(t, filepath.Join(other, certificate)), key: read(t, filepath.Join(other, key))}
	m.swap(t, nil)
	for _, name := range names {
		lab.Check(t, os.Remove(m.place(name)))
		lab.Check(t, os.Symlink(filepath.Join(m.Folder, "..data", name), m.place(name)))
	}
	return m
}

// place is where the server looks for a file.
func (m *mounted) place(name string) string {
	switch name {
	case config:
		return m.Config
	case accounts:
		return filepath.Join(m.Data, name)
	}
	return filepath.Join(m.Folder, name)
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

// login is a browser of an operator who may look.
func (m *mounted) login(t *testing.T) *http.Client {
	t.Helper()
	out, err := m.Command("token", "add", "operator", "--scope", "read", "--json").Output()
	lab.Check(t, err)
	var made struct{ Token string }
	lab.Check(t, json.Unmarshal(out, &made))
	jar, err := cookiejar.New(nil)
	lab.Check(t, err)
	b := &http.Client{Timeout: 10 * time.Second, Jar: jar}
	r, err := b.PostForm("http://127.0.0.1:8587/login", url.Values{"token": {made.Token}})
	lab.Check(t, err)
	lab.Check(t, r.Body.Close())
	if r.StatusCode != http.StatusOK {
		t.Fatalf("the login ends with %s", r.Status)
	}
	return b
}

const alarmed, calm = "degraded 1 shown", "ok 0 not shown"

// state is what health, metrics and the operator's first page say of a check.
func state(t *testing.T, browser *http.Client, check string) string {
	t.Helper()
	_, report := ask(t, "/readyz")
	_, after, _ := strings.Cut(report, `"name":"`+check+`","state":"`)
	word, _, _ := strings.Cut(after, `"`)
	_, metrics := ask(t, "/metrics")
	_, after, _ = strings.Cut(metrics, `smarthost_health_state{check="`+check+`"} `)
	number, _, _ := strings.Cut(after, "\n")
	r, err := browser.Get("http://127.0.0.1:8587/now")
	lab.Check(t, err)
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	lab.Check(t, err)
	if !strings.Contains(string(page), `<h2 id="health">`) {
		t.Fatalf("this is no page of how things are:\n%s", page)
	}
	shown := "not shown"
	if strings.Contains(string(page), `<span class="code degraded">degraded</span> <strong>`+check+`</strong>`) {
		shown = "shown"
	}
	return word + " " + number + " " + shown
}
