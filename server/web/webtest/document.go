// Package webtest holds the description of an API against what it describes. What is common to all descriptions is here; what is said of
// each route is for whoever has the routes.
package webtest

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A Document is what tests read of an OpenAPI document.
type Document struct {
	Paths      map[string]map[string]Operation // by path and method in lower case
	Components struct {
		Schemas map[string]struct{ Properties map[string]any }
	}
	text string
}

// An Operation is a route.
type Operation struct {
	Summary    string
	Security   []map[string][]string
	Parameters []struct{ Name, In string }
	Responses  map[string]any
}

// Read reads a document, which must be one.
func Read(t testing.TB, text []byte) Document {
	t.Helper()
	d := Document{text: string(text)}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// CheckRoutes holds the document to routes such as "GET /a/{b}": each of them is described, with a summary, its faults and what is in its
// path, and nothing else is.
func (d Document) CheckRoutes(t testing.TB, routes []string) {
	t.Helper()
	var described []string
	for path, methods := range d.Paths {
		for method, op := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			if op.Summary == "" || len(op.Responses) < 2 {
				t.Errorf("%s %s: no summary, or no responses", method, path)
			}
			inPath := 0
			for _, p := range op.Parameters {
				if p.In != "path" {
					continue
				}
				if inPath++; !strings.Contains(path, "{"+p.Name+"}") {
					t.Errorf("%s %s has no %s in its path", method, path, p.Name)
				}
			}
			if inPath != strings.Count(path, "{") {
				t.Errorf("%s %s: %d of the parameters in its path are described", method, path, inPath)
			}
		}
	}
	slices.Sort(described)
	if diff := cmp.Diff(slices.Sorted(slices.Values(routes)), described); diff != "" {
		t.Errorf("-routes +document\n%s", diff)
	}
}

// CheckTypes holds the document to the types of requests and answers, of which values are given: each has a schema with just its fields,
// and each reference leads to one.
func (d Document) CheckTypes(t testing.TB, values ...any) {
	t.Helper()
	want, got := map[string][]string{}, map[string][]string{}
	for _, v := range values {
		typ := reflect.TypeOf(v)
		want[typ.Name()] = fields(typ)
	}
	for name, s := range d.Components.Schemas {
		got[name] = slices.Sorted(maps.Keys(s.Properties))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-types +document\n%s", diff)
	}
	for _, part := range strings.Split(d.text, `"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if _, ok := got[name]; !ok {
			t.Errorf("a reference leads to %s, which is not there", name)
		}
	}
}

// fields are the names of a struct's fields in JSON, with those of structs within that have no name of their own.
func fields(typ reflect.Type) []string {
	names := []string{}
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-", name == "" && f.Anonymous:
		case name == "":
			names = append(names, f.Name)
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
