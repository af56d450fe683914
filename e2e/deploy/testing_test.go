//go:build e2e

package deploy

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const (
	testImage = "smarthost-test"

	// Octets of it, as of the server's image.
	maximumTest       = 22_500_000
	maximumTestPacked = 9_500_000
)

// The image for tests takes clients a moment after its start, on a read-only file system and as any user, and compose.yaml brings a program and its
// tests together with it.
func TestTestingImage(t *testing.T) {
	e := startEngine(t)
	e.do(t, "bash", filepath.Join(folder, "image"), testImage, "1.0.0", "test")
	e.checkTestImage(t)
	e.startsCold(t)
	e.composeTests(t)
}

// checkTestImage looks at what the image says of itself, and at its size.
func (e *engine) checkTestImage(t *testing.T) {
	t.Helper()
	var made struct {
		Size   int
		Config struct{ User string }
	}
	e.inspect(t, testImage, &made)
	packed := e.packed(t, testImage)
	t.Logf("the image has %.1f MB, %.1f MB on its way", float64(made.Size)/1e6, float64(packed)/1e6)
	if made.Size > maximumTest || packed > maximumTestPacked || made.Config.User != "65534:65534" {
		t.Errorf("the image is %+v, packed %d; want at most %d and %d octets", made, packed, maximumTest, maximumTestPacked)
	}
}

// startsCold measures how long it takes from docker run until clients can come.
func (e *engine) startsCold(t *testing.T) {
	t.Helper()
	began := time.Now()
	e.do(t, "docker", "run", "--detach", "--name", "cold", "--network", "none", "--user", "12345:12345", "--read-only", "--cap-drop", "ALL",
		"--security-opt", "no-new-privileges", testImage, "--magic")
	var container struct {
		State struct {
			Pid       int
			StartedAt time.Time
		}
	}
	e.inspect(t, "cold", &container)
	network := lab.NetworkOf(container.State.Pid)
	lab.Await(t, "a test server", patience, func() bool {
		return network.Command("curl", "--silent", "--fail", "http://127.0.0.1:8025/readyz").Run() == nil
	})
	whole := time.Since(began)
	stamp, _, _ := strings.Cut(lineWith(e.do(t, "docker", "logs", "--timestamps", "cold"), "smarthost test runs"), " ")
	said, err := time.Parse(time.RFC3339Nano, stamp)
	lab.Check(t, err)
	t.Logf("ready %v after the start of the container, %v after docker run was called", said.Sub(container.State.StartedAt).Round(time.Millisecond), whole.Round(time.Millisecond))
	e.awaitHealth(t, "cold", "healthy")
	e.do(t, "docker", "stop", "cold")
	var end struct{ State struct{ ExitCode int } }
	e.inspect(t, "cold", &end)
	if end.State.ExitCode != 0 {
		t.Errorf("docker stop ends it with %d:\n%s", end.State.ExitCode, e.do(t, "docker", "logs", "cold"))
	}
	e.do(t, "docker", "rm", "cold")
}

// lineWith is the first line of a text that has a word.
func lineWith(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return line
		}
	}
	return ""
}

// composeTests runs compose.yaml as it is, but for the two images that are its user's. They are Debian's Python here, of which the engine
// knows no image.
func (e *engine) composeTests(t *testing.T) {
	t.Helper()
	python := lab.Mount(t, layers(t, "commands", "base")...)
	root := lab.Mount(t, layers(t, "service", "base")...)
	lab.Bind(t, lab.Folder(), filepath.Join(root, lab.Folder())) // the engine has to find the files by the same names
	h := lab.NewHost(t, root)
	project := filepath.Join(lab.Folder(), "tests")
	h.Write(t, filepath.Join(project, "compose.yaml"), shipped(t, "testing/compose.yaml"), 0o644)
	for _, name := range []string{"app.py", "tests.py"} {
		h.Write(t, filepath.Join(project, name), read(t, filepath.Join("testdata", name)), 0o644)
	}
	override := "services:\n"
	for service, words := range map[string]string{"app": `[python3, /project/app.py, stay]`, "tests": `[python3, /project/tests.py]`} {
		override += fmt.Sprintf("  %s:\n    image: %s\n    entrypoint: %s\n    healthcheck: {disable: true}\n", service, testImage, words)
		override += fmt.Sprintf("    volumes: [%[1]s/usr:/usr:ro, %[1]s/usr/lib:/lib:ro, %[1]s/usr/lib64:/lib64:ro, %[2]s:/project:ro]\n", python, project)
	}
	h.Write(t, filepath.Join(project, "compose.override.yaml"), override+"networks:\n  default: {ipam: {config: [{subnet: 192.0.2.0/24}]}}\n", 0o644)
	compose := []string{"env", "DOCKER_HOST=" + e.socket, "docker-compose", "--project-directory", project,
		"--file", filepath.Join(project, "compose.yaml"), "--file", filepath.Join(project, "compose.override.yaml")}
	defer func() { h.Do(t, append(compose, "down", "--volumes")...) }()
	said := h.Do(t, append(compose, "up", "--no-color", "--exit-code-from", "tests")...)
	for _, want := range []string{"sent", "the mail has come"} {
		if !strings.Contains(said, want) {
			t.Errorf("the containers do not say %q:\n%s", want, said)
		}
	}
}
