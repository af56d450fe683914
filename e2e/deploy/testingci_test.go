//go:build e2e

package deploy

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// What of GitHub's workflows and of GitLab's jobs the files for tests use: a field that is not here is a mistake in them, or has to be thought
// about here.
type (
	githubWorkflow struct {
		Name string
		On   []string `json:"true"` // the reader knows YAML 1.1, in which on is a boolean
		Jobs map[string]struct {
			RunsOn   string `json:"runs-on"`
			Services map[string]struct {
				Image string
				Env   words
				Ports []string
			}
			Env   words
			Steps []struct{ Name, Uses, Run, If string }
		}
	}
	gitlabJobs map[string]struct {
		Image        string
		Services     []struct{ Name, Alias string }
		Variables    words
		BeforeScript []string `json:"before_script"`
		Script       []string
		AfterScript  []string `json:"after_script"`
	}
)

// strictly reads the only document of a YAML file, in which every field has to be known.
func strictly(t *testing.T, h *lab.Host, name string, to any) {
	t.Helper()
	all := documents(t, h, shipped(t, name))
	if len(all) != 1 {
		t.Fatalf("%s has %d documents", name, len(all))
	}
	d := json.NewDecoder(bytes.NewReader(all[0]))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// A ciJob runs the scripts of a CI file on a machine beside a test server that has the image's environment and the file's.
type ciJob struct {
	host   *lab.Host
	folder string // its workspace
	env    words
}

// newCIJob makes a machine with Python and curl, and starts the test server as the CI would start its image.
func newCIJob(t *testing.T, hosts string, service, env words) *ciJob {
	t.Helper()
	root := lab.Mount(t, layers(t, "service", "base")...)
	lab.Bind(t, lab.Folder(), filepath.Join(root, lab.Folder()))
	j := &ciJob{host: lab.NewHost(t, root), folder: "/job", env: maps.Clone(env)}
	j.host.Write(t, "/etc/hosts", "127.0.0.1 localhost "+hosts+"\n", 0o644)
	for _, name := range []string{"app.py", "tests.py"} {
		j.host.Write(t, filepath.Join(j.folder, name), read(t, filepath.Join("testdata", name)), 0o644)
	}
	image := words{}
	for _, set := range regexp.MustCompile(`SMARTHOST_TEST_[A-Z_]+=\S+`).FindAllString(shipped(t, "Dockerfile"), -1) {
		name, value, _ := strings.Cut(set, "=")
		image[name] = value
	}
	if len(image) == 0 {
		t.Fatal("the Dockerfile sets nothing for the test server")
	}
	maps.Copy(image, service)
	server := j.host.Command(slices.Concat([]string{"env"}, image.list(), []string{filepath.Join(lab.Folder(), "smarthost"), "test"})...)
	said, err := os.Create(filepath.Join(t.TempDir(), "log"))
	lab.Check(t, err)
	server.Stdout, server.Stderr = said, said
	lab.Check(t, server.Start())
	t.Cleanup(func() { // the server ends with its machine
		server.Process.Kill()
		server.Wait()
		said.Close()
		if t.Failed() {
			t.Log(read(t, said.Name()))
		}
	})
	j.host.Do(t, filepath.Join(lab.Folder(), "smarthost"), "test", "ready", "--http", image["SMARTHOST_TEST_HTTP"], "--wait", "30s")
	return j
}

func (w words) list() []string {
	var all []string
	for name, value := range w {
		all = append(all, name+"="+value)
	}
	return all
}

// tests stand in the place of the user's: the program sends, and the tests wait for what it has sent.
const tests = "python3 app.py && python3 tests.py"

// run runs a script as the CI does, with the user's part filled in.
func (j *ciJob) run(t *testing.T, script string) string {
	t.Helper()
	script = regexp.MustCompile(`(?m)^make test.*`).ReplaceAllString(script, tests)
	return j.host.Do(t, slices.Concat([]string{"env", "--chdir", j.folder}, j.env.list(), []string{"bash", "-e", "-c", script})...)
}

// The workflow for GitHub Actions is one, and its scripts make a client trust the test server and show what was said to it.
func TestGitHubActions(t *testing.T) {
	parser := lab.NewHost(t, lab.Mount(t, layers(t, "service", "base")...))
	var workflow githubWorkflow
	strictly(t, parser, "testing/github.yml", &workflow)
	of := workflow.Jobs["tests"]
	mail := of.Services["mail"]
	if len(workflow.On) == 0 || of.RunsOn == "" || !slices.Equal(mail.Ports, []string{"1025:1025", "8025:8025"}) {
		t.Errorf("the workflow is %+v", workflow)
	}
	j := newCIJob(t, "", mail.Env, of.Env)
	j.env["GITHUB_ENV"], j.env["RUNNER_TEMP"] = "/job/env", "/tmp"
	j.host.Write(t, "/job/env", "", 0o644)
	var said string
	for _, step := range of.Steps {
		if step.Run == "" {
			continue
		}
		said += j.run(t, step.Run)
		for line := range strings.Lines(read(t, filepath.Join(j.host.Root, "job/env"))) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			j.env[name] = value
		}
	}
	checkCI(t, said)
}

// The same for GitLab.
func TestGitLabCI(t *testing.T) {
	parser := lab.NewHost(t, lab.Mount(t, layers(t, "service", "base")...))
	var jobs gitlabJobs
	strictly(t, parser, "testing/gitlab.yml", &jobs)
	of := jobs["tests"]
	if len(of.Services) != 1 {
		t.Fatalf("the job is %+v", of)
	}
	j := newCIJob(t, of.Services[0].Alias, of.Variables, of.Variables)
	said := j.run(t, strings.Join(append(of.BeforeScript, of.Script...), "\n"))
	j.env["CI_JOB_STATUS"] = "failed"
	checkCI(t, said+j.run(t, strings.Join(of.AfterScript, "\n")))
}

func checkCI(t *testing.T, said string) {
	t.Helper()
	for _, want := range []string{"the mail has come", "C: AUTH PLAIN *** (app)", "S: 250 2.0.0 queued as "} {
		if !strings.Contains(said, want) {
			t.Errorf("the job does not say %q:\n%s", want, said)
		}
	}
}
