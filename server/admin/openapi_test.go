package admin

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// described are the types of requests and answers; the document has a schema for each.
var described = []any{
	Fault{}, Report{}, Result{}, Status{}, ConfigSummary{}, ConnectionsInUse{}, QueueSize{}, CertificateInForce{}, LimitInUse{}, WebhookState{}, Use{},
	QueuePage{}, Entry{}, Recipient{}, Order{}, Filter{}, Outcome{}, Stories{}, Story{}, Attempt{}, Try{}, Ordered{}, Rule{}, RuleList{}, Removed{},
	UserList{}, User{}, Device{}, Sighting{}, NewDevice{}, MadeDevice{}, Revoked{}, RefusalPage{}, Refusal{}, Reloaded{}, ConfigInForce{}, Setting{},
	Examination{}, Finding{},
}

type document struct {
	Paths map[string]map[string]struct {
		Summary     string
		Security    []map[string][]string
		Parameters  []struct{ Name, In string }
		RequestBody any
		Responses   map[string]any
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

// Every route is described with the scope that it needs, and nothing else is.
func TestDocumentDescribesTheRoutes(t *testing.T) {
	want, got := map[string]Scope{}, map[string]Scope{}
	for _, r := range routes {
		want[r.method+" "+r.path] = r.scope
	}
	for path, methods := range read(t).Paths {
		for method, op := range methods {
			var scope Scope
			if len(op.Security) > 0 {
				scope = Scope(strings.Join(op.Security[0]["token"], ","))
			}
			got[strings.ToUpper(method)+" "+path] = scope
			if op.Summary == "" || len(op.Responses) < 2 || op.Security == nil {
				t.Errorf("%s %s: no summary, no responses or no security", method, path)
			}
			for _, p := range op.Parameters {
				if p.In == "path" && !strings.Contains(path, "{"+p.Name+"}") {
					t.Errorf("%s %s has no %s in its path", method, path, p.Name)
				}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-routes +document\n%s", diff)
	}
}

// Each type has a schema with just its fields, and each reference leads to one.
func TestDocumentDescribesTheTypes(t *testing.T) {
	want, got := map[string][]string{}, map[string][]string{}
	for _, v := range described {
		typ := reflect.TypeOf(v)
		fields := []string{}
		for i := range typ.NumField() {
			if name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); name != "-" {
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
