package enroll

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Plan is one client's configuration, filled.
type Plan struct {
	Client Client
	Values Values
	Notes  []string // what is worth to know, for the head of the script
	Steps  []Step   // in order
}

// A Step is a file to write, or commands to run.
type Step struct {
	File    string // path on the client's machine; begins with the home marker where it is the user's
	Mode    fs.FileMode
	Owner   string
	Content string

	Run string
}

// mark stands in what enroll has written, so that it can be told from what others have written.
const mark = "smarthost enroll"

// ours tells that a file with such a name is made by nobody else, so that it needs no mark in it.
func ours(file string) bool { return strings.Contains(file, "smarthost") }

// head is what a reader should know first.
func (p *Plan) head() []string {
	v := p.Values
	how := "STARTTLS"
	if v.TLS {
		how = "TLS from the first octet"
	}
	return []string{
		fmt.Sprintf("%s: %s. Made by %s.", p.Client.Name, p.Client.Summary, mark),
		fmt.Sprintf("Server %s, port %d (%s); account %s, device %s; it may send as %s.", v.Host, v.Port, how, v.User, v.Device, v.MayBe),
		"The password in it is this device's alone. To take it away, on the server: " + v.Revoke,
	}
}

// String is what is printed: a script, or for a [Text] client its only file.
func (p *Plan) String() string {
	if p.Client.Kind == Text {
		return p.Steps[0].Content
	}
	return p.script(p.Steps)
}

// preamble is the part of a script that does not change but for the umask of folders. All commands stand in a function that is called in the last line,
// so that a script that is cut off on its way does nothing, and with no input, so that none of them eats the rest of it.
const preamble = `set -eu
umask 077

# keep leaves a copy of a file that was not written by this script.
keep() {
	if [ -e "$1" ] && [ ! -e "$1.before" ] && ! grep -q '` + mark + `' "$1"; then cp -p "$1" "$1.before"; fi
}

# put FILE MODE [OWNER] writes its input.
put() {
	(umask %s && mkdir -p "$(dirname "$1")")
	cat >"$1.new"
	chmod "$2" "$1.new"
	if [ -n "${3-}" ]; then chown "$3" "$1.new"; fi
	mv "$1.new" "$1"
}
`

// script is a shell script of these steps.
func (p *Plan) script(steps []Step) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n")
	for _, line := range slices.Concat(p.head(), []string{p.who()}, p.Notes) {
		b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	fmt.Fprintf(&b, preamble, p.Client.umask())
	b.WriteString("\nmain() {\n")
	for _, n := range p.Client.needs {
		fmt.Fprintf(&b, "command -v %s >/dev/null || { echo %s >&2; exit 1; }\n", n.command, shell(n.command+" is not here; install the package "+n.from+" first"))
	}
	for _, s := range steps {
		b.WriteString(s.shell())
	}
	b.WriteString("}\nmain </dev/null\n")
	return b.String()
}

// umask is for folders: what root makes is for the system's users too, what a user makes is the user's.
func (c Client) umask() string {
	if c.Kind == System {
		return "022"
	}
	return "077"
}

func (p *Plan) who() string {
	if p.Client.Kind == System {
		return "Run it as root on the machine that sends; running it again changes nothing more."
	}
	return "Run it as the user whose mail it is; running it again changes nothing more."
}

// commands is the script that is left to run when the files have been written; "" if none is.
func (p *Plan) commands() string {
	var left []Step
	for _, s := range p.Steps {
		if s.Run != "" {
			left = append(left, s)
		}
	}
	if len(left) == 0 {
		return ""
	}
	return p.script(left)
}

func expandHome(s string) string { return strings.ReplaceAll(s, home, "$HOME") }

func (s Step) shell() string {
	if s.Run != "" {
		return expandHome(s.Run)
	}
	end := "END"
	for strings.Contains("\n"+s.Content, "\n"+end+"\n") {
		end += "X"
	}
	content, quoted := s.Content, "'"+end+"'"
	if strings.Contains(content, home) { // the shell has to put the folder in, and nothing else
		content = expandHome(strings.NewReplacer(`\`, `\\`, `$`, `\$`, "`", "\\`").Replace(content))
		quoted = end
	}
	if !strings.HasSuffix(content, "\n") {
		content += "\n"
	}
	words := fmt.Sprintf("put %s %04o", shellPath(s.File), s.Mode)
	if !ours(s.File) {
		words = "keep " + shellPath(s.File) + "\n" + words
	}
	if s.Owner != "" {
		words += " " + s.Owner
	}
	return fmt.Sprintf("%s <<%s\n%s%s\n", words, quoted, content, end)
}

// shellPath is a path as a word of the script, with the home folder as the script's user has it.
func shellPath(file string) string {
	if rest, ok := strings.CutPrefix(file, home); ok {
		return `"$HOME"` + shell(path.Clean(rest))
	}
	return shell(path.Clean(file))
}
