package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/seed-1397b510/smarthost/"

// mayImport is the import graph of the project: the mail's way, and no arrow that runs back up.
// A new line here is a design decision: say why in the commit.
var mayImport = map[string][]string{
	"cmd/smarthost": {"cmd/smarthost/doctor", "cmd/smarthost/enroll", "auth", "auth/userfile", "policy", "policy/limit", "server", "server/guard", "server/admin", "server/smarthosttest", "server/capture",
		"forward", "forward/spool", "forward/spool/sqlitespool", "forward/route", "forward/deliver", "forward/notify"},
	"cmd/smarthost/doctor": {"auth", "auth/userfile", "forward/deliver", "forward/route", "forward/spool", "forward/spool/sqlitespool"},
	"cmd/smarthost/enroll": {},

	"server":             {"auth", "policy", "forward/spool", "server/guard"},
	"server/guard":       {},
	"server/dialogue":    {"auth", "policy/limit"}, // the suite that the server and its double pass
	"server/web":         {},                       // what pages and APIs have in common, whatever they are about
	"server/web/webtest": {},                       // what is common to the tests of descriptions
	"server/admin":       {"server/web"},           // it is handed all that it tells about
	// The test double is the engine with a memory, and no database or page is in the build of who imports it.
	"server/smarthosttest": {"server", "server/guard", "auth", "policy", "policy/limit", "policy/message", "forward/spool"},
	"server/capture":       {"server/smarthosttest", "server/web", "policy/limit"}, // what the double has been sent, over HTTP

	"auth":          {},
	"auth/userfile": {"auth"},

	"policy":         {"auth", "policy/limit", "policy/message"},
	"policy/limit":   {},
	"policy/message": {},

	"forward":                   {"forward/spool", "forward/route", "forward/deliver", "forward/dsn"},
	"forward/spool":             {},
	"forward/spool/sqlitespool": {"forward/spool"},
	"forward/spool/spooltest":   {"forward/spool"},
	"forward/route":             {},
	"forward/deliver":           {"forward/route"},
	"forward/dsn":               {},
	"forward/notify":            {"forward/spool"}, // tells others of the events that the queue has written down
}

// tests may also use the honest engines and doubles of what they stand on.
var testsMayImport = map[string][]string{
	"server":                    {"server/dialogue", "auth/userfile", "policy/limit", "forward/spool/sqlitespool", "forward/spool/spooltest"},
	"server/smarthosttest":      {"server/dialogue"},
	"server/admin":              {"server/web/webtest"},
	"server/capture":            {"server/web/webtest"},
	"forward":                   {"forward/spool/sqlitespool", "forward/spool/spooltest"},
	"forward/spool/sqlitespool": {"forward/spool/spooltest"},
	"forward/notify":            {"forward/spool/sqlitespool"},
}

// TestImports reads the sources, because a test that asks `go list` is cached and misses violations.
func TestImports(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "e2e" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return fs.SkipDir // e2e drives the binary and may use everything
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(filepath.Dir(rel))
		seen[folder] = true
		checkImports(t, path, folder)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder := range mayImport {
		if !seen[folder] {
			t.Errorf("the table names %s, which has no Go files", folder)
		}
	}
}

func checkImports(t *testing.T, path, folder string) {
	allowed, known := mayImport[folder]
	if !known {
		t.Errorf("%s is not in the table of imports: a new folder is a design decision", folder)
		return
	}
	if strings.HasSuffix(path, "_test.go") {
		allowed = append(slices.Clone(allowed), testsMayImport[folder]...)
		allowed = append(allowed, folder)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
		}
		if name == "text/template" || name == "html/template" {
			t.Errorf("%s imports %s, which calls methods by their names, so that the linker keeps every method of the program (2 MB); use github.com/DataDog/datadog-agent/pkg/template", path, name)
		}
		ours, ok := strings.CutPrefix(name, module)
		if ok && !slices.Contains(allowed, ours) {
			t.Errorf("%s imports %s; %s may import %v", path, ours, folder, allowed)
		}
	}
}
