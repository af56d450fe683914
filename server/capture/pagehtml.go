package capture

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/seed-1397b510/smarthost/server/smarthosttest"
)

// bodyPolicy is what keeps the HTML of mail where it is, whether it is looked at in its frame or by its address alone: an origin of its own, no
// scripts, forms, frames or plugins, and nothing from elsewhere. A link opens a page of its own.
const bodyPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:%s; font-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// remoteImages are what bodyPolicy allows more if whoever looks has asked for it.
const remoteImages = " http: https:"

const maxInlined = 32 << 20 // octets of all pictures of one message as they stand in its HTML

// mailBody answers with the HTML of a message. Its policy is what makes that safe; that it was rewritten only makes it look right.
func (s *Server) mailBody(w http.ResponseWriter, r *request) error {
	q, err := query(r, "remote")
	if err != nil {
		return err
	}
	m, err := message(r)
	if err != nil {
		return err
	}
	sources := ""
	if q.Get("remote") == "images" {
		sources = remoteImages
	}
	text, err := display(m)
	if err != nil {
		text = unshown(err)
	}
	w.Header().Set("Content-Security-Policy", fmt.Sprintf(bodyPolicy, sources))
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-DNS-Prefetch-Control", "off") // no policy has a say in it
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err = w.Write([]byte(text))
	return err
}

func unshown(err error) string {
	return "<!doctype html><title>Not shown</title><p>This HTML cannot be shown: " + html.EscapeString(seen(err.Error())) + ". The view “HTML source” has it as it was sent.</p>"
}

// display is the HTML of a message for the frame that it is shown in.
func display(m *smarthosttest.Message) (string, error) {
	// Browsers that run no scripts read what is in noscript.
	root, err := html.ParseWithOptions(strings.NewReader(m.HTML()), html.ParseOptionEnableScripting(false))
	if err != nil {
		return "", errors.New("its elements are nested too deeply")
	}
	d := &displayed{pictures: picturesOf(m), urls: map[string]string{}}
	d.rewrite(root)
	var text strings.Builder
	if err := html.Render(&text, root); err != nil {
		return "", err
	}
	return text.String(), nil
}

// displayed is HTML on its way to the frame.
type displayed struct {
	pictures map[string]*smarthosttest.Part // by Content-ID
	urls     map[string]string              // of those that were asked for
	inlined  int                            // octets
}

// picturesOf are the parts that the HTML may show by their Content-ID.
func picturesOf(m *smarthosttest.Message) map[string]*smarthosttest.Part {
	of := map[string]*smarthosttest.Part{}
	for p := range m.Root().All() {
		if p.ContentID != "" && slices.Contains(pictureTypes, p.Type) {
			of[p.ContentID] = p
		}
	}
	return of
}

// left are elements that do nothing in the frame, or would have the browser speak to others without loading anything, which no policy covers
// (link: preconnect, dns-prefetch), or by which HTML means one thing here and another in the browser (svg, math).
var left = []atom.Atom{atom.Script, atom.Base, atom.Link, atom.Iframe, atom.Frame, atom.Frameset, atom.Object, atom.Embed, atom.Applet, atom.Svg, atom.Math, atom.Template}

// looks are names of meta that only say how to lay out a page. Others reload it or change what links tell about where they stood.
var looks = []string{"viewport", "color-scheme", "supported-color-schemes"}

func (d *displayed) rewrite(n *html.Node) {
	for child := n.FirstChild; child != nil; {
		next := child.NextSibling
		if child.Type == html.CommentNode || child.Type == html.ElementNode && isLeft(child) {
			n.RemoveChild(child)
		} else {
			d.rewrite(child)
		}
		child = next
	}
	if n.Type == html.ElementNode {
		d.rewriteAttributes(n)
	}
}

func isLeft(n *html.Node) bool {
	return slices.Contains(left, n.DataAtom) || n.DataAtom == atom.Meta && !slices.Contains(looks, strings.ToLower(attribute(n, "name")))
}

func (d *displayed) rewriteAttributes(n *html.Node) {
	isLink := n.DataAtom == atom.A || n.DataAtom == atom.Area
	n.Attr = slices.DeleteFunc(n.Attr, func(a html.Attribute) bool {
		switch a.Key {
		case "ping", "target", "rel", "action", "formaction", "referrerpolicy", "autofocus":
			return true
		case "href":
			return !isLink || !mayLeadTo(a.Val)
		}
		return strings.HasPrefix(a.Key, "on")
	})
	for i, a := range n.Attr {
		if id, ok := contentID(a.Val); ok && (a.Key == "src" || a.Key == "background") {
			n.Attr[i].Val = d.inline(id)
		}
	}
	if to := attribute(n, "href"); to != "" && !strings.HasPrefix(to, "#") {
		n.Attr = append(n.Attr, html.Attribute{Key: "target", Val: "_blank"}, html.Attribute{Key: "rel", Val: "noopener noreferrer"})
	}
}

// mayLeadTo tells whether a link does something sensible: a place in the mail, or an address of its own. Others would lead into these very pages.
func mayLeadTo(to string) bool {
	to = strings.ToLower(strings.TrimSpace(to))
	return slices.ContainsFunc([]string{"#", "http://", "https://", "mailto:", "tel:"}, func(begin string) bool { return strings.HasPrefix(to, begin) })
}

func contentID(url string) (string, bool) {
	url = strings.TrimSpace(url)
	if len(url) < 4 || !strings.EqualFold(url[:4], "cid:") {
		return "", false
	}
	return unescaped(url[4:]), true
}

// inline is a picture as a URL that needs no request: the frame is of an origin to which nothing else belongs. "" if there is none, or they are too large together.
func (d *displayed) inline(id string) string {
	url, known := d.urls[id]
	if p := d.pictures[id]; p != nil && !known {
		content, _ := p.Content()
		url = "data:" + p.Type + ";base64," + base64.StdEncoding.EncodeToString(content)
		d.urls[id] = url
	}
	if d.inlined+len(url) > maxInlined {
		return ""
	}
	d.inlined += len(url)
	return url
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
