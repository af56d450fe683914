package capture

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// typesInDocument are those of requests and answers; the document has a schema for each.
var typesInDocument = []any{
	Fault{}, NewUser{}, Limits{}, Account{}, Accounts{}, Session{}, Line{}, SessionList{}, Rule{}, Script{}, Unmet{}, Advance{}, Done{}, Event{},
	Summary{}, Message{}, Envelope{}, Recipient{}, Header{}, Addresses{}, Address{}, Part{}, Link{}, Links{}, Codes{}, MessageList{}, Deleted{},
	Finding{}, Findings{},
}

type document struct {
	Paths map[string]map[string]struct {
		Summary    string
		Parameters []struct{ Name, In string }
		Responses  map[string]any
	}
	Components struct {
		Schemas map[string]struct{ Properties map[string]any }
	}
}

func read(t *testing.T) (d document) {
	t.Helper()
	if err := json.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Every native route is described, below /inbox/{user} too if it is there, and nothing else is.
func TestDocumentDescribesTheRoutes(t *testing.T) {
	var want, got []string
	for _, r := range native {
		want = append(want, r.method+" "+r.path)
		if r.scoped {
			want = append(want, r.method+" /inbox/{user}"+r.path)
		}
	}
	for path, methods := range read(t).Paths {
		for method, op := range methods {
			got = append(got, strings.ToUpper(method)+" "+path)
			if op.Summary == "" || len(op.Responses) < 2 {
				t.Errorf("%s %s: no summary, or no responses", method, path)
			}
			inPath := 0
			for _, p := range op.Parameters {
				if p.In == "path" {
					inPath++
				}
				if p.In == "path" && !strings.Contains(path, "{"+p.Name+"}") {
					t.Errorf("%s %s has no %s in its path", method, path, p.Name)
				}
			}
			if inPath != strings.Count(path, "{") {
				t.Errorf("%s %s: its path has more parameters than %d", method, path, inPath)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-routes +document\n%s", diff)
	}
}

// Every parameter that is described is taken.
func TestDocumentDescribesTheParameters(t *testing.T) {
	h := newHouse(t)
	for path, methods := range read(t).Paths {
		for method, op := range methods {
			for _, p := range op.Parameters {
				if p.In != "query" {
					continue
				}
				at := strings.NewReplacer("{user}", "alice", "{session}", "x", "{id}", "x", "{part}", "1").Replace(path)
				for name, known := range map[string]bool{p.Name: true, p.Name + "x": false} {
					answer := h.try(strings.ToUpper(method), at+"?"+name+"=none")
					if strings.Contains(answer, "is not known here") == known {
						t.Errorf("%s %s?%s: known: %v: %s", method, at, name, known, answer)
					}
				}
			}
		}
	}
}

// Each type has a schema with just its fields, and each reference leads to one.
func TestDocumentDescribesTheTypes(t *testing.T) {
	want, got := map[string][]string{}, map[string][]string{}
	for _, v := range typesInDocument {
		typ := reflect.TypeOf(v)
		fields := []string{}
		for _, f := range reflect.VisibleFields(typ) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" && name != "" {
				fields = append(fields, name)
			}
		}
		slices.Sort(fields)
		want[typ.Name()] = fields
	}
	schemas := read(t).Components.Schemas
	for name, s := range schemas {
		got[name] = slices.Sorted(maps.Keys(s.Properties))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-types +document\n%s", diff)
	}
	for _, part := range strings.Split(string(openAPI), `"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if _, ok := schemas[name]; !ok {
			t.Errorf("a reference leads to %s, which is not there", name)
		}
	}
}
