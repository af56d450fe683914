//go:build e2e

package outsider

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkout copies the sample project to a folder of its own, where it finds this module by its path and nothing else of it.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("../testdata/resets")); err != nil {
		t.Fatal(err)
	}
	mod := filepath.Join(folder, "go.mod")
	text, err := os.ReadFile(mod)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum")) // there is no network to ask for them
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{mod: strings.Replace(string(text), "../../..", root, 1), filepath.Join(folder, "go.sum"): string(sums)} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func goCommand(t *testing.T, folder string, arguments ...string) string {
	t.Helper()
	out, err := tryGo(t, folder, arguments...)
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return out
}

func tryGo(t *testing.T, folder string, arguments ...string) (string, error) {
	command := exec.CommandContext(t.Context(), "go", arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	out, err := command.CombinedOutput()
	return string(out), err
}

func TestSampleProject(t *testing.T) {
	folder := checkout(t)
	goCommand(t, folder, "vet", "./...")
	t.Log(goCommand(t, folder, "test", "-race", "-count=1", "-timeout=1m", "./..."))
}

// The sample's tests fail for a program that is not as it should be, and say by what the server has seen of it.
func TestSampleWithFaults(t *testing.T) {
	for name, c := range map[string]struct{ right, wrong, said string }{
		"never tries again":        {"return reply.Code/100 == 4", "return reply.Code/100 == 3", "451 4.7.1 Greylisted"},
		"goes on in clear":         {"c.Quit()\n\t\treturn errNoTLS", "return nil", "credentials-in-clear"},
		"takes any certificate":    {"config := m.TLS.Clone()", "config := &tls.Config{InsecureSkipVerify: true}", "it was sent"},
		"sends mail without names": {"Message-ID: <%s@app.example.com>", "X-Token: %s", "no-message-id"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := checkout(t)
			path := filepath.Join(folder, "mailer.go")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(text), c.right, c.wrong, 1)
			if changed == string(text) {
				t.Fatalf("%q is not in the sample", c.right)
			}
			if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := tryGo(t, folder, "test", "-count=1", "-vet=off", "-timeout=1m", "./...")
			if err == nil || !strings.Contains(out, c.said) {
				t.Errorf("%v, and %q is not in\n%s", err, c.said, out)
			}
		})
	}
}

// Neither a database nor the pages are in the build of who imports the double, nor package testing in that of a program that links it.
func TestBuildsLittle(t *testing.T) {
	folder := checkout(t)
	for _, list := range [][]string{{"list", "-deps", "-test", "./..."}, {"list", "-deps", "github.com/seed-1397b510/smarthost/server/smarthosttest"}} {
		inTests := list[2] == "-test"
		for _, name := range strings.Fields(goCommand(t, folder, list...)) {
			for _, heavy := range []string{"sqlite", "pgx", "modernc.org", "/server/admin", "/server/capture", "/forward/deliver"} {
				if strings.Contains(name, heavy) {
					t.Errorf("%v builds %s", list, name)
				}
			}
			if name == "testing" && !inTests {
				t.Errorf("the double builds package testing")
			}
		}
	}
}
