package enroll

import (
	"encoding/json"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// readers read back what the quoting functions write, as the clients do.
var readers = map[string]func(string) (string, error){
	"url":    url.PathUnescape,
	"golang": strconv.Unquote,
	"js":     func(s string) (back string, err error) { err = json.Unmarshal([]byte(s), &back); return back, err },
	"curl":   readCurl,
	"msmtp":  func(s string) (string, error) { return s[1 : len(s)-1], nil },
	"sh":     readShell,
	"env":    readShell,
	"compose": func(s string) (back string, err error) {
		err = json.Unmarshal([]byte(strings.ReplaceAll(s, "$$", "$")), &back)
		return back, err
	},
}

func readCurl(s string) (string, error) {
	var out strings.Builder
	for inner := s[1 : len(s)-1]; inner != ""; inner = inner[1:] {
		if inner[0] == '"' {
			return "", strconv.ErrSyntax
		}
		if inner[0] == '\\' {
			inner = inner[1:]
		}
		out.WriteByte(inner[0])
	}
	return out.String(), nil
}

// readShell reads one word as a POSIX shell does: XCU 2.2.
func readShell(s string) (string, error) {
	var out strings.Builder
	for s != "" {
		switch {
		case s[0] == '\'':
			inner, rest, ok := strings.Cut(s[1:], "'")
			if !ok {
				return "", strconv.ErrSyntax
			}
			out.WriteString(inner)
			s = rest
		case s[0] == '\\' && len(s) > 1:
			out.WriteByte(s[1])
			s = s[2:]
		case strings.IndexByte(plainSigns, s[0]) < 0:
			return "", strconv.ErrSyntax
		default:
			out.WriteByte(s[0])
			s = s[1:]
		}
	}
	return out.String(), nil
}

// FuzzQuotes: what is quoted is read back as it was, or is refused.
func FuzzQuotes(f *testing.F) {
	for _, seed := range []string{"alice", nasty, "", " a b ", "$HOME", "a'b", `a"b\`, "a+b%20c", "\U0001f600", "$$x$"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := values()
		if v.User = s; v.check() != nil {
			return
		}
		for name, read := range readers {
			quoted, err := quote(name, s)
			if err != nil {
				continue
			}
			if back, err := read(quoted); err != nil || back != s {
				t.Errorf("%s: %q became %s, which is read as %q, %v", name, s, quoted, back, err)
			}
		}
		for _, name := range []string{"exim", "postfix", "opensmtpd", "nullmailer", "dma", "ssmtp", "swaks"} {
			if quoted, err := quote(name, s); err == nil && strings.Trim(quoted, "'") != strings.Trim(s, "'") {
				t.Errorf("%s: %q became %q", name, s, quoted)
			}
		}
	})
}

func quote(name, s string) (string, error) {
	switch f := quotes[name].(type) {
	case func(string) string:
		return f(s), nil
	case func(string) (string, error):
		return f(s)
	}
	panic("no such function: " + name)
}

// A real shell reads a word back as it was.
func TestShellWord(t *testing.T) {
	out, err := exec.Command("/bin/sh", "-c", "printf %s "+shell(nasty)).CombinedOutput()
	if err != nil || string(out) != nasty {
		t.Errorf("got %q, %v, want %q", out, err, nasty)
	}
}

// No quoting function is unused.
func TestAllQuotes(t *testing.T) {
	var text strings.Builder
	files, err := templates.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := templates.ReadFile("templates/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		text.Write(content)
	}
	for name := range quotes {
		if !strings.Contains(text.String(), "{{"+name+" ") && !strings.Contains(text.String(), "("+name+" ") && !strings.Contains(text.String(), "{{"+name+"}}") {
			t.Errorf("no template uses %s", name)
		}
	}
}
