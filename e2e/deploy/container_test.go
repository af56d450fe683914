//go:build e2e

package deploy

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

const (
	image = "smarthost:test"

	// Octets of the image, on disk and as a registry hands it out.
	maximum       = 20_000_000
	maximumPacked = 8_500_000
)

// An engine is a Docker engine of the test's own: it knows no image, has no network and ends with the test.
type engine struct{ socket string }

func startEngine(t *testing.T) *engine {
	t.Helper()
	home, err := os.MkdirTemp(lab.Folder(), "docker-")
	lab.Check(t, err)
	e := &engine{socket: "unix://" + filepath.Join(home, "socket")}
	lab.Check(t, os.WriteFile(filepath.Join(home, "config"), []byte("{}"), 0o600)) // not the machine's
	lab.Run(t, "dockerd", "--host", e.socket, "--data-root", filepath.Join(home, "data"), "--exec-root", filepath.Join(home, "exec"),
		"--pidfile", filepath.Join(home, "pid"), "--config-file", filepath.Join(home, "config"), "--bridge", "none",
		"--iptables=false", "--ip6tables=false", "--log-level", "error")
	lab.Await(t, "the Docker engine", patience, func() bool { return e.command("docker", "version").Run() == nil })
	return e
}

func (e *engine) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.socket)
	return cmd
}

func (e *engine) do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inspect fills v with what the engine knows of an image or a container.
func (e *engine) inspect(t *testing.T, name string, v any) {
	t.Helper()
	list := []any{v}
	lab.Check(t, json.Unmarshal([]byte(e.do(t, "docker", "inspect", name)), &list))
}

// checkImage looks at the size of the image and at what it says of itself.
func (e *engine) checkImage(t *testing.T) {
	t.Helper()
	var made struct {
		Size   int
		Config struct {
			Labels map[string]string
			User   string
		}
	}
	e.inspect(t, image, &made)
	packed := e.packed(t, image)
	t.Logf("the image has %.1f MB, %.1f MB on its way", float64(made.Size)/1e6, float64(packed)/1e6)
	if made.Size > maximum || packed > maximumPacked {
		t.Errorf("the image has %d octets, packed %d; want at most %d and %d", made.Size, packed, maximum, maximumPacked)
	}
	if made.Config.User != "65534:65534" || made.Config.Labels["org.opencontainers.image.version"] != "1.0.0" {
		t.Errorf("the image says %+v", made.Config)
	}
	if said, err := e.command("docker", "run", "--rm", "--network", "none", image, "test").CombinedOutput(); err == nil || !strings.Contains(string(said), "without its test server") {
		t.Errorf("the image has the server for tests: %v, %q", err, said)
	}
	if said := e.do(t, "docker", "run", "--rm", "--network", "none", image, "version"); !strings.HasPrefix(said, "smarthost 1.0.0 (") {
		t.Errorf("the image's version is %q", said)
	}
}

// packed is the size of an image as registries keep it.
func (e *engine) packed(t *testing.T, image string) int {
	t.Helper()
	size, err := strconv.Atoi(strings.TrimSpace(e.do(t, "sh", "-c", "docker save "+image+" | gzip | wc -c")))
	lab.Check(t, err)
	return size
}

// serve starts the server in a container as anybody might: any user, nothing writable but the volume, no rights at all.
// It returns the container's network as a machine.
func (e *engine) serve(t *testing.T) *lab.Host {
	t.Helper()
	e.do(t, "docker", "run", "--detach", "--name", "mail", "--hostname", lab.Hostname, "--network", "none",
		"--user", "12345:12345", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--volume", "mail:/var/lib/smarthost", "--health-interval", "1s", "--env", "SMARTHOST_FORWARD_RELAY=smtp://127.0.0.1:2525?tls=none",
		"--env", `SMARTHOST_FORWARD_RETRY=1s`, "--env", "SMARTHOST_TLS_CERTIFICATE=/tls/certificate.pem", "--env", "SMARTHOST_TLS_KEY=/tls/key.pem",
		"--volume", filepath.Join(lab.Folder(), "tls")+":/tls:ro", image)
	var ready time.Time
	lab.Await(t, "a start", patience, func() bool {
		line, _, found := strings.Cut(e.do(t, "docker", "logs", "--timestamps", "mail"), `"message":"ready"`)
		stamp, _, _ := strings.Cut(line[strings.LastIndexByte(line, '\n')+1:], " ")
		if found {
			var err error
			ready, err = time.Parse(time.RFC3339Nano, stamp)
			lab.Check(t, err)
		}
		return found
	})
	var state struct {
		State struct {
			Pid       int
			StartedAt time.Time
		}
	}
	e.inspect(t, "mail", &state)
	t.Logf("ready %v after the start of the container", ready.Sub(state.State.StartedAt).Round(time.Millisecond))
	return lab.NetworkOf(state.State.Pid)
}

func (e *engine) awaitHealth(t *testing.T, name, want string) {
	t.Helper()
	var state struct {
		State struct {
			Running bool
			Health  struct {
				Status string
				Log    []struct{ Output string }
			}
		}
	}
	for deadline := time.Now().Add(patience); state.State.Health.Status != want; <-time.After(100 * time.Millisecond) {
		e.inspect(t, name, &state)
		if !state.State.Running || time.Now().After(deadline) {
			t.Fatalf("the container is not %s: %+v\n%s", want, state.State, e.do(t, "docker", "logs", name))
		}
	}
}

// The image is built without network, is small, and takes mail as any user on a read-only file system. The container is killed
// and made anew with mail in its queue, and nothing is lost.
func TestContainer(t *testing.T) {
	e := startEngine(t)
	e.do(t, "bash", filepath.Join(folder, "image"), image, "1.0.0")
	e.checkImage(t)

	ca := lab.NewAuthority(t)
	tls := filepath.Join(lab.Folder(), "tls")
	lab.Check(t, os.Mkdir(tls, 0o755))
	_, key := ca.IssueFor(t, tls, time.Now().Add(-time.Hour), time.Now().AddDate(0, 2, 0), lab.Hostname) // none that is about to end
	lab.Check(t, os.Chown(key, 12345, 12345))
	network := e.serve(t)
	e.awaitHealth(t, "mail", "healthy")
	server := &lab.Smarthost{CA: ca.Pool, Password: secret(t, e.do(t, "docker", "exec", "mail", "/smarthost", "user", "add", lab.User, "--sender", "*"))}
	const mails = 20
	lab.Await(t, "the new account to be known", patience, func() bool { return sendInto(t, network, server, 0) == nil })
	for n := 1; n < mails; n++ {
		lab.Check(t, sendInto(t, network, server, n))
	}

	e.do(t, "docker", "kill", "mail")
	e.do(t, "docker", "rm", "mail")
	network = e.serve(t)
	lab.Check(t, sendInto(t, network, server, mails))
	e.awaitHealth(t, "mail", "unhealthy") // nothing has listened at the relay's address so far
	upstream := startUpstream(t, network)
	seen := map[string]bool{}
	for _, m := range upstream.Wait(t, mails+1, patience) {
		seen[string(lab.AfterField(m.Content))] = true
	}
	if len(seen) != mails+1 {
		t.Errorf("%d different mails arrived, want %d", len(seen), mails+1)
	}
	e.awaitHealth(t, "mail", "healthy")
	e.losesUpstream(t, network, server, upstream)
	e.breaks(t)
	if said := e.do(t, "docker", "logs", "mail"); strings.Contains(said, `"level":"warn"`) || strings.Contains(said, `"level":"error"`) {
		t.Errorf("the server is not content in its container:\n%s", said)
	}
	e.do(t, "docker", "stop", "mail")
	var end struct{ State struct{ ExitCode int } }
	e.inspect(t, "mail", &end)
	if end.State.ExitCode != 0 {
		t.Errorf("docker stop ends it with %d:\n%s", end.State.ExitCode, e.do(t, "docker", "logs", "mail"))
	}
	e.do(t, "docker", "rm", "mail")
	e.warns(t)
	e.fills(t)
	e.compose(t)
}

// startUpstream starts the relay of a container.
func startUpstream(t *testing.T, network *lab.Host) (s *lab.Sink) {
	network.In(t, func() { s = lab.StartSink(t, "127.0.0.1:2525", false) })
	return s
}

// losesUpstream stops the relay, and one mail is enough for health to see it; starts it, and health sees that too. The mail, which was
// taken meanwhile, arrives once. That mail is taken is healthy all the time.
func (e *engine) losesUpstream(t *testing.T, network *lab.Host, server *lab.Smarthost, upstream *lab.Sink) {
	t.Helper()
	upstream.Stop()
	lab.Check(t, sendInto(t, network, server, 4711))
	e.awaitHealth(t, "mail", "unhealthy")
	said, err := e.command("docker", "exec", "mail", "/smarthost", "health").CombinedOutput()
	if err == nil || !strings.Contains(string(said), "route        failed") {
		t.Errorf("health says (%v):\n%s", err, said)
	}
	e.do(t, "docker", "exec", "mail", "/smarthost", "health", "--exclude", "route")
	upstream = startUpstream(t, network)
	e.awaitHealth(t, "mail", "healthy")
	lab.Await(t, "an empty queue", patience, func() bool {
		return strings.Trim(e.do(t, "docker", "exec", "mail", "/smarthost", "queue", "--json"), "[] \n") == ""
	})
	if mails := upstream.Peek(); len(mails) != 1 || !strings.Contains(string(mails[0].Content), "<4711@container.test>") {
		t.Errorf("%d mails arrived after the trouble, want the one that was sent in it", len(mails))
	}
}

// sendInto sends one mail from inside a container's network.
func sendInto(t *testing.T, network *lab.Host, server *lab.Smarthost, n int) error {
	l := &load{server: server, dial: func() (c net.Conn, err error) {
		network.In(t, func() { c, err = net.Dial("tcp", "127.0.0.1:587") })
		return c, err
	}}
	return l.attempt(fmt.Appendf(nil, "Message-ID: <%d@container.test>\r\nSubject: %[1]d\r\n\r\nbody\r\n", n))
}

// breaks makes the volume one that cannot be written, and writable again: health says so each time.
func (e *engine) breaks(t *testing.T) {
	t.Helper()
	queue := strings.TrimSpace(e.do(t, "docker", "volume", "inspect", "--format", "{{.Mountpoint}}", "mail")) + "/queue"
	lab.Check(t, os.Chmod(queue, 0o500))
	e.awaitHealth(t, "mail", "unhealthy")
	lab.Check(t, os.Chmod(queue, 0o700))
	e.awaitHealth(t, "mail", "healthy")
}

// fills lets the volume run full and makes room again: health says so each time.
func (e *engine) fills(t *testing.T) {
	t.Helper()
	e.do(t, "docker", "volume", "create", "--driver", "local", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=200m,mode=1777", "small")
	e.do(t, "docker", "run", "--detach", "--name", "full", "--network", "none", "--volume", "small:/var/lib/smarthost", "--health-interval", "1s", image)
	e.awaitHealth(t, "full", "healthy")
	file := filepath.Join(strings.TrimSpace(e.do(t, "docker", "volume", "inspect", "--format", "{{.Mountpoint}}", "small")), "file")
	e.do(t, "fallocate", "--length", "150M", file)
	e.awaitHealth(t, "full", "unhealthy")
	lab.Check(t, os.Remove(file))
	e.awaitHealth(t, "full", "healthy")
	e.do(t, "docker", "rm", "--force", "full")
}

// warns looks at a container without a volume, whose mail goes with it, and with a user that it does not need: the log says so.
func (e *engine) warns(t *testing.T) {
	t.Helper()
	e.do(t, "docker", "run", "--detach", "--name", "mail", "--network", "none", "--user", "0:0", "--env", "SMARTHOST_DATA=/srv", image)
	logs := func() string { return e.do(t, "docker", "logs", "mail") }
	lab.Await(t, "a start", patience, func() bool { return strings.Contains(logs(), `"message":"ready"`) })
	for _, want := range []string{"the data folder lies in the container itself", "this server runs as root"} {
		if said := logs(); !strings.Contains(said, want) {
			t.Errorf("no word of %q:\n%s", want, said)
		}
	}
	e.do(t, "docker", "rm", "--force", "mail")
}

// compose starts compose.yaml as it is, but for what a user fills in: the relay, and here the addresses of the network. Another
// container sends through it by its name, while it is killed and made anew.
func (e *engine) compose(t *testing.T) {
	t.Helper()
	root := lab.Mount(t, layers(t, "service", "base")...)
	lab.Bind(t, lab.Folder(), filepath.Join(root, lab.Folder())) // the engine has to find the files by the same names
	h := lab.NewHost(t, root)
	project := filepath.Join(lab.Folder(), "project")
	h.Write(t, filepath.Join(project, "compose.yaml"), shipped(t, "compose.yaml"), 0o644)
	h.Write(t, filepath.Join(project, "compose.override.yaml"), `
services:
  smarthost: {image: "`+image+`", healthcheck: {interval: 1s}, environment: {SMARTHOST_FORWARD_RETRY: 1s}}
networks:
  mail: {ipam: {config: [{subnet: 192.0.2.0/24}]}}
`, 0o644)
	h.Write(t, filepath.Join(project, "relay"), "smtp://192.0.2.1:2525?tls=none\n", 0o644)
	compose := func(args ...string) string {
		return h.Do(t, append([]string{"env", "DOCKER_HOST=" + e.socket, "docker-compose", "--project-directory", project,
			"--file", filepath.Join(project, "compose.yaml"), "--file", filepath.Join(project, "compose.override.yaml")}, args...)...)
	}
	compose("up", "--detach")
	defer compose("down", "--volumes")
	const server = "project_smarthost_1"
	e.awaitHealth(t, server, "healthy")
	password := secret(t, e.do(t, "docker", "exec", server, "/smarthost", "user", "add", "app", "--sender", "*"))
	send := func(to string) error {
		cmd := e.command("docker", "run", "--rm", "--interactive", "--network", "project_mail", "--volume", "project_mail:/data:ro",
			image, "doctor", "smarthost:587", "--user", "app", "--password-stdin", "--ca", "/data/tls/ca.pem", "--from", "app@client.test", "--send", to)
		cmd.Stdin = strings.NewReader(password)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("an app cannot send: %w\n%s", err, out)
		}
		return nil
	}
	lab.Check(t, send("before@dest.test")) // there is no relay yet
	compose("kill")
	compose("rm", "--force")
	compose("up", "--detach")
	upstream := lab.StartSink(t, "192.0.2.1:2525", false)
	lab.Check(t, send("after@dest.test"))
	var to []string
	for _, m := range upstream.Wait(t, 2, patience) {
		to = append(to, m.To...)
	}
	if slices.Sort(to); !slices.Equal(to, []string{"after@dest.test", "before@dest.test"}) {
		t.Errorf("mail arrived for %v", to)
	}
}
