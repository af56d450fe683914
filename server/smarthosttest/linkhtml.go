package smarthosttest

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// page reads HTML token by token, so that it costs the same however deep the tags are nested.
type page struct {
	links  []Link
	text   strings.Builder // what a reader sees, a line for each block
	href   string          // of the a that is open
	anchor strings.Builder // its text
	silent atom.Atom       // the element that is open and not shown: script, style …
}

func readPage(source string) *page {
	var p page
	tokens := html.NewTokenizer(strings.NewReader(source))
	for {
		switch tokens.Next() {
		case html.ErrorToken: // the end: nothing else fails in a string
			p.closeAnchor()
			return &p
		case html.TextToken:
			p.say(string(tokens.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			p.start(tokens.Token())
		case html.EndTagToken:
			p.end(tokens.Token().DataAtom)
		}
	}
}

// htmlLinks are the links of a page, and the addresses that its text shows without linking them.
func htmlLinks(source string) []Link {
	return readPage(source).links
}

// visible is what a reader sees of a page.
func visible(source string) string { return tidy(readPage(source).text.String()) }

func (p *page) say(text string) {
	if p.silent != 0 {
		return
	}
	p.text.WriteString(text)
	if p.href != "" {
		p.anchor.WriteString(text)
		return
	}
	p.links = append(p.links, textLinks(text)...)
}

func (p *page) start(of html.Token) {
	switch of.DataAtom {
	case atom.Script, atom.Style, atom.Title, atom.Noscript, atom.Template, atom.Textarea:
		if p.silent == 0 { // "<script/>" is open, too
			p.silent = of.DataAtom
		}
	case atom.A:
		p.closeAnchor()
		p.href = target(of)
	case atom.Area:
		if url := target(of); url != "" {
			p.links = append(p.links, Link{url, attribute(of, "alt")})
		}
	case atom.Img:
		if p.href != "" {
			p.anchor.WriteString(" " + attribute(of, "alt") + " ")
		}
	}
	p.breakLine(of.DataAtom)
}

func (p *page) end(of atom.Atom) {
	if of == p.silent {
		p.silent = 0
	}
	if of == atom.A {
		p.closeAnchor()
	}
	p.breakLine(of)
}

// closeAnchor ends the link that is open.
func (p *page) closeAnchor() {
	if p.href != "" {
		p.links = append(p.links, Link{p.href, strings.Join(strings.Fields(p.anchor.String()), " ")})
	}
	p.href = ""
	p.anchor.Reset()
}

// breakLine begins a line in front of and behind what browsers show as a block.
func (p *page) breakLine(of atom.Atom) {
	switch of {
	case atom.Br, atom.P, atom.Div, atom.Tr, atom.Td, atom.Th, atom.Table, atom.Li, atom.Ul, atom.Ol, atom.Pre, atom.Hr, atom.Blockquote, atom.Body, atom.Section,
		atom.Article, atom.Header, atom.Footer, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Center, atom.Dd, atom.Dt:
		p.text.WriteByte('\n')
	}
}

// target is where a link leads to; "" for a place on the same page.
func target(of html.Token) string {
	url := strings.TrimSpace(unbroken.Replace(attribute(of, "href")))
	if strings.HasPrefix(url, "#") {
		return ""
	}
	return url
}

func attribute(of html.Token, name string) string {
	for _, a := range of.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// tidy is text with one blank between words and no empty lines.
func tidy(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if words := strings.Join(strings.Fields(line), " "); words != "" {
			lines = append(lines, words)
		}
	}
	return strings.Join(lines, "\n")
}
