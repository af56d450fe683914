package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	template "github.com/DataDog/datadog-agent/pkg/template/text"
)

// A section of a template: a note for the head, a file, or commands.
type section struct {
	kind  string // "note", "file" or "run"
	path  string // of a file, itself a template
	mode  fs.FileMode
	owner string // "root:mail"; "" leaves it to whoever runs the script
	text  string
}

// parse reads a client's file:
//
//	one line that says what it is
//	kind: system
//	needs: COMMAND from PACKAGE
//	-- note --
//	-- file PATH MODE [OWNER] --
//	-- run --
//
// It is cut into sections before it is filled, so that no value can begin one.
func parse(name, text string) (Client, error) {
	c := Client{Name: name}
	lines := strings.SplitAfter(text, "\n")
	c.Summary, lines = strings.TrimSpace(lines[0]), lines[1:]
	for _, line := range lines {
		word, isHead := strings.CutPrefix(line, "-- ")
		word, ends := strings.CutSuffix(strings.TrimSpace(word), " --")
		switch {
		case isHead && ends:
			s, err := parseHead(strings.Fields(word))
			if err != nil {
				return c, err
			}
			c.sections = append(c.sections, s)
		case len(c.sections) > 0:
			c.sections[len(c.sections)-1].text += line
		default:
			if err := c.setKey(strings.TrimSpace(line)); err != nil {
				return c, err
			}
		}
	}
	if c.Summary == "" || c.Kind != System && c.Kind != User && c.Kind != Text {
		return c, errors.New("it needs a summary and a kind")
	}
	return c, nil
}

func (c *Client) setKey(line string) error {
	key, value, _ := strings.Cut(line, ": ")
	switch key {
	case "":
	case "kind":
		c.Kind = Kind(value)
	case "needs":
		command, from, ok := strings.Cut(value, " from ")
		if !ok {
			return fmt.Errorf("needs: %q has no package", value)
		}
		c.needs = append(c.needs, program{command, from})
	default:
		return fmt.Errorf("no such key: %q", line)
	}
	return nil
}

func parseHead(words []string) (section, error) {
	switch {
	case len(words) == 1 && (words[0] == "note" || words[0] == "run"):
		return section{kind: words[0]}, nil
	case (len(words) == 3 || len(words) == 4) && words[0] == "file":
		mode, err := strconv.ParseUint(words[2], 8, 9)
		s := section{kind: "file", path: words[1], mode: fs.FileMode(mode)}
		if len(words) == 4 {
			s.owner = words[3]
		}
		return s, err
	}
	return section{}, fmt.Errorf("no such section: %q", words)
}

// home stands in contents and paths for the home folder of whoever runs the script.
const home = "\x00home\x00"

// Plan fills the client's template.
func (c Client) Plan(v Values) (*Plan, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	p := &Plan{Client: c, Values: v}
	for _, s := range c.sections {
		text, err := c.fill(s.text, v)
		if err != nil {
			return nil, err
		}
		text = strings.Trim(text, "\n") + "\n"
		path, err := c.fill(s.path, v)
		if err != nil {
			return nil, err
		}
		switch {
		case strings.TrimSpace(text) == "": // a section may be for one kind of server only
		case s.kind == "note":
			p.Notes = append(p.Notes, strings.Split(strings.TrimSpace(text), "\n")...)
		case s.kind == "run":
			p.Steps = append(p.Steps, Step{Run: text})
		default:
			p.Steps = append(p.Steps, Step{File: path, Mode: s.mode, Owner: s.owner, Content: text})
		}
	}
	return p, nil
}

// context is what a template sees.
type context struct {
	Values
	CAFile string // the file of the CA on the client's machine
	Scheme string // of the URL
}

func (c Client) context(v Values) context {
	sees := context{Values: v, CAFile: home + "/.config/smarthost/ca.pem", Scheme: "smtp"}
	switch {
	case v.CA == "":
		sees.CAFile = "/etc/ssl/certs/ca-certificates.crt"
	case c.Kind == System:
		sees.CAFile = "/etc/smarthost/ca.pem"
	}
	if v.TLS {
		sees.Scheme = "smtps"
	}
	return sees
}

// fill runs a template; an error of a quoting function comes back as its own words.
func (c Client) fill(text string, v Values) (string, error) {
	// The lines that each configuration begins with, with a comment sign before each.
	head := func(sign string) string {
		p := Plan{Client: c, Values: v}
		return sign + strings.Join(p.head(), "\n"+sign)
	}
	t, err := template.New(c.Name).Option("missingkey=error").Funcs(quotes).Funcs(template.FuncMap{"head": head}).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, c.context(v))
	var unfit *unfitError
	if errors.As(err, &unfit) {
		return "", unfit
	}
	return out.String(), err
}
