package admin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-1397b510/smarthost/server/web/webtest"
)

// described are the types of requests and answers; the document has a schema for each.
var described = []any{
	Fault{}, Report{}, Result{}, Status{}, ConfigSummary{}, ConnectionsInUse{}, QueueSize{}, CertificateInForce{}, LimitInUse{}, WebhookState{}, Use{},
	QueuePage{}, Entry{}, Recipient{}, Order{}, Filter{}, Outcome{}, Stories{}, Story{}, Attempt{}, Try{}, Ordered{}, Rule{}, RuleList{}, Removed{},
	UserList{}, User{}, Device{}, Sighting{}, NewDevice{}, MadeDevice{}, Revoked{}, RefusalPage{}, Refusal{}, Reloaded{}, ConfigInForce{}, Setting{},
	Examination{}, Finding{},
}

func TestDocumentDescribesTheRoutes(t *testing.T) {
	var paths []string
	for _, r := range routes {
		paths = append(paths, r.method+" "+r.path)
	}
	webtest.Read(t, openAPI).CheckRoutes(t, paths)
}

// Every route is described with the scope that it needs.
func TestDocumentDescribesTheScopes(t *testing.T) {
	want, got := map[string]Scope{}, map[string]Scope{}
	for _, r := range routes {
		want[r.method+" "+r.path] = r.scope
	}
	for path, methods := range webtest.Read(t, openAPI).Paths {
		for method, op := range methods {
			var scope Scope
			if len(op.Security) > 0 {
				scope = Scope(strings.Join(op.Security[0]["token"], ","))
			}
			got[strings.ToUpper(method)+" "+path] = scope
			if op.Security == nil {
				t.Errorf("%s %s: it is not said whether it needs a token", method, path)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-routes +document\n%s", diff)
	}
}

func TestDocumentDescribesTheTypes(t *testing.T) {
	webtest.Read(t, openAPI).CheckTypes(t, described...)
}
