//go:build e2e

package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// folder is what is tested here.
const folder = "../../deploy"

// shipped is a file of that folder.
func shipped(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	lab.Check(t, err)
	return string(text)
}

// layers are the root file systems that e2e/roots has made.
func layers(t *testing.T, names ...string) []string {
	t.Helper()
	made := os.Getenv("SMARTHOST_E2E_LAYERS")
	if made == "" {
		t.Fatal("SMARTHOST_E2E_LAYERS is not set; e2e/roots makes the layers and prints their folder")
	}
	for i, name := range names {
		names[i] = filepath.Join(made, name)
	}
	return names
}

// secret is the password in what `smarthost user add` printed.
func secret(t *testing.T, said string) string {
	t.Helper()
	_, after, found := strings.Cut(said, "password: ")
	if !found {
		t.Fatalf("no password in %q", said)
	}
	return strings.Fields(after)[0]
}
