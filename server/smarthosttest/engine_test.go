package smarthosttest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-1397b510/smarthost/server/dialogue"
)

// speakers alone make replies: a rule's own, and the server's own to EHLO with keywords left out.
var speakers = []string{"answer", "Reply", "refuse"}

// looksLikeReply is the beginning of a line of a reply (RFC 5321 §4.2).
var looksLikeReply = regexp.MustCompile(`^[2-5][0-9][0-9][ -]`)

// There is one engine: nothing here says a reply of its own, or serves SMTP but by server.Server. What a client hears without rules is the
// production server's, which TestDialogues shows line by line.
func TestOneEngine(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	engines := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			ast.Inspect(decl, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					if text, err := strconv.Unquote(n.Value); err == nil && looksLikeReply.MatchString(text) {
						t.Errorf("%s says %q", name, text)
					}
				case *ast.CompositeLit:
					switch typeOf(n) {
					case "server.Server":
						engines++
					case "smtp.Server", "guard.Guard":
						t.Errorf("%s has an engine of its own", name)
					case "guard.Answer", "smtp.SMTPError":
						if f, ok := decl.(*ast.FuncDecl); !ok || !slices.Contains(speakers, f.Name.Name) {
							t.Errorf("%s speaks for itself", name)
						}
					}
				case *ast.CallExpr:
					if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "NewServer" {
						t.Errorf("%s has an engine of its own", name)
					}
				}
				return true
			})
		}
	}
	if engines != 1 {
		t.Errorf("%d engines are made, want 1", engines)
	}
}

func typeOf(n *ast.CompositeLit) string {
	if s, ok := n.Type.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// A transcript has what a client has sent and heard, all of it, whatever the client did.
func TestTranscriptsAreTrue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, house := newHouse(t, Config{})
		p := &dialogue.Player{House: house, File: t.Name()}
		defer p.Leave()
		lines := []string{"@tls", "S: 220 mx.example.org ESMTP", "C: VRFY x", "S: 252 .*", "C: MAIL FROM:<a@b", "S: 503 .*", "@ehlo x"}
		for _, line := range lines {
			if err := p.Step(t, line); err != nil {
				t.Fatal(err)
			}
		}
		p.Leave()
		synctest.Wait()
		const want = `S: 220 mx.example.org ESMTP
C: VRFY x
S: 252 2.0.0 Cannot verify, but will take mail for it and try
C: MAIL FROM:<a@b
S: 503 5.5.1 Send EHLO first
C: EHLO x
S: 250-mx.example.org
S: 250-PIPELINING
S: 250-8BITMIME
S: 250-ENHANCEDSTATUSCODES
S: 250-CHUNKING
S: 250-AUTH PLAIN LOGIN
S: 250-SMTPUTF8
S: 250-DSN
S: 250-SIZE 52428800
S: 250 LIMITS RCPTMAX=200
*: the session ended: the client closed the connection
`
		first, rest, _ := strings.Cut(s.Sessions()[0].Transcript(), "\n")
		if !strings.HasPrefix(first, "*: TLS 1.3, ") || !strings.HasSuffix(first, ", server name mx.example.org") || rest != want {
			t.Errorf("got\n%s\n%s", first, rest)
		}
	})
}
