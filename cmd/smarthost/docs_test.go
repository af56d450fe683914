package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/cmd/smarthost/enroll"
)

// documents are what people read, by their names in the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	names := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	for _, pattern := range []string{"deploy/*.md", "deploy/testing/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		for _, path := range found {
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	texts := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

var (
	codeSpan    = regexp.MustCompile("`[^`]+`")
	commandCall = regexp.MustCompile(`(?:^| )/?smarthost ([a-z]+(?:\s.*)?)$`)
	shellPart   = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)
	folderPath  = regexp.MustCompile(`(?:^|[^\w/.])((?:auth|cmd|deploy|e2e|forward|policy|server|\.ci)/[\w./-]*\w)`)
	dottedKey   = regexp.MustCompile("`([a-z]+\\.[a-z_]+)(?:`| = )")
	aMetric     = regexp.MustCompile(`smarthost_[a-z]+_[a-z_]+[a-z]`)
	aVariable   = regexp.MustCompile(`SMARTHOST_[A-Z_]*[A-Z]`)
)

// spans are the pieces of code in running text.
func spans(text string) (all []string) {
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	for _, span := range codeSpan.FindAllString(text, -1) {
		all = append(all, strings.Join(strings.Fields(strings.Trim(span, "`")), " "))
	}
	return all
}

// calls are the calls of smarthost in the lines of code and in the spans of a text, as words.
func calls(text string) (all [][]string) {
	pieces := spans(text)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "    ") {
			pieces = append(pieces, strings.TrimSpace(line))
		}
	}
	for _, piece := range pieces {
		for _, part := range regexp.MustCompile(` [|>;#] ?|&&|\$\(|\)| {2,}`).Split(piece, -1) {
			found := commandCall.FindStringSubmatch(strings.TrimSpace(part))
			if found == nil {
				continue
			}
			var words []string
			for _, word := range shellPart.FindAllString(found[1], -1) {
				words = append(words, strings.Trim(word, `'"`))
			}
			all = append(all, words)
		}
	}
	return all
}

// wrongCall tells what smarthost finds wrong with the flags and their values, and with the subcommand; "" if nothing.
func wrongCall(t *testing.T, words []string) string {
	t.Helper()
	if at := slices.Index(words, "--"); at >= 0 {
		words = words[:at]
	}
	env := testEnvironment(t, nil)
	if code := run(env, append(slices.Clone(words), "--help")); code != 0 {
		return env.Stderr.(*bytes.Buffer).String()
	}
	help := env.Stdout.(*bytes.Buffer).String()
	withWords := []string{"user", "device", "queue", "token", "config", "test"}
	if len(words) > 1 && slices.Contains(withWords, words[0]) && !strings.HasPrefix(words[1], "-") && words[1] != "list" &&
		!strings.Contains(help, "smarthost "+words[0]+" "+words[1]+" ") {
		return "its help does not know " + words[1]
	}
	return ""
}

// Whatever the documents and the help texts tell people to type can be typed.
func TestWhatIsToBeTyped(t *testing.T) {
	t.Parallel()
	texts := documents(t)
	for _, c := range commands() {
		env := testEnvironment(t, nil)
		run(env, []string{c.name, "--help"})
		_, examples, found := strings.Cut(env.Stdout.(*bytes.Buffer).String(), "\nExample")
		if !found || len(calls(examples)) == 0 {
			t.Errorf("%s --help has no example", c.name)
		}
		texts[c.name+" --help"] = examples
		if c.name != "version" && !strings.Contains(texts["README.md"], "smarthost "+c.name) {
			t.Errorf("README.md does not tell of smarthost %s", c.name)
		}
	}
	count := 0
	for name, text := range texts {
		for _, words := range calls(text) {
			count++
			if fault := wrongCall(t, words); fault != "" {
				t.Errorf("%s: smarthost %q: %s", name, words, fault)
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d calls were found", count)
	}
}

// The files, keys and variables that the documents name are there.
func TestWhatIsNamed(t *testing.T) {
	t.Parallel()
	keys, tables := map[string]bool{}, map[string]bool{}
	for _, key := range limitKeys("default") {
		keys[strings.TrimPrefix(key, "limits.")] = true
	}
	for _, s := range settings {
		keys[s.key] = true
		table, _, _ := strings.Cut(s.key, ".")
		tables[table] = true
	}
	files := map[string]bool{"queue.db": true}
	metrics := documents(t)["deploy/METRICS.md"]
	for name, text := range documents(t) {
		for _, found := range folderPath.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", "..", found[1])); err != nil && !os.IsPermission(err) {
				t.Errorf("%s names %s: %v", name, found[1], err)
			}
		}
		for _, found := range dottedKey.FindAllStringSubmatch(text, -1) {
			table, _, _ := strings.Cut(found[1], ".")
			if tables[table] && !keys[found[1]] && !files[found[1]] {
				t.Errorf("%s names the key %s, which there is not", name, found[1])
			}
		}
		for _, metric := range aMetric.FindAllString(text, -1) {
			if !strings.Contains(metrics, "| `"+metric+"` |") {
				t.Errorf("%s names the metric %s, which deploy/METRICS.md does not", name, metric)
			}
		}
		if name == "CHANGELOG.md" {
			continue // has an example of a wrong one
		}
		env := testEnvironment(t, nil)
		env.Environ = func() []string { return aVariable.FindAllString(text, -1) }
		for _, stray := range strayVariables(env) {
			t.Errorf("%s: %s", name, stray)
		}
	}
	clients, err := enroll.Clients()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if !strings.Contains(documents(t)["README.md"], "`"+c.Name+"`") {
			t.Errorf("README.md does not name the client %s of smarthost enroll", c.Name)
		}
	}
	var printed bytes.Buffer
	printConfig(&printed)
	if missing := slices.DeleteFunc(slices.Sorted(maps.Keys(tables)), func(table string) bool {
		return strings.Contains(printed.String(), "\n["+table+"]\n") || strings.Contains(printed.String(), "\n#"+table+" = ")
	}); len(missing) > 0 {
		t.Errorf("smarthost config does not print %q", missing)
	}
}
