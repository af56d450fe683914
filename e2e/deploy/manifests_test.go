//go:build e2e

package deploy

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// documents reads YAML as Debian's python3-yaml does.
func documents(t *testing.T, h *lab.Host, text string) []json.RawMessage {
	t.Helper()
	cmd := h.Command("python3", "-c", "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))")
	cmd.Stdin = strings.NewReader(text)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	var all []json.RawMessage
	lab.Check(t, json.Unmarshal(out, &all))
	return all
}

// manifests are the objects of a folder by their kinds.
type manifests struct {
	kustomization kustomization
	set           statefulSet
	services      []service
	policy        networkPolicy
	budget        disruptionBudget
	namespace     namespace
	monitor       serviceMonitor
}

// readManifests reads the files of a folder, which are those that its kustomization.yaml names.
func readManifests(t *testing.T, h *lab.Host, in string) *manifests {
	t.Helper()
	m := new(manifests)
	known := map[string]func() any{
		"kustomize.config.k8s.io/v1beta1 Kustomization": func() any { return &m.kustomization },
		"kustomize.config.k8s.io/v1alpha1 Component":    func() any { return &m.kustomization },
		"apps/v1 StatefulSet":                           func() any { return &m.set },
		"v1 Service": func() any {
			m.services = append(m.services, service{})
			return &m.services[len(m.services)-1]
		},
		"networking.k8s.io/v1 NetworkPolicy":      func() any { return &m.policy },
		"policy/v1 PodDisruptionBudget":           func() any { return &m.budget },
		"v1 Namespace":                            func() any { return &m.namespace },
		"monitoring.coreos.com/v1 ServiceMonitor": func() any { return &m.monitor },
	}
	files, err := filepath.Glob(filepath.Join(folder, in, "*.yaml"))
	lab.Check(t, err)
	var names []string
	for _, file := range files {
		if name := filepath.Base(file); name != "kustomization.yaml" {
			names = append(names, name)
		}
		for _, text := range documents(t, h, read(t, file)) {
			var is struct{ APIVersion, Kind string }
			lab.Check(t, json.Unmarshal(text, &is))
			object := known[is.APIVersion+" "+is.Kind]
			if object == nil {
				t.Fatalf("%s: %s %s is not known here", file, is.APIVersion, is.Kind)
			}
			strict := json.NewDecoder(bytes.NewReader(text))
			strict.DisallowUnknownFields()
			if err := strict.Decode(object()); err != nil {
				t.Errorf("%s: %s: %v", file, is.Kind, err)
			}
		}
	}
	slices.Sort(m.kustomization.Resources)
	if !slices.Equal(names, m.kustomization.Resources) {
		t.Errorf("%s: kustomization.yaml has %v, the folder %v", in, m.kustomization.Resources, names)
	}
	return m
}

// The manifests are what Kubernetes takes, and fit together, to the image and to the config.
func TestKubernetes(t *testing.T) {
	h := lab.NewHost(t, lab.Mount(t, layers(t, "service", "base")...))
	m := readManifests(t, h, "kubernetes")
	pod := m.set.Spec.Template
	for name, labels := range map[string]words{
		"the set": m.set.Spec.Selector.MatchLabels, "the policy": m.policy.Spec.PodSelector.MatchLabels, "the budget": m.budget.Spec.Selector.MatchLabels,
		m.services[0].Metadata.Name: m.services[0].Spec.Selector, m.services[1].Metadata.Name: m.services[1].Spec.Selector,
	} {
		if !maps.Equal(labels, pod.Metadata.Labels) {
			t.Errorf("%s selects %v, the pod is %v", name, labels, pod.Metadata.Labels)
		}
	}
	if len(pod.Spec.Containers) != 1 || m.set.Spec.Replicas != 1 {
		t.Fatal("the queue belongs to one process")
	}
	c := pod.Spec.Containers[0]
	ports := map[string]int{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	m.checkPorts(t, c, ports)
	m.checkVolumes(t, c, pod.Spec)
	m.checkServices(t)
	if !strings.Contains(shipped(t, "kubernetes/kustomization.yaml"), "\n#components: [monitoring]\n") {
		t.Error("kustomization.yaml does not say how monitoring is added")
	}
	m.checkMonitoring(t, readManifests(t, h, "kubernetes/monitoring"))
	if s := c.SecurityContext; !s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
		t.Errorf("the container may do more than it needs: %+v", s)
	}
	if s := pod.Spec.SecurityContext; !s.RunAsNonRoot || s.RunAsUser == 0 || s.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("the pod may do more than it needs: %+v", s)
	}
	if m.namespace.Metadata.Name != m.kustomization.Namespace {
		t.Errorf("the namespace is %s, the objects are for %s", m.namespace.Metadata.Name, m.kustomization.Namespace)
	}

	// The config is right, and has the ports.
	ca := lab.NewAuthority(t)
	certificate, key := ca.Issue(t, t.TempDir(), lab.Hostname)
	h.Write(t, "/tls/tls.crt", read(t, certificate), 0o600)
	h.Write(t, "/tls/tls.key", read(t, key), 0o600)
	config := shipped(t, "kubernetes/smarthost.toml")
	h.Write(t, configFile, config, 0o600)
	h.Write(t, "/usr/bin/smarthost", read(t, static(t)), 0o755)
	h.Do(t, "smarthost", "config", "check", configFile)
	for name, port := range map[string]string{"submission": `submission  = [":2587"]`, "submissions": `submissions = [":2465"]`, "admin": `admin       = ":8587"`} {
		if !strings.Contains(config, port) || !strings.Contains(port, "8587") && ports[name] != map[string]int{"submission": 2587, "submissions": 2465}[name] {
			t.Errorf("the config does not open %s as the pod has it, %d:\n%s", name, ports[name], config)
		}
	}
}

func (m *manifests) checkPorts(t *testing.T, c container, ports map[string]int) {
	t.Helper()
	use := map[string]string{"liveness": c.LivenessProbe.HTTPGet.Port, "readiness": c.ReadinessProbe.HTTPGet.Port, "startup": c.StartupProbe.HTTPGet.Port}
	for _, s := range m.services {
		for _, p := range s.Spec.Ports {
			use[s.Metadata.Name+" "+p.Name] = p.TargetPort
		}
	}
	for _, rule := range m.policy.Spec.Ingress {
		for _, p := range rule.Ports {
			use["policy"], _ = p.Port.(string)
		}
	}
	for who, port := range use {
		if ports[port] == 0 {
			t.Errorf("%s wants the port %q, which the pod does not have", who, port)
		}
	}
	if c.LivenessProbe.HTTPGet.Path != "/livez" || c.ReadinessProbe.HTTPGet.Path != "/readyz?exclude=route" || c.StartupProbe.HTTPGet.Path != "/livez" {
		t.Error("a probe asks for something else than /livez, and /readyz for all but the way out")
	}
}

func (m *manifests) checkVolumes(t *testing.T, c container, pod podSpec) {
	t.Helper()
	volumes := map[string]string{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = "given"
		if v.ConfigMap != nil && v.ConfigMap.Name != m.kustomization.ConfigMapGenerator[0].Name {
			t.Errorf("the config map %s is not made", v.ConfigMap.Name)
		}
	}
	for _, claim := range m.set.Spec.VolumeClaimTemplates {
		volumes[claim.Metadata.Name] = "claimed"
	}
	for _, mount := range c.VolumeMounts {
		is := volumes[mount.Name]
		if is == "" || mount.ReadOnly == (is == "claimed") || is == "claimed" && mount.MountPath != "/var/lib/smarthost" {
			t.Errorf("the mount %+v is of a volume that is %q", mount, is)
		}
		delete(volumes, mount.Name)
	}
	if len(volumes) > 0 {
		t.Errorf("not mounted: %v", volumes)
	}
}

func (m *manifests) checkServices(t *testing.T) {
	t.Helper()
	headless := ""
	for _, s := range m.services {
		if s.Spec.ClusterIP == "None" {
			headless = s.Metadata.Name
		} else if s.Spec.ExternalTrafficPolicy != "Local" {
			t.Errorf("%s hides the clients' addresses", s.Metadata.Name)
		}
	}
	if headless != m.set.Spec.ServiceName {
		t.Errorf("the set's service is %s, the one without an address %s", m.set.Spec.ServiceName, headless)
	}
}

// checkMonitoring looks at what the folder monitoring adds.
func (m *manifests) checkMonitoring(t *testing.T, more *manifests) {
	t.Helper()
	var watched []string
	for _, s := range m.services {
		selected := true
		for label, value := range more.monitor.Spec.Selector.MatchLabels {
			selected = selected && s.Metadata.Labels[label] == value
		}
		for _, p := range s.Spec.Ports {
			if selected && p.Name == more.monitor.Spec.Endpoints[0].Port {
				watched = append(watched, s.Metadata.Name)
			}
		}
	}
	if !slices.Equal(watched, []string{m.set.Spec.ServiceName}) {
		t.Errorf("the monitor watches %v, want %s", watched, m.set.Spec.ServiceName)
	}
	if path := more.monitor.Spec.Endpoints[0].Path; path != "/metrics" {
		t.Errorf("the monitor asks for %s", path)
	}
	if !maps.Equal(more.policy.Spec.PodSelector.MatchLabels, m.policy.Spec.PodSelector.MatchLabels) || more.policy.Spec.Ingress[0].Ports[0].Port != "admin" {
		t.Error("Prometheus is not let in to where the metrics are")
	}
	if more.policy.Metadata.Name == m.policy.Metadata.Name || more.kustomization.Kind != "Component" {
		t.Error("what monitoring adds replaces something, or cannot be added")
	}
}

// The examples of configs are right.
func TestConfigs(t *testing.T) {
	h := lab.NewHost(t, lab.Mount(t, layers(t, "base")...))
	ca := lab.NewAuthority(t)
	certificate, key := ca.Issue(t, t.TempDir(), lab.Hostname)
	for path, from := range map[string]string{"fullchain.pem": certificate, "privkey.pem": key} {
		h.Write(t, "/etc/letsencrypt/live/mx.example.org/"+path, read(t, from), 0o600)
		h.Write(t, "/run/credentials/smarthost.service/"+path, read(t, from), 0o600)
	}
	h.Write(t, "/etc/smarthost/relay-password", "secret\n", 0o600)
	h.Write(t, "/usr/bin/smarthost", read(t, static(t)), 0o755)
	packaged := shipped(t, "package/smarthost.toml")
	head, keys, _ := strings.Cut(packaged, "\n\n")
	for name, text := range map[string]string{"smarthost.toml": shipped(t, "smarthost.toml"), "package/smarthost.toml": packaged, "package/smarthost.toml, all of it": head + uncomment(keys)} {
		h.Write(t, configFile, text, 0o600)
		if out, err := h.Command("smarthost", "config", "check", configFile).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// What README.md gives for firewall and kernel is what they take.
func TestReadme(t *testing.T) {
	text := shipped(t, "README.md")
	h := lab.NewHost(t, "")
	for begin, program := range map[string][]string{
		"    table inet smarthost {\n":         {"nft", "--check", "--file", "-"},
		"    # /etc/sysctl.d/smarthost.conf\n": {"sysctl", "--load=-"},
	} {
		_, after, found := strings.Cut(text, begin)
		block, _, ended := strings.Cut(after, "\n\n")
		if !found || !ended {
			t.Fatalf("README.md has no %q", begin)
		}
		cmd := h.Command(program...)
		cmd.Stdin = strings.NewReader(begin + block + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", program, err, out)
		}
	}
}

// uncomment puts the keys of a config into force that are there as examples.
func uncomment(text string) string {
	var all strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "# ") {
			line = strings.TrimPrefix(line, "#")
		}
		all.WriteString(line)
	}
	return all.String()
}
