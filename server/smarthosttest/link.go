package smarthosttest

import (
	"fmt"
	"regexp"
	"strings"
)

// A Link is something to click at.
type Link struct {
	URL  string // as it was sent
	Text string // what the HTML shows for it; "" if the address itself is in the text
}

// Links are the links in Text (http and https) and in HTML (href of a and area, whatever they lead to but a place on the same page), in this order. Of links
// with the same URL there is one, where the first stood, with the first text that there is for it.
func (m *Message) Links() []Link { return m.Root().links() }

func (p *Part) links() []Link {
	var all []Link
	at := map[string]int{}
	for _, l := range append(textLinks(p.text()), htmlLinks(p.html())...) {
		if i, known := at[l.URL]; known {
			if all[i].Text == "" {
				all[i].Text = l.Text
			}
			continue
		}
		at[l.URL] = len(all)
		all = append(all, l)
	}
	return all
}

// Link is the URL of the only link that has this in its URL. Unless there is exactly one, the error lists all links.
func (m *Message) Link(substring string) (string, error) {
	links := m.Links()
	var of []string
	for _, l := range links {
		if strings.Contains(l.URL, substring) {
			of = append(of, l.URL)
		}
	}
	if len(of) == 1 {
		return of[0], nil
	}
	if len(links) == 0 {
		return "", fmt.Errorf("message %s has no links", m.ID)
	}
	var list strings.Builder
	for _, l := range links {
		fmt.Fprintf(&list, "\n  %s %q", l.URL, clip(l.Text))
	}
	return "", fmt.Errorf("%d links of message %s have %q in their URL, and exactly one should; its links are%s", len(of), m.ID, substring, list.String())
}

// textURL is an address up to a blank, a quote, an angle bracket, or a full-width stop.
var textURL = regexp.MustCompile(`(?i)\bhttps?://[^\s<>"“”„«»‘’、。，）」]+`)

// textLinks finds addresses in text. A stop at the end belongs to the sentence, and so does a bracket that was opened outside of the address.
func textLinks(text string) []Link {
	var all []Link
	for _, url := range textURL.FindAllString(text, -1) {
		if url = trimSentence(url); !strings.HasSuffix(url, "://") {
			all = append(all, Link{URL: url})
		}
	}
	return all
}

func trimSentence(url string) string {
	for url != "" {
		last := url[len(url)-1:]
		switch {
		case strings.Contains(".,;:!?'*", last):
		case last == ")" && strings.Count(url, "(") < strings.Count(url, ")"):
		case last == "]" && strings.Count(url, "[") < strings.Count(url, "]"):
		case last == "}" && strings.Count(url, "{") < strings.Count(url, "}"):
		default:
			return url
		}
		url = url[:len(url)-1]
	}
	return url
}
