package capture

import (
	"strings"
	"testing"

	"github.com/seed-1397b510/smarthost/server/web/webtest"
)

// typesInDocument are those of requests and answers; the document has a schema for each.
var typesInDocument = []any{
	Fault{}, NewUser{}, Limits{}, Account{}, Accounts{}, Session{}, Line{}, SessionList{}, Rule{}, Script{}, Unmet{}, Advance{}, Done{}, Event{},
	Summary{}, Message{}, Envelope{}, Recipient{}, Header{}, Addresses{}, Address{}, Part{}, Link{}, Links{}, Codes{}, MessageList{}, Deleted{},
	Finding{}, Findings{},
}

// Every native route is described, below /inbox/{user} too if it is there.
func TestDocumentDescribesTheRoutes(t *testing.T) {
	var paths []string
	for _, r := range native {
		paths = append(paths, r.method+" "+r.path)
		if r.scoped {
			paths = append(paths, r.method+" /inbox/{user}"+r.path)
		}
	}
	webtest.Read(t, openAPI).CheckRoutes(t, paths)
}

// Every parameter that is described is taken.
func TestDocumentDescribesTheParameters(t *testing.T) {
	h := newHouse(t)
	for path, methods := range webtest.Read(t, openAPI).Paths {
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

func TestDocumentDescribesTheTypes(t *testing.T) {
	webtest.Read(t, openAPI).CheckTypes(t, typesInDocument...)
}
